"""Paths at neighboring receivers that are one path.

Two paths are one if they have the same sequence of interactions and lengths that moving from one
receiver to the other can explain: they differ by the distance of the two at most. Among several
such paths, that of the nearest length after the displacement is taken, each path once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints

# Rounding of lengths and distances that are compared [m].
_SLACK_M = 1e-2


@dataclass(frozen=True)
class Corner:
    """Paths to one of the receivers around a position.

    Parameters
    ----------
    place_m : (2,) position of the receiver [m]
    length_m : (P,) lengths of the paths [m]
    direction : (P, 2) horizontal part of the directions of arrival; zero: unknown
    sequence : (P,) numbers of sequences of interactions
    """

    place_m: Floats
    length_m: Floats
    direction: Floats
    sequence: NDArray[np.int64]


def matched(corners: Sequence[Corner]) -> Ints:
    """Return which paths of neighboring receivers are one.

    Parameters
    ----------
    corners : C receivers, some of which may be the same or without paths

    Returns
    -------
    (K, C) path at each receiver, -1 for none; each path of a receiver occurs once
    """
    tracks: list[list[int]] = []
    for number, corner in enumerate(corners):
        costs = sorted(
            (cost_m, track, path)
            for track, known in enumerate(tracks)
            for path in range(corner.length_m.size)
            if (cost_m := _difference_m(corners, known, corner, path)) is not None
        )
        extended: set[int] = set()
        taken: set[int] = set()
        for _, track, path in costs:
            if track not in extended and path not in taken:
                tracks[track][number] = path
                extended.add(track)
                taken.add(path)
        tracks += [
            [path if each == number else -1 for each in range(len(corners))]
            for path in range(corner.length_m.size)
            if path not in taken
        ]
    return np.array(tracks, dtype=np.int64).reshape(-1, len(corners))


def _difference_m(
    corners: Sequence[Corner], track: Sequence[int], corner: Corner, path: int
) -> float | None:
    """Return the difference of a path's length from that of a track [m]; None: it is another."""
    first, own = next(
        (each, known) for each, known in zip(corners, track, strict=True) if known >= 0
    )
    if first.sequence[own] != corner.sequence[path]:
        return None
    moved_m = corner.place_m - first.place_m
    longer_m = float(corner.length_m[path] - first.length_m[own])
    if abs(longer_m) > float(np.hypot(*moved_m)) + _SLACK_M:
        return None
    return abs(longer_m + float(first.direction[own] @ moved_m))
