"""Paths of devices that move straight between knots, drawn as far as somebody asks.

A model of motion is a generator of knots: it begins with those that hold at 0 s and goes on for
ever. What was drawn is kept, so a position is a function of time, whatever was asked before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from wnsim.mobility.motion import AlwaysPresent
from wnsim.units import Floats, Ints

MAX_KNOTS = 20_000_000


class Path:
    """One device's way: instants and places between which it moves straight.

    Parameters
    ----------
    blocks : knots (k, 3) in order of time: instant [s], x and y [m]; the first at 0 s, without end
    """

    def __init__(self, blocks: Iterator[Floats]) -> None:
        self._blocks = blocks
        self._size = 0
        # (3, room): instant, x, y, each contiguous, which np.interp needs to search in place
        self._knots = np.empty((3, 64))
        self._append()

    def position_m(self, t_s: Floats) -> Floats:
        """Return positions (T, 2) [m] at instants (T,) [s]."""
        if t_s.size:
            last_s = float(t_s.max())
            while self._knots[0, self._size - 1] <= last_s:
                self._append()
        when_s, x_m, y_m = self._knots[:, : self._size]
        positions_m = np.empty((t_s.size, 2))
        positions_m[:, 0] = np.interp(t_s, when_s, x_m)
        positions_m[:, 1] = np.interp(t_s, when_s, y_m)
        return positions_m

    def _append(self) -> None:
        """Draw the next knots."""
        block = next(self._blocks)
        size = self._size + block.shape[0]
        if size > MAX_KNOTS:
            raise ValueError(
                f"a device may make at most {MAX_KNOTS} moves, got more by {block[0, 0]:g} s"
            )
        if size > self._knots.shape[1]:
            room = np.empty((3, 2 * size))
            room[:, : self._size] = self._knots[:, : self._size]
            self._knots = room
        self._knots[:, self._size : size] = block.T
        self._size = size


class PathMotion(AlwaysPresent):
    """Devices on their paths.

    Parameters
    ----------
    paths : one for each device
    max_speed_mps : upper bound of any device's speed [m/s]
    mirror_m : sides of the area at whose borders the paths, drawn through the whole plane, are
        reflected [m]; none: the paths stay inside by themselves
    """

    def __init__(
        self,
        paths: Sequence[Path],
        max_speed_mps: float,
        mirror_m: tuple[float, float] | None = None,
    ) -> None:
        self.names = tuple(str(n) for n in range(len(paths)))
        self.max_speed_mps = max_speed_mps
        self._paths = paths
        self._mirror_m = mirror_m

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m] of devices (n,) at instants (T,) [s]."""
        t_s = np.asarray(t_s, dtype=np.float64)
        positions_m = np.empty((np.size(devices), t_s.size, 2))
        for row, device in enumerate(np.asarray(devices).tolist()):
            positions_m[row] = self._paths[device].position_m(t_s)
        return positions_m if self._mirror_m is None else reflect(positions_m, self._mirror_m)


def reflect(places_m: Floats, area_m: tuple[float, float]) -> Floats:
    """Return where ways that began inside an area are if its borders are mirrors.

    Parameters
    ----------
    places_m : (..., 2) places in the plane [m]
    area_m : sides of the area, which begins at (0, 0) [m]

    Returns
    -------
    (..., 2) places inside [m]
    """
    sides_m = np.asarray(area_m)
    return np.asarray(sides_m - np.abs(sides_m - np.mod(places_m, 2.0 * sides_m)))


def knots_after(last: Floats, legs_s: Floats, moves_m: Floats) -> Floats:
    """Return the knots (k, 3) that follow one (3,) by legs (k,) [s] with moves (k, 2) [m]."""
    steps = np.column_stack([legs_s, moves_m])
    return np.asarray(np.cumsum(np.vstack([last, steps]), axis=0)[1:])


def headings(turns: Floats) -> Floats:
    """Return unit vectors (..., 2) of directions (...) in turns from the x axis."""
    angle = 2.0 * np.pi * turns
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
