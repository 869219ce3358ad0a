"""Motion with absences caused by faults."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from wnsim.core.units import FAR_NS, NS_PER_S, Floats, Ints, to_s
from wnsim.faults.spans import Spans
from wnsim.mobility.motion import Bools, Motion


class Interrupted:
    """Motion whose devices are also absent during faults; see `Motion`.

    Parameters
    ----------
    motion : motion without faults
    away : absence intervals by device
    """

    def __init__(self, motion: Motion, away: Mapping[int, Sequence[Spans]]) -> None:
        self.names = motion.names
        self.max_speed_mps = motion.max_speed_mps
        self._motion = motion
        self._away = away

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m]."""
        return self._motion.position_m(devices, t_s)

    def present(self, devices: Ints, t_s: Floats) -> Bools:
        """Return (n, T) whether devices (n,) are present and no fault keeps them away."""
        there = self._motion.present(devices, t_s).copy()
        at_ns = np.rint(np.asarray(t_s, dtype=np.float64) * NS_PER_S).astype(np.int64)
        for row, device in enumerate(np.asarray(devices).tolist()):
            for spans in self._away.get(device, ()):
                there[row] &= ~spans.covered(at_ns)
        return there

    def next_change_s(self, t_s: float) -> float:
        """Return the first instant after t at which a device appears or vanishes, or inf [s]."""
        at_ns = round(t_s * NS_PER_S)
        edges = [spans.next_edge_ns(at_ns) for each in self._away.values() for spans in each]
        edge_ns = min(edges, default=FAR_NS)
        change_s = self._motion.next_change_s(t_s)
        return change_s if edge_ns == FAR_NS else min(change_s, to_s(edge_ns))

    def presence_end_s(self, device: int, t_s: float) -> float:
        """Return when a device that is present at t vanishes, or inf [s]."""
        at_ns = round(t_s * NS_PER_S)
        begins = [spans.next_begin_ns(at_ns) for spans in self._away.get(device, ())]
        begin_ns = min(begins, default=FAR_NS)
        end_s = self._motion.presence_end_s(device, t_s)
        if begin_ns == FAR_NS or end_s <= to_s(begin_ns):
            return end_s
        begin_s = to_s(begin_ns)
        # Seconds that do not truncate to an earlier nanosecond.
        return begin_s if int(begin_s * NS_PER_S) >= begin_ns else math.nextafter(begin_s, math.inf)
