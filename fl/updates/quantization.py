"""Quantization of parameters: a scale per layer and levels, with unbiased stochastic rounding.

A value v of a layer whose largest magnitude is m becomes the level v L / m, L = 2^(bits - 1) - 1,
rounded up with the probability of its fraction, so that its mean is v and its error at most m / L.

Sources: Alistarh et al., "QSGD: communication-efficient SGD via gradient quantization and
encoding", NIPS 2017 (stochastic rounding; there the scale is a norm of the whole vector).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]

SCALE_BYTES = 4
"""Size of a scale, a single-precision number [byte]."""
_LARGEST = 1e36
"""Largest scale: its multiples are finite."""


def levels(bits: int) -> int:
    """Return the largest level of a number of bits."""
    return int(2 ** (bits - 1)) - 1


def packed_bytes(counts: Sequence[int], bits: int) -> int:
    """Return the size of packed values, with their number in each layer [byte]."""
    return SCALE_BYTES * len(counts) + -(-sum(counts) * bits // 8)


def pack(values: Singles, counts: Sequence[int], bits: int, key: int) -> bytes:
    """Quantize values; return the scales of the layers, then the levels of all values.

    Parameters
    ----------
    values : (n,) values, layer by layer
    counts : number of values of each layer, n in total
    bits : bits per level, 4 or 8
    key : key of the draws of stochastic rounding

    Raises
    ------
    ValueError
        if a value is not finite, or too large
    """
    top = levels(bits)
    if not (np.abs(values) <= _LARGEST).all():
        raise ValueError(f"an update's parameters must be finite and at most {_LARGEST:g}")
    begins = np.cumsum([0, *counts[:-1]])
    # For an empty layer, reduceat would return the next value.
    is_filled = np.array(counts) > 0
    largest = np.zeros(len(counts), dtype=np.float32)
    if values.size:
        largest[is_filled] = np.maximum.reduceat(np.abs(values), begins[is_filled])
    scales = (largest / np.float32(top)).astype("<f4")
    draws = np.random.Generator(np.random.Philox(key)).random(values.size)
    per_value = np.repeat(scales, counts).astype(np.float64)
    exact = np.divide(values, per_value, out=np.zeros(values.size), where=per_value > 0)
    level = np.clip(np.floor(exact + draws), -top, top).astype(np.int8)
    return scales.tobytes() + _pack_levels(level, bits)


def unpack(data: bytes | memoryview, counts: Sequence[int], bits: int) -> Singles:
    """Return the values (n,) of packed bytes; see `pack`.

    Raises
    ------
    ValueError
        if a scale is negative, not finite or too large
    """
    scales = np.frombuffer(data, "<f4", len(counts))
    if not ((scales >= 0) & (scales <= _LARGEST)).all():
        raise ValueError(f"an update's scales must be from 0 to {_LARGEST:g}")
    level = _unpack_levels(np.frombuffer(data, np.uint8, offset=scales.nbytes), sum(counts), bits)
    values: Singles = np.repeat(scales, counts) * level.astype(np.float32)
    return values


def _pack_levels(level: NDArray[np.int8], bits: int) -> bytes:
    """Return levels as bytes; two levels of 4 bits in each, the first one in the low half."""
    if bits == 8:
        return level.tobytes()
    half = np.zeros(level.size + level.size % 2, dtype=np.uint8)
    half[: level.size] = level.view(np.uint8) & 15
    return bytes(half[::2] | half[1::2] << 4)


def _unpack_levels(data: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.int8]:
    """Return a number of levels; see `_pack_levels`."""
    if bits == 8:
        return data.view(np.int8)
    half = np.stack([data & 15, data >> 4], axis=1).ravel()[:count]
    # Sign extension: the nibble moves to the high half, and back by an arithmetic shift.
    return (half << 4).astype(np.uint8).view(np.int8) >> 4
