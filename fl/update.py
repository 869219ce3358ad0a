"""What travels: an update, and its bytes.

Layout, little-endian: a header of 32 bytes (magic, format version, flags, sender, round, digest
of the layers' shapes, length of the body, CRC-32 of the body), then the sections that the flags
name, in this order: the mask of B, one bit per entry; the seed of A, 8 bytes, or the values of A;
the values of B, all of them or those under the mask. Values are IEEE half precision, layer by
layer, row by row. A receiver that holds the sender's mask needs the values only.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from .adapters.adapter import Layer

_HEADER = struct.Struct("<4sBBHIIIQI")
HEADER_BYTES = _HEADER.size
BITS_PER_VALUE = 16
SEED_BYTES = 8
_MAGIC = b"WNSU"
_VERSION = 1
_MASK, _A_SEED, _A_VALUES, _SPARSE = 1, 2, 4, 8

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What one device tells another.

    Parameters
    ----------
    device, round : sender, and the round it speaks of
    b : per layer (outputs, rank); zero outside the mask
    mask : per layer (outputs, rank), the entries of B that are meant; None for all
    a : per layer (rank, inputs), if A is told
    a_seed : seed of A, if it is told by its seed
    tells_mask : whether the receiver does not hold the mask yet
    """

    device: int
    round: int
    b: Tensors
    mask: Tensors | None = None
    a: Tensors | None = None
    a_seed: int | None = None
    tells_mask: bool = False


def encode(update: Update) -> bytes:
    """Return the bytes of an update.

    Raises
    ------
    ValueError
        if a value is not finite in half precision
    """
    flags = 0
    body = []
    if update.mask is not None:
        flags |= _SPARSE
        if update.tells_mask:
            flags |= _MASK
            body.append(np.packbits(_flat(update.mask).numpy()).tobytes())
    if update.a_seed is not None:
        flags |= _A_SEED
        body.append(struct.pack("<Q", update.a_seed))
    elif update.a is not None:
        flags |= _A_VALUES
        body.append(_half(_flat(update.a)))
    values = _flat(update.b)
    body.append(_half(values if update.mask is None else values[_flat(update.mask)]))
    joined = b"".join(body)
    digest = _digest([(b.shape[0], b.shape[1]) for b in update.b])
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        flags,
        0,
        update.device,
        update.round,
        digest,
        len(joined),
        zlib.crc32(joined),
    )
    return header + joined


def decode(
    data: bytes, layers: Sequence[Layer], ranks: Sequence[int], mask: Tensors | None = None
) -> Update:
    """Return the update that some bytes stand for.

    Parameters
    ----------
    data : the bytes as sent
    layers, ranks : shapes of the adapters, which sender and receiver share
    mask : the sender's mask, if it is held from an earlier update

    Raises
    ------
    ValueError
        if the bytes are not an update of these shapes, are cut short or damaged, or are sparse
        under a mask that is not known
    """
    if len(data) < HEADER_BYTES:
        raise ValueError(f"an update has at least {HEADER_BYTES} bytes, got {len(data)}")
    magic, version, flags, _, device, round_, digest, length, checksum = _HEADER.unpack_from(data)
    sized = list(zip(layers, ranks, strict=True))
    shapes = [(layer.outputs, rank) for layer, rank in sized]
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"not an update of format {_VERSION}: starts with {data[:5]!r}")
    if digest != _digest(shapes):
        raise ValueError("the update is of an adapter of other shapes")
    body = memoryview(data)[HEADER_BYTES:]
    if len(body) != length:
        raise ValueError(f"the update's body must have {length} bytes, got {len(body)}")
    if zlib.crc32(body) != checksum:
        raise ValueError("the update's checksum does not fit its body")

    entries = sum(outputs * rank for outputs, rank in shapes)
    a_entries = sum(layer.inputs * rank for layer, rank in sized)
    reader = _Reader(body)
    if flags & _MASK:
        bits = np.unpackbits(np.frombuffer(reader.take(-(-entries // 8)), np.uint8), count=entries)
        mask = _split(torch.from_numpy(bits.astype(bool)), shapes)
    if not flags & _SPARSE:
        mask = None
    elif mask is None:
        raise ValueError(f"the mask of device {device} is not known")
    a_seed = struct.unpack("<Q", reader.take(SEED_BYTES))[0] if flags & _A_SEED else None
    a = None
    if flags & _A_VALUES:
        a = _split(reader.values(a_entries), [(rank, layer.inputs) for layer, rank in sized])
    if mask is None:
        dense = reader.values(entries)
    else:
        flat = _flat(mask)
        dense = torch.zeros(entries)
        dense[flat] = reader.values(int(flat.sum()))
    reader.finish()
    return Update(device, round_, _split(dense, shapes), mask, a, a_seed, bool(flags & _MASK))


class _Reader:
    """Takes sections off the front of a body, never more than there is."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0

    def take(self, count: int) -> memoryview:
        """Return the next bytes."""
        if self._at + count > len(self._body):
            raise ValueError(f"the update ends after {len(self._body)} bytes of its body")
        self._at += count
        return self._body[self._at - count : self._at]

    def values(self, count: int) -> torch.Tensor:
        """Return the next half-precision values, (count,)."""
        half = np.frombuffer(self.take(count * BITS_PER_VALUE // 8), "<f2")
        return torch.from_numpy(half.astype(np.float32))

    def finish(self) -> None:
        """Raise ValueError if anything is left."""
        if self._at != len(self._body):
            raise ValueError(f"the update has {len(self._body) - self._at} bytes too many")


def _flat(tensors: Tensors) -> torch.Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _split(flat: torch.Tensor, shapes: Sequence[tuple[int, int]]) -> Tensors:
    parts = flat.split([rows * columns for rows, columns in shapes])
    return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))


def _half(values: torch.Tensor) -> bytes:
    half = values.to(torch.float16)
    if not bool(torch.isfinite(half).all()):
        raise ValueError(
            f"an update's values must be finite and at most 65504, got {values.abs().max():g}"
        )
    return half.numpy().astype("<f2", copy=False).tobytes()


def _digest(shapes: Sequence[tuple[int, int]]) -> int:
    return zlib.crc32(repr([tuple(shape) for shape in shapes]).encode())
