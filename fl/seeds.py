"""Random numbers by name, so that a new consumer changes nobody else's draws."""

from __future__ import annotations

import hashlib

import numpy as np


def key(seed: int, purpose: str, *index: int) -> int:
    """Return a 63-bit key for one purpose and index; different arguments give unrelated keys."""
    text = "/".join(["fl", str(seed), purpose, *map(str, index)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return the stream of one purpose and index."""
    return np.random.Generator(np.random.PCG64(key(seed, purpose, *index)))
