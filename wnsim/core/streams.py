"""Random numbers by name: a stream per purpose and index, and draws addressed by coordinates.

`generator` gives an ordinary sequential stream for things that are drawn once (a device's
waypoints, the phases of a field). `uniforms` gives the draws of the air: each is a pure function
of (seed, purpose, link, block), so cutting a window or adding traffic changes no other draws.

Sources: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011
(Philox4x32 with 10 rounds).
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
_ROUNDS = 10


def key(seed: int, purpose: str, *index: int, namespace: str = "") -> int:
    """Return a 64-bit key for one purpose and index; different arguments give unrelated keys."""
    text = "/".join([*filter(None, [namespace]), str(seed), purpose, *map(str, index)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return the sequential stream of one purpose and index."""
    return np.random.Generator(np.random.PCG64(key(seed, purpose, *index)))


def philox4x32(
    counter: tuple[NDArray[np.uint64], ...], key_low: int, key_high: int
) -> tuple[NDArray[np.uint64], ...]:
    """Encrypt counters of four 32-bit words (kept in 64-bit arrays) with Philox4x32-10.

    Parameters
    ----------
    counter : four arrays (...,) of values below 2**32
    key_low, key_high : the two words of the key

    Returns
    -------
    four arrays (...,) of uniformly distributed 32-bit words
    """
    c0, c1, c2, c3 = counter
    for _ in range(_ROUNDS):
        product0 = c0 * _MULTIPLIERS[0]
        product1 = c2 * _MULTIPLIERS[1]
        c0 = (product1 >> _HALF) ^ c1 ^ np.uint64(key_low)
        c1 = product1 & _LOW
        c2 = (product0 >> _HALF) ^ c3 ^ np.uint64(key_high)
        c3 = product0 & _LOW
        key_low = (key_low + _WEYL[0]) & 0xFFFFFFFF
        key_high = (key_high + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def uniforms(
    stream_key: int, source: ArrayLike, target: ArrayLike, block: ArrayLike
) -> NDArray[np.float64]:
    """Return draws addressed by link and block, uniform on [0, 1).

    Parameters
    ----------
    stream_key : the purpose's key, from `key`
    source, target : (...,) ends of the link, below 2**32
    block : (...,) number of the block, below 2**63

    Returns
    -------
    (...,) draws with 53 random bits, of the arguments' broadcast shape
    """
    shape = np.broadcast_shapes(np.shape(source), np.shape(target), np.shape(block))
    numbers = np.broadcast_to(np.asarray(block, dtype=np.uint64), shape)
    even, odd = _pairs(stream_key, source, target, numbers >> _ONE)
    return np.where(numbers & _ONE, odd, even)


def uniform_blocks(
    stream_key: int, source: ArrayLike, target: ArrayLike, first: int, count: int
) -> NDArray[np.float64]:
    """Return the draws of consecutive blocks, those of `uniforms` for half of the work.

    Parameters
    ----------
    stream_key : the purpose's key, from `key`
    source, target : (L,) ends of the links, below 2**32
    first, count : number of the first block, and how many

    Returns
    -------
    (L, count) draws
    """
    starts, ends = np.asarray(source)[:, None], np.asarray(target)[:, None]
    halves = np.arange(first >> 1, (first + count + 1) >> 1, dtype=np.uint64)
    draws = np.stack(_pairs(stream_key, starts, ends, halves), axis=-1)
    skip = first & 1
    return draws.reshape(draws.shape[0], -1)[:, skip : skip + count]


def _pairs(
    stream_key: int, source: ArrayLike, target: ArrayLike, half: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the draws of an even block and of the odd one after it, by half of its number."""
    shape = np.broadcast_shapes(np.shape(source), np.shape(target), np.shape(half))
    words = np.broadcast_to(np.asarray(half, dtype=np.uint64), shape)
    counter = (
        words & _LOW,
        words >> _HALF,
        np.broadcast_to(np.asarray(source, dtype=np.uint64), shape),
        np.broadcast_to(np.asarray(target, dtype=np.uint64), shape),
    )
    first, second, third, fourth = philox4x32(counter, stream_key & 0xFFFFFFFF, stream_key >> 32)
    return _double(first, second), _double(third, fourth)


def _double(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return a number of [0, 1): 27 bits of one word above 26 of the other fill a mantissa."""
    return ((high >> np.uint64(5)) * 67108864.0 + (low >> np.uint64(6))) / 9007199254740992.0
