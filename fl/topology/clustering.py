"""Agglomerative clustering: merge the two clusters with the lowest collision rate of their union.

A union is admissible if its collision rate and the transmit powers of its members stay within their
bounds. Within a cluster every device sends to every other one.

Sources: arXiv 2602.20492, section on topology (AGNES); the power of Eq. (25) is that of the
network's snapshot.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from wnsim.core.units import Floats

from ..aggregation.collision import expected_collision_rate


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
    devices : devices to cluster
    densities : (all devices, layers) share of active entries of B
    sizes : (layers,) entries of each layer
    most_collisions : maximum collision rate of a union, 0 to 1
    required_w : returns for a number of receivers the power of each link by Eq. (25),
        (all devices, all devices) [W]
    available_w : (all devices,) transmit power of each device for all its receivers [W]

    Returns
    -------
    the clusters, each ascending, in the order of their first devices; among unions of equal
    collision rate the one with the least power is made first, then the one of the lowest numbers
    """
    # Computed once per number of receivers, for all pairs of devices.
    required_w = functools.cache(required_w)
    clusters = [[device] for device in sorted(devices)]
    scores: dict[tuple[int, ...], tuple[float, float] | None] = {}

    def score(union: tuple[int, ...]) -> tuple[float, float] | None:
        """Return collision rate and power of a union, None if it is not admissible."""
        if union not in scores:
            scores[union] = None
            collisions = expected_collision_rate(densities[list(union)], sizes)
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
                # With equal densities the rate depends on the size only, up to rounding.
                if found is not None:
                    candidate = (round(found[0], 12), found[1], union, one, other)
                    best = candidate if best is None else min(best, candidate)
        if best is None:
            return clusters
        _, _, union, one, other = best
        clusters[one] = list(union)
        del clusters[other]
        clusters.sort()
