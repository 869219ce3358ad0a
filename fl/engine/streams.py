"""Random streams of the learning layer, apart from those of the network simulation.

Each stream is addressed by seed, purpose and index (`wnsim.core.streams`), so that an additional
consumer does not change the draws of the others.
"""

from __future__ import annotations

import numpy as np

from wnsim.core import streams

_NAMESPACE = "fl"


def key(seed: int, purpose: str, *index: int) -> int:
    """Return a 63-bit key for one purpose and index, which also seeds torch's generators."""
    return streams.key(seed, purpose, *index, namespace=_NAMESPACE) >> 1


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return the sequential stream of one purpose and index."""
    return np.random.Generator(np.random.PCG64(key(seed, purpose, *index)))
