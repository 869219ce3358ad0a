"""Values in few bits: whole multiples of a scale for each layer, rounded at random without bias.

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
"""A scale is a number in single precision."""
_LARGEST = 1e36
"""Of a scale: its multiples are then finite."""


def levels(bits: int) -> int:
    """Return the largest level of numbers of so many bits."""
    return int(2 ** (bits - 1)) - 1


def packed_bytes(counts: Sequence[int], bits: int) -> int:
    """Return what so many values in each layer take [byte]."""
    return SCALE_BYTES * len(counts) + -(-sum(counts) * bits // 8)


def pack(values: Singles, counts: Sequence[int], bits: int, key: int) -> bytes:
    """Return the scales of the layers, then the levels of all values.

    Parameters
    ----------
    values : (n,) values, layer by layer
    counts : how many each layer has, n in all
    bits : of a level, 4 or 8
    key : of the draws that decide on rounding

    Raises
    ------
    ValueError
        if a value is not finite, or too large
    """
    top = levels(bits)
    if not (np.abs(values) <= _LARGEST).all():
        raise ValueError(f"an update's values must be finite and at most {_LARGEST:g}")
    begins = np.cumsum([0, *counts[:-1]])
    # reduceat takes an empty layer for the one value after it.
    there = np.array(counts) > 0
    largest = np.zeros(len(counts), dtype=np.float32)
    if values.size:
        largest[there] = np.maximum.reduceat(np.abs(values), begins[there])
    scales = (largest / np.float32(top)).astype("<f4")
    draws = np.random.Generator(np.random.Philox(key)).random(values.size)
    per_value = np.repeat(scales, counts).astype(np.float64)
    exact = np.divide(values, per_value, out=np.zeros(values.size), where=per_value > 0)
    level = np.clip(np.floor(exact + draws), -top, top).astype(np.int8)
    return scales.tobytes() + _joined(level, bits)


def unpack(data: bytes | memoryview, counts: Sequence[int], bits: int) -> Singles:
    """Return the values (n,) that some bytes stand for; see `pack`.

    Raises
    ------
    ValueError
        if a scale is not a size
    """
    scales = np.frombuffer(data, "<f4", len(counts))
    if not ((scales >= 0) & (scales <= _LARGEST)).all():
        raise ValueError(f"an update's scales must be from 0 to {_LARGEST:g}")
    level = _split(np.frombuffer(data, np.uint8, offset=scales.nbytes), sum(counts), bits)
    values: Singles = np.repeat(scales, counts) * level.astype(np.float32)
    return values


def _joined(level: NDArray[np.int8], bits: int) -> bytes:
    """Return levels as bytes; of 4 bits two in each, the first one low."""
    if bits == 8:
        return level.tobytes()
    half = np.zeros(level.size + level.size % 2, dtype=np.uint8)
    half[: level.size] = level.view(np.uint8) & 15
    return bytes(half[::2] | half[1::2] << 4)


def _split(data: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.int8]:
    """Return so many levels; see `_joined`."""
    if bits == 8:
        return data.view(np.int8)
    half = np.stack([data & 15, data >> 4], axis=1).ravel()[:count]
    # The sign bit of four moves to that of eight, and back with its copies.
    return (half << 4).astype(np.uint8).view(np.int8) >> 4
