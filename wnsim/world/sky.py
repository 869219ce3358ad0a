"""Satellites as seen from nodes on the ground, and their passes over them.

A link between a ground node and a satellite exists while the satellite is at least at the minimum
elevation. Rises and settings are found on a grid of 10 s and refined to a microsecond, so that a
pass shorter than a step may be missed; they are searched up to ten days ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.heights import Heights
from wnsim.channel.satellite_links import Sight
from wnsim.core.units import FAR_NS, NS_PER_S, Floats, Ints
from wnsim.mobility.orbits import Constellation, Ground

_STEP_S = 10.0
_CHUNK_STEPS = 600
_MOST_CHUNKS = 144
_BISECTIONS = 24


@dataclass(slots=True)
class _Passes:
    """Rises and settings of a satellite at a ground node, as far as they have been searched.

    Parameters
    ----------
    begins_up : whether the satellite is up at 0 s

    Attributes
    ----------
    edges_ns : instants at which it rises or sets, in order [ns]
    chunks : number of chunks of time that have been searched
    """

    begins_up: bool
    edges_ns: list[int] = field(default_factory=list)
    chunks: int = 0


@dataclass(frozen=True)
class Sky:
    """Satellites above the nodes of a scenario.

    Parameters
    ----------
    constellation : the satellites
    ground : place of the scenario on the Earth
    position_m : positions (n, T, 2) [m] of ground nodes (n,) at instants (T,) [s]
    heights : heights of the ground nodes
    first : number of the first satellite; smaller ones are nodes on the ground
    min_elevation_deg : elevation below which there is no link [degrees]
    """

    constellation: Constellation
    ground: Ground
    position_m: Callable[[Ints, Floats], Floats]
    heights: Heights
    first: int
    min_elevation_deg: float
    _passes: dict[tuple[int, int], _Passes] = field(default_factory=dict, repr=False)

    @property
    def count(self) -> int:
        """Number of satellites."""
        return len(self.constellation.names)

    def with_satellites(
        self, ground_m: Callable[[Ints, Floats], Floats]
    ) -> Callable[[Ints, Floats], Floats]:
        """Return positions in the plane of all nodes, satellites staying in its middle.

        Their motion is not that of a node in the plane: its Doppler shift is compensated.
        """
        middle_m = np.array(self.ground.middle_m)

        def positions_m(nodes: Ints, t_s: Floats) -> Floats:
            nodes = np.asarray(nodes)
            found_m = np.empty((nodes.size, np.size(t_s), 2))
            above = nodes >= self.first
            found_m[~above] = ground_m(nodes[~above], t_s)
            found_m[above] = middle_m
            return found_m

        return positions_m

    def sight(self, ground: Ints, satellites: Ints, t_s: Floats) -> Sight:
        """Return where satellites (L,) are seen from nodes (L,) at instants (T,) [s]."""
        nodes, place = np.unique(ground, return_inverse=True)
        heights_m = np.broadcast_to(self.heights.at_m(nodes, t_s), (nodes.size, t_s.size))
        here = self.ground.places(self.position_m(nodes, t_s), heights_m)
        numbers, which = np.unique(np.asarray(satellites) - self.first, return_inverse=True)
        there_m = self.constellation.position_m(numbers, t_s)
        towards_m = there_m[which] - here.position_m[place]
        east_m, north_m, up_m = (
            _dot(towards_m, axis[place]) for axis in (here.east, here.north, here.up)
        )
        across_m = np.hypot(east_m, north_m)
        return Sight(
            np.hypot(across_m, up_m), np.arctan2(up_m, across_m), np.arctan2(east_m, north_m)
        )

    def distance_m(self, source: int, target: int, time_s: float) -> float:
        """Return the slant range of a link with one satellite at an instant [s]."""
        low, high = sorted((source, target))
        sight = self.sight(np.array([low]), np.array([high]), np.array([time_s]))
        return float(sight.range_m[0, 0])

    def longest_m(self) -> float:
        """Return the largest slant range at which there is a link, over a sphere [m]."""
        radius_m = float(
            np.linalg.norm(self.ground.places(np.zeros((1, 2)), np.zeros(1)).position_m)
        )
        sine = np.sin(np.radians(self.min_elevation_deg))
        highest_m = self.constellation.highest_m
        return float(np.sqrt(highest_m**2 - radius_m**2 * (1.0 - sine**2)) - radius_m * sine)

    def concerns(self, source: int, target: int) -> bool:
        """Return whether a link has a satellite."""
        return max(source, target) >= self.first

    def dark(self, source: Ints, target: Ints, at_ns: Ints) -> NDArray[np.bool_]:
        """Return where links (L,) have a satellite without a link at instants (T,) [ns]: (L, T)."""
        dark = np.zeros((source.size, at_ns.size), dtype=np.bool_)
        for row, (one, other) in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
            if self.concerns(one, other) and at_ns.size:
                passes = self._until(one, other, int(at_ns.max()))
                edges = np.searchsorted(np.array(passes.edges_ns, np.int64), at_ns, side="right")
                dark[row] = passes.begins_up == (edges % 2 == 1)
        return dark

    def cut_ns(self, source: int, target: int, now_ns: int) -> int:
        """Return when a link next ends; now if there is none now [ns]."""
        if not self.concerns(source, target):
            return FAR_NS
        up, edge_ns = self._state(source, target, now_ns)
        return edge_ns if up else now_ns

    def clear_ns(self, source: int, target: int, now_ns: int) -> int:
        """Return when there is a link again; now if there is one now [ns]."""
        if not self.concerns(source, target):
            return now_ns
        up, edge_ns = self._state(source, target, now_ns)
        return now_ns if up else edge_ns

    def passes_s(self, source: int, target: int, from_s: float, until_s: float) -> Floats:
        """Return begin and end of the passes (n, 2) of a link between two instants [s]."""
        until_ns, now_ns = round(until_s * NS_PER_S), round(from_s * NS_PER_S)
        found = []
        while (begin_ns := self.clear_ns(source, target, now_ns)) < until_ns:
            now_ns = min(self.cut_ns(source, target, begin_ns), until_ns)
            found.append((begin_ns / NS_PER_S, now_ns / NS_PER_S))
        return np.array(found, dtype=np.float64).reshape(-1, 2)

    def _state(self, source: int, target: int, now_ns: int) -> tuple[bool, int]:
        """Return whether there is a link now, and when that changes next [ns]."""
        passes = self._until(source, target, now_ns)
        chunks = passes.chunks
        while True:
            edges = int(np.searchsorted(np.array(passes.edges_ns, np.int64), now_ns, side="right"))
            up = passes.begins_up != (edges % 2 == 1)
            if edges < len(passes.edges_ns):
                return up, passes.edges_ns[edges]
            if passes.chunks - chunks >= _MOST_CHUNKS or self.first <= min(source, target):
                return up, FAR_NS
            self._search(source, target, passes)

    def _until(self, source: int, target: int, at_ns: int) -> _Passes:
        """Return the passes of a link, searched up to an instant at least [ns]."""
        low, high = sorted((source, target))
        passes = self._passes.get((low, high))
        if passes is None:
            up = low < self.first and bool(self._above(low, high, np.zeros(1))[0] >= 0.0)
            passes = self._passes[low, high] = _Passes(up)
        if low < self.first:
            while passes.chunks * _CHUNK_STEPS * _STEP_S * NS_PER_S <= at_ns:
                self._search(low, high, passes)
        return passes

    def _search(self, source: int, target: int, passes: _Passes) -> None:
        """Find the rises and settings in another chunk of time."""
        low, high = sorted((source, target))
        steps = passes.chunks * _CHUNK_STEPS + np.arange(_CHUNK_STEPS + 1)
        up = self._above(low, high, np.asarray(steps * _STEP_S, np.float64)) >= 0.0
        for step in np.flatnonzero(up[1:] != up[:-1]).tolist():
            begin_s, end_s = steps[step] * _STEP_S, steps[step + 1] * _STEP_S
            for _ in range(_BISECTIONS):
                middle_s = 0.5 * (begin_s + end_s)
                if (self._above(low, high, np.array([middle_s]))[0] >= 0.0) == up[step]:
                    begin_s = middle_s
                else:
                    end_s = middle_s
            passes.edges_ns.append(round(end_s * NS_PER_S))
        passes.chunks += 1

    def _above(self, ground: int, satellite: int, t_s: Floats) -> Floats:
        """Return how far a satellite is above the minimum elevation at instants (T,) [rad]."""
        sight = self.sight(np.array([ground]), np.array([satellite]), t_s)
        return np.asarray(sight.elevation[0] - np.radians(self.min_elevation_deg))


def _dot(one: Floats, other: Floats) -> Floats:
    """Return the scalar products (...) of vectors (..., 3)."""
    x, y, z = np.moveaxis(one * other, -1, 0)
    return np.asarray(x + y + z)
