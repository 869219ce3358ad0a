"""Clusters by agglomeration: merge the two whose union collides least, as long as power suffices.

Sources: arXiv 2602.20492, section on topology (AGNES); the power of Eq. (25) is that of the
network's snapshot. Within a cluster everybody tells everybody.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..aggregation.collision import expected

Floats = NDArray[np.float64]


def agglomerate(
    devices: Sequence[int],
    densities: Floats,
    sizes: Floats,
    most_collisions: float,
    required_w: Callable[[int], Floats],
    available_w: Floats,
) -> list[list[int]]:
    """Return clusters of devices.

    Parameters
    ----------
    devices : numbers of those to be clustered
    densities : (all devices, layers) share of active entries of B
    sizes : (layers,) entries of each layer
    most_collisions : a union may not collide more, 0 to 1
    required_w : returns for a number of receivers the power of each link that Eq. (25) asks for,
        (all devices, all devices) [W]
    available_w : (all devices,) what each has for all its receivers [W]

    Returns
    -------
    the clusters, each ascending, in the order of their first devices; of unions that collide as
    little, the one that needs the least power is made first, then the one of the lowest numbers
    """
    # For all pairs of devices, whatever union asks.
    required_w = functools.cache(required_w)
    clusters = [[device] for device in sorted(devices)]
    scores: dict[tuple[int, ...], tuple[float, float] | None] = {}

    def score(union: tuple[int, ...]) -> tuple[float, float] | None:
        """Return collisions and power of a union, None if it may not be."""
        if union not in scores:
            scores[union] = None
            collisions = expected(densities[list(union)], sizes)
            if collisions <= most_collisions:
                inside = np.ix_(union, union)
                needed_w = required_w(len(union) - 1)[inside].copy()
                np.fill_diagonal(needed_w, 0.0)
                if (needed_w.sum(axis=1) <= available_w[list(union)]).all():
                    scores[union] = (collisions, float(needed_w.sum()))
        return scores[union]

    while True:
        best: tuple[float, float, tuple[int, ...], int, int] | None = None
        for one in range(len(clusters)):
            for other in range(one + 1, len(clusters)):
                union = tuple(sorted(clusters[one] + clusters[other]))
                found = score(union)
                # With equal densities collisions depend on size alone, up to rounding.
                if found is not None:
                    candidate = (round(found[0], 12), found[1], union, one, other)
                    best = candidate if best is None else min(best, candidate)
        if best is None:
            return clusters
        _, _, union, one, other = best
        clusters[one] = list(union)
        del clusters[other]
        clusters.sort()
