"""Index coding of the active entries of an update: a bitmap, coded gaps, or whole ranks.

A bitmap has one bit per entry. Coded gaps are the numbers of inactive entries before each active
one, by a Golomb code whose divisor is a power of two 2^m (a Rice code): the number of active
entries in four bytes, m in one, the quotients in unary, and the remainders in m bits each. Where
whole ranks are active, one bit per rank suffices.

Sources: Golomb, "Run-length encodings", IEEE Transactions on Information Theory 12, 1966; Rice and
Plaunt, "Adaptive variable-length coding for efficient compression of spacecraft television data",
IEEE Transactions on Communication Technology 19, 1971; of the gaps of sparse updates, Sattler et
al., "Robust and communication-efficient federated learning from non-i.i.d. data", IEEE Transactions
on Neural Networks and Learning Systems 31, 2020.
"""

from __future__ import annotations

import math
import struct
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Tensors = tuple[torch.Tensor, ...]
Coding = Literal["bitmap", "gaps", "ranks"]

_HEADER = struct.Struct("<IB")
_LARGEST_M = 40


def bitmap_bytes(entries: int) -> int:
    """Return the size of a bitmap [byte]."""
    return -(-entries // 8)


def gaps_bytes(active: Bools) -> int:
    """Return the size of the coded gaps of active entries (n,) [byte]."""
    gaps = _gaps(active)
    return _HEADER.size + bitmap_bytes(_bits(gaps, _best_m(gaps)))


def mean_gaps_bytes(entries: int, active: int) -> int:
    """Return the mean size of the coded gaps of active entries at random places [byte].

    Gaps are taken as geometric: of a share p of active entries, a gap is at least n entries with
    probability (1 - p)^n, so that its quotient by 2^m is q / (1 - q) on average, q = (1 - p)^(2^m).
    """

    def bits(m: int) -> float:
        q = (1.0 - active / entries) ** (1 << m)
        return active * (1.0 + m + q / (1.0 - q))

    shortest = min(map(bits, range(_LARGEST_M))) if active else 0.0
    return _HEADER.size + bitmap_bytes(math.ceil(shortest))


def pack_gaps(active: Bools) -> bytes:
    """Return the coded gaps of active entries (n,)."""
    gaps = _gaps(active)
    m = _best_m(gaps)
    quotients = gaps >> m
    ends = np.cumsum(quotients + 1) - 1
    unary = np.ones(int(quotients.sum()) + gaps.size, dtype=np.uint8)
    unary[ends] = 0
    remainders = (gaps[:, None] >> np.arange(m - 1, -1, -1)) & 1
    bits = np.concatenate([unary, remainders.ravel().astype(np.uint8)])
    return _HEADER.pack(gaps.size, m) + np.packbits(bits).tobytes()


def unpack_gaps(data: memoryview, entries: int) -> tuple[Bools, int]:
    """Return the active entries (entries,) of coded gaps, and the number of bytes read.

    Parameters
    ----------
    data : bytes that begin with coded gaps
    entries : number of entries

    Raises
    ------
    ValueError
        if the bytes end too early, or an active entry is none of the entries
    """
    if len(data) < _HEADER.size:
        raise ValueError("the update ends within its coded gaps")
    count, m = _HEADER.unpack_from(data)
    if count > entries or m > _LARGEST_M:
        raise ValueError(f"coded gaps of {entries} entries cannot have {count} of {m} bits")
    most = count + (entries >> m) + count * m
    body = np.frombuffer(data, np.uint8, offset=_HEADER.size)[: bitmap_bytes(most)]
    bits = np.unpackbits(body)
    ends = np.flatnonzero(bits == 0)[:count].astype(np.int64)
    begin = int(ends[-1]) + 1 if ends.size else 0
    if ends.size < count or begin + count * m > bits.size:
        raise ValueError("the update ends within its coded gaps")
    remainders = bits[begin : begin + count * m].reshape(count, m).astype(np.int64)
    low = remainders @ (np.int64(1) << np.arange(m - 1, -1, -1, dtype=np.int64))
    quotients = np.diff(ends, prepend=-1) - 1
    positions = np.cumsum((quotients << m) + low + 1) - 1
    if count and positions[-1] >= entries:
        raise ValueError(f"coded gaps must end within {entries} entries, got {positions[-1]}")
    active = np.zeros(entries, dtype=np.bool_)
    active[positions] = True
    return active, _HEADER.size + bitmap_bytes(begin + count * m)


def active_ranks(mask: Tensors, mask_a: Tensors) -> Tensors | None:
    """Return the active ranks (rank,) of each layer; None unless whole ranks are active.

    Parameters
    ----------
    mask, mask_a : per layer (outputs, rank) and (rank, inputs), the active entries of B and A
    """
    ranks = []
    for of_b, of_a in zip(mask, mask_a, strict=True):
        first = of_b[0]
        if not (bool((of_b == first).all()) and bool((of_a == first[:, None]).all())):
            return None
        ranks.append(first)
    return tuple(ranks)


def of_ranks(ranks: Tensors, outputs: list[int], inputs: list[int]) -> tuple[Tensors, Tensors]:
    """Return the masks of B and A, per layer, of which whole ranks are active; as views.

    Parameters
    ----------
    ranks : per layer (rank,), the active ones
    outputs, inputs : of the layers
    """
    each = list(zip(ranks, outputs, inputs, strict=True))
    mask = tuple(active.expand(rows, len(active)) for active, rows, _ in each)
    return mask, tuple(active[:, None].expand(len(active), columns) for active, _, columns in each)


def masks_bytes(mask: Tensors, mask_a: Tensors | None, coding: Coding) -> int:
    """Return the size of masks in a coding [byte].

    Parameters
    ----------
    mask, mask_a : per layer (outputs, rank) and (rank, inputs), the active entries of B, and of A
        unless the message has none
    coding : of both together
    """
    if coding == "ranks":
        return bitmap_bytes(sum(each.shape[1] for each in mask))
    if coding == "gaps":
        return gaps_bytes(_flat(mask, mask_a))
    return bitmap_bytes(sum(each.numel() for each in (*mask, *(mask_a or ()))))


def pack_masks(mask: Tensors, mask_a: Tensors | None, coding: Coding) -> bytes:
    """Return the bytes of masks in a coding; see `masks_bytes`."""
    if coding == "gaps":
        return pack_gaps(_flat(mask, mask_a))
    if coding == "ranks":
        active = active_ranks(mask, mask_a or ()) or ()
        return np.packbits(torch.cat(active).bool().numpy()).tobytes()
    return np.packbits(_flat(mask, mask_a)).tobytes()


def _flat(mask: Tensors, mask_a: Tensors | None) -> Bools:
    """Return the active entries of B, then of A."""
    each = [of_layer.reshape(-1) for of_layer in (*mask, *(mask_a or ()))]
    flat: Bools = torch.cat(each).bool().numpy()
    return flat


def _gaps(active: Bools) -> Ints:
    """Return the number of inactive entries before each active one."""
    return np.diff(np.flatnonzero(active), prepend=-1).astype(np.int64) - 1


def _bits(gaps: Ints, m: int) -> int:
    return int((gaps >> m).sum()) + gaps.size * (1 + m)


def _best_m(gaps: Ints) -> int:
    """Return the m of the shortest code, among those near the logarithm of the mean gap."""
    if not gaps.size:
        return 0
    near = int(np.log2(1.0 + gaps.mean()))
    return min(range(max(0, near - 1), near + 2), key=lambda m: _bits(gaps, m))
