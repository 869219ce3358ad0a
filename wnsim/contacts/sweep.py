"""Contact detection: intervals in which two devices are within range, found step by step.

Between the instants of a grid every device is assumed to move at constant velocity, so that a
contact's start and end are the roots of a quadratic: exact where motion is linear within a step.
Instants at which devices appear or vanish within a step are kept too. Candidates come from a tree
over the positions in the middle of each step, so that the work grows with devices and contacts, not
pairs.

Limits: only the distance in space counts, without obstacles and fading; a contact ends when one of
its devices vanishes; all pairs in contact at one instant are in memory together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.heights import Heights, length_m
from wnsim.contacts.presence_segments import PresenceSegments, steps
from wnsim.core.units import Floats, Ints
from wnsim.mobility import Motion

CONTACT = np.dtype(
    [
        ("a", np.int64),
        ("b", np.int64),
        ("begin_s", np.float64),
        ("end_s", np.float64),
        ("censored", np.bool_),
    ]
)
_MAX_STEPS = 10_000_000


@dataclass(frozen=True)
class Contacts:
    """Contacts of a motion over an observed time.

    Parameters
    ----------
    rows : (contacts,) of `CONTACT`: devices a < b, start and end [s], and whether it is censored
        (in progress at the start or the end of the time); in order of start, then a, then b
    range_m, until_s, step_s : as requested
    devices : number of devices
    time_s : (steps,) instants of the grid, at each of which a step starts [s]
    present_s : (steps,) total presence of all devices in the step [s]
    mean_degree : (steps,) mean number of devices in range of a present one, at those instants
    largest_share : (steps,) fraction of the present devices in the largest connected component then
    """

    rows: NDArray[np.void]
    range_m: float
    until_s: float
    step_s: float
    devices: int
    time_s: Floats
    present_s: Floats
    mean_degree: Floats
    largest_share: Floats


def contacts(
    motion: Motion,
    range_m: float,
    until_s: float,
    step_s: float = 1.0,
    heights: Heights | None = None,
) -> Contacts:
    """Return the contacts of all devices from 0 s on.

    Parameters
    ----------
    motion : motion of the devices
    range_m : distance within which two devices are in contact [m]
    until_s : end of the observed time [s]
    step_s : step within which velocity is assumed constant [s]
    heights : antenna heights of the devices; none: equal heights

    Raises
    ------
    ValueError
        if range, time or step is not positive, or there are more than 10 million steps
    """
    for name, value in (("range_m", range_m), ("until_s", until_s), ("step_s", step_s)):
        if not 0.0 < value < math.inf:
            raise ValueError(f"{name} must be positive, got {value}")
    if until_s / step_s > _MAX_STEPS:
        raise ValueError(
            f"step_s must divide until_s into at most {_MAX_STEPS} steps, got {step_s:g}"
        )
    regular_s = np.append(np.arange(math.ceil(until_s / step_s)) * step_s, until_s)
    regular_s = np.unique(np.minimum(regular_s, until_s))
    sweep = _Sweep(len(motion.names), range_m, regular_s.size - 1)
    for step, stays in enumerate(steps(motion, regular_s, heights)):
        sweep.step(step, regular_s[step], regular_s[step + 1], stays)
    return Contacts(
        rows=sweep.rows(until_s),
        range_m=range_m,
        until_s=until_s,
        step_s=step_s,
        devices=len(motion.names),
        time_s=regular_s[:-1],
        present_s=sweep.present_s,
        mean_degree=sweep.mean_degree,
        largest_share=sweep.largest_share,
    )


class _Sweep:
    """Sweep over the steps that keeps the contacts in progress."""

    def __init__(self, devices: int, range_m: float, steps: int) -> None:
        self.present_s = np.zeros(steps)
        self.mean_degree = np.zeros(steps)
        self.largest_share = np.zeros(steps)
        self._devices = devices
        self._range_m = range_m
        self._rows: list[NDArray[np.void]] = []
        # Pairs in progress, as a * devices + b in ascending order, and since when [s].
        self._open = np.zeros(0, dtype=np.int64)
        self._since_s = np.zeros(0)

    def step(self, number: int, begin_s: float, end_s: float, stays: PresenceSegments) -> None:
        """Process a step between two instants [s]."""
        first, second = _candidates(stays, self._range_m)
        # Common presence of both.
        from_s = np.maximum(stays.begin_s[first], stays.begin_s[second])
        to_s = np.minimum(stays.end_s[first], stays.end_s[second])
        pair = stays.device[first] * self._devices + stays.device[second]
        order = np.argsort(pair)
        order = order[to_s[order] > from_s[order]]
        first, second, pair = first[order], second[order], pair[order]
        from_s, to_s = from_s[order], to_s[order]
        from_m = stays.place_m(second, from_s) - stays.place_m(first, from_s)
        to_m = stays.place_m(second, to_s) - stays.place_m(first, to_s)
        at_first, at_last = _within(from_m, self._range_m), _within(to_m, self._range_m)
        enters, leaves = _crossings(from_m, to_m, self._range_m)

        # Fractions may lie beyond the ends by rounding; a touch at an end is not a crossing.
        since_s = np.where(at_first, from_s, from_s + np.clip(enters, 0.0, 1.0) * (to_s - from_s))
        until_s = np.where(at_last, to_s, from_s + np.clip(leaves, 0.0, 1.0) * (to_s - from_s))
        meets = at_first | at_last | ((enters > 0.0) & (leaves > enters) & (leaves < 1.0))
        at_begin = np.flatnonzero(at_first & (from_s == begin_s))
        at_end = at_last & (to_s == end_s)
        self._measure(number, begin_s, stays, first[at_begin], second[at_begin])

        # Contacts continue if they were in progress and both devices are still present.
        goes_on = at_begin[np.isin(pair[at_begin], self._open, assume_unique=True)]
        was = np.searchsorted(self._open, pair[goes_on])
        since_s[goes_on] = self._since_s[was]
        ended = np.ones(self._open.size, dtype=np.bool_)
        ended[was] = False
        began_s = self._since_s[ended]
        self._close(self._open[ended], began_s, np.full(began_s.size, begin_s))
        over = meets & ~at_end
        self._close(pair[over], since_s[over], until_s[over])
        self._open, self._since_s = pair[at_end], since_s[at_end]

    def rows(self, until_s: float) -> NDArray[np.void]:
        """Return all contacts, those in progress cut at an instant [s]."""
        self._close(self._open, self._since_s, np.full(self._open.size, until_s))
        rows = np.concatenate(self._rows)
        rows["censored"] = (rows["begin_s"] <= 0.0) | (rows["end_s"] >= until_s)
        return rows[np.lexsort((rows["b"], rows["a"], rows["begin_s"]))]

    def _close(self, pair: Ints, since_s: Floats, until_s: Floats) -> None:
        """Store ended contacts; a contact of zero duration is none."""
        lasting = until_s > since_s
        rows = np.zeros(np.count_nonzero(lasting), dtype=CONTACT)
        rows["a"], rows["b"] = np.divmod(pair[lasting], self._devices)
        rows["begin_s"], rows["end_s"] = since_s[lasting], until_s[lasting]
        self._rows.append(rows)

    def _measure(
        self, number: int, begin_s: float, stays: PresenceSegments, first: Ints, second: Ints
    ) -> None:
        """Record presence, and connectivity by the links (l,) at the start of the step."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        self.present_s[number] = np.sum(stays.end_s - stays.begin_s)
        there = stays.begin_s == begin_s
        count = int(np.count_nonzero(there))
        if count:
            size = there.size
            links = coo_array((np.ones(first.size), (first, second)), shape=(size, size))
            _, part = connected_components(links, directed=False)
            self.mean_degree[number] = 2.0 * first.size / count
            self.largest_share[number] = np.max(np.bincount(part[there])) / count


def _candidates(stays: PresenceSegments, range_m: float) -> tuple[Ints, Ints]:
    """Return pairs (p,), (p,) of segments of two devices that may come within range."""
    from scipy.spatial import cKDTree

    if stays.device.size < 2:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    # Each is at most half of its way from its middle; a little more for rounding.
    max_range_m = np.max(length_m(stays.to_m - stays.from_m))
    tree = cKDTree((stays.from_m + stays.to_m) / 2.0)
    pairs = tree.query_pairs((range_m + max_range_m) * (1.0 + 1e-9), output_type="ndarray")
    first, second = pairs.astype(np.int64).T
    two = stays.device[first] != stays.device[second]
    return first[two], second[two]


def _within(apart_m: Floats, range_m: float) -> NDArray[np.bool_]:
    """Return whether differences (2 or 3, p) [m] are within range."""
    return np.asarray(length_m(apart_m.T) <= range_m, dtype=np.bool_)


def _crossings(from_m: Floats, to_m: Floats, range_m: float) -> tuple[Floats, Floats]:
    """Return the fractions (p,) of the way at which range is entered and left; 1 and 0 if never.

    Parameters
    ----------
    from_m, to_m : (2 or 3, p) difference vectors at both ends of the way [m]
    range_m : distance of the crossing [m]
    """
    way_m = to_m - from_m
    square = np.sum(way_m**2, axis=0)
    toward = -np.sum(from_m * way_m, axis=0)
    # R^2 - d_min^2 of the closest approach, from the cross product.
    cross = [
        from_m[one] * way_m[other] - from_m[other] * way_m[one]
        for one, other in combinations(range(len(way_m)), 2)
    ]
    inside = range_m**2 * square - sum(each**2 for each in cross)
    crosses = (square > 0.0) & (inside > 0.0)
    half = np.sqrt(np.where(crosses, inside, 0.0))
    safe = np.where(crosses, square, 1.0)
    enters = np.where(crosses, (toward - half) / safe, 1.0)
    leaves = np.where(crosses, (toward + half) / safe, 0.0)
    return enters, leaves
