"""Presence segments: who is present in each step of a time grid, from where to where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.heights import Heights
from wnsim.core.units import Floats, Ints
from wnsim.mobility import Motion

_MAX_CHANGES = 10_000_000
# Coordinates in memory at once.
_VALUES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class PresenceSegments:
    """Intervals of uninterrupted presence in one step, in order of the devices.

    Parameters
    ----------
    device : (s,) device
    begin_s, end_s : (s,) start and end [s]
    from_m, to_m : (s, 2) positions at both, or (s, 3) with heights [m]
    """

    device: Ints
    begin_s: Floats
    end_s: Floats
    from_m: Floats
    to_m: Floats

    def place_m(self, which: Ints, at_s: Floats) -> Floats:
        """Return positions (2 or 3, p) [m] in segments (p,) at instants (p,) [s]; exact at ends."""
        begin_s, end_s = self.begin_s[which], self.end_s[which]
        from_m, to_m = self.from_m[which].T, self.to_m[which].T
        share = (at_s - begin_s) / (end_s - begin_s)
        return np.where(at_s == end_s, to_m, from_m + share * (to_m - from_m))


def steps(
    motion: Motion, regular_s: Floats, heights: Heights | None = None
) -> Iterator[PresenceSegments]:
    """Yield the presence segments of each step.

    Parameters
    ----------
    motion : motion of the devices
    regular_s : (steps + 1,) instants between the steps [s]
    heights : antenna heights of the devices; none: equal heights
    """
    everyone = np.arange(len(motion.names))
    grid_s = np.union1d(regular_s, _changes_s(motion, float(regular_s[-1])))
    bounds = np.searchsorted(grid_s, regular_s)
    at_once = max(1, _VALUES_AT_ONCE // (2 * everyone.size))
    first = 0
    while first < regular_s.size - 1:
        last = int(np.searchsorted(bounds, bounds[first] + at_once, side="right")) - 1
        last = max(first + 1, last)
        part_s = grid_s[bounds[first] : bounds[last] + 1]
        positions_m = motion.position_m(everyone, part_s)
        if heights is not None:
            positions_m = heights.in_space_m(positions_m, everyone, part_s)
        there = motion.present(everyone, (part_s[:-1] + part_s[1:]) / 2.0)
        for step in range(first, last):
            low, high = bounds[[step, step + 1]] - bounds[first]
            instants = slice(low, high + 1)
            yield _stays(part_s[instants], positions_m[:, instants], there[:, low:high])
        first = last


def _changes_s(motion: Motion, until_s: float) -> list[float]:
    """Return the instants [s] at which devices appear or vanish."""
    changes_s: list[float] = []
    now_s = 0.0
    while (now_s := motion.next_change_s(now_s)) < until_s:
        changes_s.append(now_s)
        if len(changes_s) > _MAX_CHANGES:
            raise ValueError(f"presence may change at most {_MAX_CHANGES} times, got more")
    return changes_s


def _stays(instants_s: Floats, positions_m: Floats, there: NDArray[np.bool_]) -> PresenceSegments:
    """Return the presence segments of a step.

    Parameters
    ----------
    instants_s : (k + 1,) start of the step, changes of presence, and end of the step [s]
    positions_m : (devices, k + 1, 2 or 3) positions then [m]
    there : (devices, k) presence in between
    """
    # A segment starts where presence follows absence, and ends where absence follows presence.
    edges = np.diff(there.astype(np.int8), axis=1, prepend=0, append=0)
    device, begin = np.nonzero(edges > 0)
    end = np.nonzero(edges < 0)[1]
    return PresenceSegments(
        device=device,
        begin_s=instants_s[begin],
        end_s=instants_s[end],
        from_m=positions_m[device, begin],
        to_m=positions_m[device, end],
    )
