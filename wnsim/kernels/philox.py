"""Kernel of draws addressed by link and block; see `wnsim.core.streams` for what they are.

Sources: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011
(Philox4x32 with 10 rounds); its authors' known answers are in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wnsim.core.units import Floats

    Words = NDArray[np.uint64]

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF, _ONE = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(1)
_FIVE, _SIX = np.uint64(5), np.uint64(6)
_ROUNDS = 10


@compiled
def uniforms(stream_key: np.uint64, source: Words, target: Words, block: Words) -> Floats:
    """Return the draws (N,) of links and blocks (N,)."""
    draws = np.empty(block.size)
    for place in range(block.size):
        even, odd = _pair(stream_key, source[place], target[place], block[place] >> _ONE)
        draws[place] = odd if block[place] & _ONE else even
    return draws


@compiled
def uniform_blocks(
    stream_key: np.uint64, source: Words, target: Words, first: np.uint64, count: int
) -> Floats:
    """Return the draws (L, count) of links (L,) in consecutive blocks."""
    draws = np.empty((source.size, count))
    for link in range(source.size):
        half, place = first >> _ONE, 0
        if first & _ONE and count > 0:
            draws[link, 0] = _pair(stream_key, source[link], target[link], half)[1]
            half, place = half + _ONE, 1
        while place < count:
            even, odd = _pair(stream_key, source[link], target[link], half)
            draws[link, place] = even
            if place + 1 < count:
                draws[link, place + 1] = odd
            half, place = half + _ONE, place + 2
    return draws


@compiled
def words(stream_key: np.uint64, source: Words, target: Words, count: int) -> Words:
    """Return four words of each of the first numbers of links (L,), as (4, L, count)."""
    result = np.empty((4, source.size, count), dtype=np.uint64)
    key_0, key_1 = stream_key & _LOW, stream_key >> _HALF
    for link in range(source.size):
        for number in range(count):
            c0, c1, c2, c3 = philox4x32(
                np.uint64(number), np.uint64(0), source[link], target[link], key_0, key_1
            )
            result[0, link, number], result[1, link, number] = c0, c1
            result[2, link, number], result[3, link, number] = c2, c3
    return result


@compiled
def _pair(
    stream_key: np.uint64, source: np.uint64, target: np.uint64, half: np.uint64
) -> tuple[float, float]:
    """Return the draws of an even block and of the odd one after it, by half of its number."""
    c0, c1, c2, c3 = philox4x32(
        half & _LOW, half >> _HALF, source, target, stream_key & _LOW, stream_key >> _HALF
    )
    return _double(c0, c1), _double(c2, c3)


@compiled
def philox4x32(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, key_0: np.uint64, key_1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Encrypt a counter of four words with a key of two; words are below 2**32."""
    for _ in range(_ROUNDS):
        product_0, product_1 = c0 * _MULTIPLIER_0, c2 * _MULTIPLIER_1
        c0, c1 = (product_1 >> _HALF) ^ c1 ^ key_0, product_1 & _LOW
        c2, c3 = (product_0 >> _HALF) ^ c3 ^ key_1, product_0 & _LOW
        key_0, key_1 = (key_0 + _WEYL_0) & _LOW, (key_1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@compiled
def _double(high: np.uint64, low: np.uint64) -> float:
    """Return a number of [0, 1): 27 bits of one word above 26 of the other fill a mantissa."""
    return float((high >> _FIVE) * 67108864.0 + (low >> _SIX)) / 9007199254740992.0
