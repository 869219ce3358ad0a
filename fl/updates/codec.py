"""Binary format of updates.

Layout, little-endian: a header of 32 bytes (magic, format version, flags, more flags, sender,
round, digest of the layers' shapes, length of the body, CRC-32 of the body), then the sections that
the flags name, in this order: the mask of B, then that of A if it has one, with one bit per entry
or in the shortest coding (`indices`), or the seed of both masks, 8 bytes; the seed of A, 8 bytes,
or the values of A; the values of B, unless the flags exclude B; further matrices, whose shapes the
method defines. Values, all of a factor or those under its mask, are IEEE half precision, or
quantized (`quantization`), layer by layer, row by row. A receiver that knows the sender's mask
needs the values only.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from . import indices, quantization

if TYPE_CHECKING:
    from ..adapters.adapter import Layer

_HEADER = struct.Struct("<4sBBHIIIQI")
HEADER_BYTES = _HEADER.size
BITS_PER_PARAMETER = 16
SEED_BYTES = 8
_MAGIC = b"WNSU"
_VERSION = 1
_MASK, _A_SEED, _A_VALUES, _SPARSE, _A_FROZEN = 1, 2, 4, 8, 16
# The second field of flags.
_WITHOUT_B, _EXTRA, _SPARSE_A, _MASK_SEED, _EXTRA_HALF, _GAPS, _RANKS = 1, 2, 4, 8, 16, 32, 64
_CODINGS: dict[indices.Coding, int] = {"bitmap": 0, "gaps": _GAPS, "ranks": _RANKS}
_BITS = {BITS_PER_PARAMETER: 0, 8: 32, 4: 64}

Tensors = tuple[torch.Tensor, ...]
MasksOf = Callable[[int], tuple[Tensors, Tensors]]
"""Rule by which a receiver draws the masks of B and A from a seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """Update that one device sends to others.

    Parameters
    ----------
    device, round : sender, and round of its training
    b : per layer (outputs, rank); zero outside the mask; empty if the message does not carry B
    mask : per layer (outputs, rank), the active entries of B; None for all
    a : per layer (rank, inputs), if the message carries the values of A
    a_seed : seed of A, if the message carries the seed instead
    includes_mask : whether the message carries the mask, which the receiver does not know yet
    a_frozen : whether A is never trained, so that it is sent in half precision
    bits : bits per parameter: 16, 8 or 4
    rounding : key of the draws of stochastic rounding to less than 16 bits
    rejected : whether its receiver discards it, for parameters that are not finite
    extra : further matrices that the message carries, of shapes that the method defines: a core, a
        residual or control variates
    mask_a : per layer (rank, inputs), the active entries of A; None for all
    mask_seed : seed from which the receiver draws both masks, which are not sent then
    index : coding of masks that the message carries: `bitmap`, or the `shortest` one, which may be
        to send all values without masks
    extra_in_half : whether the further matrices are sent in half precision, whatever the bits
    """

    device: int
    round: int
    b: Tensors
    mask: Tensors | None = None
    a: Tensors | None = None
    a_seed: int | None = None
    includes_mask: bool = False
    a_frozen: bool = False
    bits: int = BITS_PER_PARAMETER
    rounding: int = 0
    rejected: bool = False
    extra: Tensors | None = None
    mask_a: Tensors | None = None
    mask_seed: int | None = None
    index: Literal["bitmap", "shortest"] = "bitmap"
    extra_in_half: bool = False


def distance(one: Update, other: Update) -> float:
    """Return the Frobenius norm of the difference of two updates.

    Matrices that the other update lacks, or has in another shape, count with their own norm.
    """
    total = 0.0
    for mine, theirs in ((one.b, other.b), (one.a, other.a), (one.extra, other.extra)):
        for place, matrix in enumerate(mine or ()):
            start = theirs[place] if theirs and place < len(theirs) else None
            change = matrix
            if start is not None and start.shape == matrix.shape:
                change = matrix - start
            total += float(change.double().square().sum())
    return math.sqrt(total)


def encode(update: Update) -> bytes:
    """Encode an update.

    Raises
    ------
    ValueError
        if a parameter is not finite in half precision, or the number of bits is not supported
    """
    if update.bits not in _BITS:
        raise ValueError(f"an update's parameters must have 16, 8 or 4 bits, got {update.bits}")
    update, coding = _with_coding(update)
    flags, more = _BITS[update.bits], 0
    body = []
    if update.mask is not None:
        flags |= _SPARSE
    if update.mask_a is not None:
        more |= _SPARSE_A
    if update.mask_seed is not None:
        more |= _MASK_SEED
        body.append(struct.pack("<Q", update.mask_seed))
    elif update.includes_mask and update.mask is not None:
        flags |= _MASK
        more |= _CODINGS[coding]
        body.append(indices.pack_masks(update.mask, update.mask_a, coding))
    if update.a_seed is not None:
        flags |= _A_SEED
        body.append(struct.pack("<Q", update.a_seed))
    elif update.a is not None:
        flags |= _A_VALUES | (_A_FROZEN if update.a_frozen else 0)
        bits = BITS_PER_PARAMETER if update.a_frozen else update.bits
        body.append(_values(update.a, update.mask_a, bits, update.rounding))
    # The draws of B are independent of those of A.
    if update.b:
        body.append(_values(update.b, update.mask, update.bits, update.rounding ^ 1))
    else:
        more |= _WITHOUT_B
    if update.extra is not None:
        more |= _EXTRA | (_EXTRA_HALF if update.extra_in_half else 0)
        bits = BITS_PER_PARAMETER if update.extra_in_half else update.bits
        body.append(_values(update.extra, None, bits, update.rounding ^ 2))
    joined = b"".join(body)
    digest = _shapes_digest(
        [(each.shape[0], each.shape[1]) for each in update.b or update.a or update.extra or ()]
    )
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        flags,
        more,
        update.device,
        update.round,
        digest,
        len(joined),
        zlib.crc32(joined),
    )
    return header + joined


def encoded_bytes(update: Update) -> int:
    """Return the size of an encoded update, from its shapes and masks [byte]."""
    update, coding = _with_coding(update)
    size = HEADER_BYTES + _values_bytes(update)
    if update.mask_seed is not None:
        size += SEED_BYTES
    elif update.includes_mask and update.mask is not None:
        size += indices.masks_bytes(update.mask, update.mask_a, coding)
    if update.a_seed is not None:
        size += SEED_BYTES
    if update.extra is not None:
        bits = BITS_PER_PARAMETER if update.extra_in_half else update.bits
        size += parameters_bytes([each.numel() for each in update.extra], bits)
    return size


def _values_bytes(update: Update) -> int:
    """Return the size of the values of both factors [byte]."""
    size = 0
    if update.a is not None and update.a_seed is None:
        bits = BITS_PER_PARAMETER if update.a_frozen else update.bits
        size += parameters_bytes(_counts(update.a, update.mask_a), bits)
    if update.b:
        size += parameters_bytes(_counts(update.b, update.mask), update.bits)
    return size


def _counts(tensors: Tensors, mask: Tensors | None) -> list[int]:
    """Return the number of values of each layer, those under a mask if there is one."""
    if mask is None:
        return [tensor.numel() for tensor in tensors]
    return [_active(of_layer) for of_layer in mask]


def _active(mask: torch.Tensor) -> int:
    """Return the number of active entries; of a view that repeats rows or columns by one each."""
    is_repeated = [stride == 0 for stride in mask.stride()]
    once = mask[tuple(slice(1) if repeated else slice(None) for repeated in is_repeated)]
    times = math.prod(n for n, repeated in zip(mask.shape, is_repeated, strict=True) if repeated)
    return times * int(once.sum())


def _with_coding(update: Update) -> tuple[Update, indices.Coding]:
    """Return an update as it is sent, and the coding of its masks if it carries them."""
    if update.index == "bitmap" or not update.includes_mask or update.mask is None:
        return update, "bitmap"
    mask, mask_a = update.mask, update.mask_a
    codings: list[indices.Coding] = ["bitmap", "gaps"]
    if mask_a is not None and indices.active_ranks(mask, mask_a) is not None:
        codings.append("ranks")
    size, coding = min((indices.masks_bytes(mask, mask_a, each), each) for each in codings)
    dense = replace(update, mask=None, mask_a=None, includes_mask=False)
    if _values_bytes(dense) <= _values_bytes(update) + size:
        return dense, "bitmap"
    return update, coding


def parameters_bytes(counts: Sequence[int], bits: int) -> int:
    """Return the size of parameters, with their number in each layer and their bits [byte]."""
    if bits < BITS_PER_PARAMETER:
        return quantization.packed_bytes(counts, bits)
    return BITS_PER_PARAMETER // 8 * sum(counts)


def decode(
    data: bytes,
    layers: Sequence[Layer],
    ranks: Sequence[int],
    mask: Tensors | None = None,
    extra: Sequence[tuple[int, int]] = (),
    mask_a: Tensors | None = None,
    masks_of: MasksOf | None = None,
) -> Update:
    """Decode an update.

    Parameters
    ----------
    data : encoded update
    layers, ranks : shapes of the adapters, common to sender and receiver
    mask : the sender's mask, if it is known from an earlier update
    extra : shapes of the further matrices, if the message carries them
    mask_a : the sender's mask of A, likewise
    masks_of : rule of the masks that a message gives by their seed; None if there is none

    Raises
    ------
    ValueError
        if the bytes are not an update of these shapes, are truncated or corrupted, or are sparse
        under an unknown mask
    """
    if len(data) < HEADER_BYTES:
        raise ValueError(f"an update has at least {HEADER_BYTES} bytes, got {len(data)}")
    magic, version, flags, more, device, round_, digest, length, checksum = _HEADER.unpack_from(
        data
    )
    sized = list(zip(layers, ranks, strict=True))
    shapes = [(layer.outputs, rank) for layer, rank in sized]
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"not an update of format {_VERSION}: starts with {data[:5]!r}")
    a_shapes = [(rank, layer.inputs) for layer, rank in sized]
    first = shapes
    if more & _WITHOUT_B:
        first = a_shapes if flags & _A_VALUES else list(extra)
    if digest != _shapes_digest(first):
        raise ValueError("the update is of an adapter of other shapes")
    body = memoryview(data)[HEADER_BYTES:]
    if len(body) != length:
        raise ValueError(f"the update's body must have {length} bytes, got {len(body)}")
    if zlib.crc32(body) != checksum:
        raise ValueError("the update's checksum does not fit its body")

    reader = _BodyReader(body)
    mask_seed = None
    if more & _MASK_SEED:
        mask_seed = struct.unpack("<Q", reader.take(SEED_BYTES))[0]
        if masks_of is not None:
            mask, mask_a = masks_of(mask_seed)
    elif flags & _MASK:
        mask, mask_a = reader.masks(shapes, a_shapes if more & _SPARSE_A else (), more)
    if not flags & _SPARSE:
        mask = None
    if not more & _SPARSE_A:
        mask_a = None
    if (flags & _SPARSE and mask is None) or (more & _SPARSE_A and mask_a is None):
        raise ValueError(f"the mask of device {device} is not known")
    a_seed = struct.unpack("<Q", reader.take(SEED_BYTES))[0] if flags & _A_SEED else None
    widths = [width for width, flag in _BITS.items() if flags & sum(_BITS.values()) == flag]
    if not widths:
        raise ValueError(f"the update's parameters have an unknown number of bits: flags {flags}")
    width = widths[0]
    frozen = bool(flags & _A_FROZEN)
    a = None
    if flags & _A_VALUES:
        a = reader.factor(a_shapes, mask_a, BITS_PER_PARAMETER if frozen else width)
    b: Tensors = ()
    if not more & _WITHOUT_B:
        b = reader.factor(shapes, mask, width)
    further = None
    if more & _EXTRA:
        bits = BITS_PER_PARAMETER if more & _EXTRA_HALF else width
        further = reader.factor(extra, None, bits)
    reader.finish()
    return Update(
        device, round_, b, mask, a, a_seed, bool(flags & _MASK), frozen, width,
        extra=further, mask_a=mask_a, mask_seed=mask_seed, extra_in_half=bool(more & _EXTRA_HALF),
    )  # fmt: skip


def flip_bits(data: bytes, bits: int, rng: np.random.Generator) -> bytes:
    """Flip bits of an update's parameters, and set the checksum accordingly.

    Parameters
    ----------
    data : encoded update, without a mask
    bits : number of draws; a bit drawn twice is restored
    rng : draws the positions of the bits
    """
    fields = list(_HEADER.unpack_from(data))
    flags = fields[2]
    body = bytearray(data[HEADER_BYTES:])
    skipped = SEED_BYTES if flags & _A_SEED else 0
    if flags & _MASK:
        raise ValueError("bits of an update that includes its mask cannot be flipped")
    for position in rng.integers(8 * skipped, 8 * len(body), bits).tolist():
        body[position // 8] ^= 1 << position % 8
    fields[-1] = zlib.crc32(body)
    return _HEADER.pack(*fields) + bytes(body)


class _BodyReader:
    """Bounds-checked reader of the sections of a body."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0

    def take(self, count: int) -> memoryview:
        """Return the next bytes."""
        if self._at + count > len(self._body):
            raise ValueError(f"the update ends after {len(self._body)} bytes of its body")
        self._at += count
        return self._body[self._at - count : self._at]

    def values(self, counts: Sequence[int], bits: int) -> torch.Tensor:
        """Return the next parameters (n,), with their number in each layer and their bits."""
        if bits < BITS_PER_PARAMETER:
            packed = self.take(quantization.packed_bytes(counts, bits))
            return torch.from_numpy(quantization.unpack(packed, counts, bits))
        half = np.frombuffer(self.take(sum(counts) * BITS_PER_PARAMETER // 8), "<f2")
        return torch.from_numpy(half.astype(np.float32))

    def factor(self, shapes: Sequence[tuple[int, int]], mask: Tensors | None, bits: int) -> Tensors:
        """Return the next matrices, zero outside a mask."""
        if mask is None:
            return _split(self.values([rows * columns for rows, columns in shapes], bits), shapes)
        dense = torch.zeros(sum(rows * columns for rows, columns in shapes))
        dense[_flat(mask)] = self.values([int(of_layer.sum()) for of_layer in mask], bits)
        return _split(dense, shapes)

    def masks(
        self, b_shapes: Sequence[tuple[int, int]], a_shapes: Sequence[tuple[int, int]], more: int
    ) -> tuple[Tensors, Tensors | None]:
        """Return the next masks of B, and of A unless it has no shapes, by the flags' coding."""
        shapes = [*b_shapes, *a_shapes]
        entries = sum(rows * columns for rows, columns in shapes)
        if more & _RANKS:
            ranks = [rank for _, rank in b_shapes]
            active = torch.from_numpy(self._bits(sum(ranks)))
            outputs, inputs = [rows for rows, _ in b_shapes], [columns for _, columns in a_shapes]
            if not inputs:
                raise ValueError("the update has active ranks of one factor only")
            return indices.of_ranks(active.split(ranks), outputs, inputs)
        if more & _GAPS:
            flat, count = indices.unpack_gaps(self._body[self._at :], entries)
            self.take(count)
        else:
            flat = self._bits(entries)
        each = _split(torch.from_numpy(flat), shapes)
        return each[: len(b_shapes)], each[len(b_shapes) :] or None

    def _bits(self, count: int) -> NDArray[np.bool_]:
        """Return the next bits, which fill whole bytes."""
        packed = np.frombuffer(self.take(-(-count // 8)), np.uint8)
        return np.unpackbits(packed, count=count).astype(np.bool_)

    def finish(self) -> None:
        """Raise ValueError if bytes are left."""
        if self._at != len(self._body):
            raise ValueError(f"the update has {len(self._body) - self._at} bytes too many")


def _flat(tensors: Tensors) -> torch.Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _split(flat: torch.Tensor, shapes: Sequence[tuple[int, int]]) -> Tensors:
    parts = flat.split([rows * columns for rows, columns in shapes])
    return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))


def _values(tensors: Tensors, mask: Tensors | None, bits: int, rounding: int) -> bytes:
    """Return the bytes of the parameters of all layers, or of those under a mask."""
    values = _flat(tensors)
    counts = _counts(tensors, mask)
    if mask is not None:
        values = values[_flat(mask)]
    if bits < BITS_PER_PARAMETER:
        return quantization.pack(values.float().numpy(), counts, bits, rounding)
    return _half(values)


def _half(values: torch.Tensor) -> bytes:
    half = values.to(torch.float16)
    if not bool(torch.isfinite(half).all()):
        raise ValueError(
            f"an update's parameters must be finite and at most 65504, got {values.abs().max():g}"
        )
    return half.numpy().astype("<f2", copy=False).tobytes()


def _shapes_digest(shapes: Sequence[tuple[int, int]]) -> int:
    return zlib.crc32(repr([tuple(shape) for shape in shapes]).encode())
