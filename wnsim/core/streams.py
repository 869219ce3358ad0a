"""Random numbers by name: a stream per purpose and index, and draws addressed by coordinates.

`generator` gives an ordinary sequential stream for things that are drawn once (a device's
waypoints, the phases of a field). `uniforms` gives the draws of the air: each is a pure function
of (seed, purpose, link, block), so cutting a window or adding traffic changes no other draws.

See `wnsim.kernels.philox` for their calculation.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wnsim import kernels


def key(seed: int, purpose: str, *index: int, namespace: str = "") -> int:
    """Return a 64-bit key for one purpose and index; different arguments give unrelated keys."""
    text = "/".join([*filter(None, [namespace]), str(seed), purpose, *map(str, index)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return the sequential stream of one purpose and index."""
    return np.random.Generator(np.random.PCG64(key(seed, purpose, *index)))


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
    words = (_words(each, shape).ravel() for each in (source, target, block))
    return kernels.philox.uniforms(np.uint64(stream_key), *words).reshape(shape)


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
    shape = np.shape(source)
    ends = _words(source, shape), _words(target, shape)
    return kernels.philox.uniform_blocks(np.uint64(stream_key), *ends, np.uint64(first), count)


def words(stream_key: int, source: ArrayLike, target: ArrayLike, count: int) -> NDArray[np.uint64]:
    """Return random 32-bit words addressed by link and number.

    Parameters
    ----------
    stream_key : the purpose's key, from `key`
    source, target : (L,) ends of the links, below 2**32
    count : how many numbers, from 0 on

    Returns
    -------
    (4, L, count) four words each
    """
    ends = _words(source, np.shape(source)), _words(target, np.shape(target))
    return kernels.philox.words(np.uint64(stream_key), *ends, count)


def _words(values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """Return a contiguous array that may be written to, as kernels take it."""
    if np.shape(values) == shape:
        return np.array(values, dtype=np.uint64, order="C")
    return np.array(np.broadcast_to(values, shape), dtype=np.uint64, order="C")
