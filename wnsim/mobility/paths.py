"""Piecewise linear paths between knots, generated on demand.

A mobility model is an endless generator of knots, starting with those that hold at 0 s. Generated
knots are kept, so that a position is a function of time, independent of earlier requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from wnsim import kernels
from wnsim.core.units import Floats, Ints
from wnsim.kernels.layout import plain
from wnsim.mobility.motion import AlwaysPresent

MAX_KNOTS = 20_000_000


class Path:
    """Path of one device: instants and positions between which it moves straight.

    Parameters
    ----------
    blocks : endless blocks of knots (k, 3) in order of time: instant [s], x and y [m]; the first
        knot is at 0 s
    """

    def __init__(self, blocks: Iterator[Floats]) -> None:
        self._blocks = blocks
        self._size = 0
        # (3, room): instant, x, y
        self._knots = np.empty((3, 64))
        self._append()

    def position_m(self, t_s: Floats) -> Floats:
        """Return positions (T, 2) [m] at instants (T,) [s]."""
        positions_m = np.empty((t_s.size, 2))
        self.follow(plain(np.asarray(t_s, dtype=np.float64)), positions_m, np.empty((3, 2)))
        return positions_m

    def follow(self, t_s: Floats, positions_m: Floats, move: Floats) -> None:
        """Fill in positions (T, 2) [m] at instants (T,) [s], and the move at the last of them.

        A move consists of the knots (3, 2) before and after an instant.
        """
        if t_s.size:
            last_s = t_s.max()
            while self._knots[0, self._size - 1] <= last_s:
                self._append()
            kernels.link_geometry.on_path(self._knots, self._size, t_s, positions_m, move)

    def _append(self) -> None:
        """Append the next knots."""
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
    """Motion of devices on their paths.

    Parameters
    ----------
    paths : one path per device
    max_speed_mps : upper bound of all devices' speed [m/s]
    mirror_m : sides of the area at whose borders the unbounded paths are reflected [m]; None: the
        paths stay inside
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
        # (devices, 3, 2): knots before and after the last instant that each one was asked for
        self._moves = np.zeros((len(paths), 3, 2))

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m] of devices (n,) at instants (T,) [s]."""
        devices = np.asarray(devices, dtype=np.int64)
        t_s = np.asarray(t_s, dtype=np.float64)
        positions_m = np.empty((devices.size, t_s.size, 2))
        if not positions_m.size:
            return positions_m
        # Most devices are still on the move of the last request.
        t_s = plain(t_s)
        same = kernels.link_geometry.on_moves(self._moves, plain(devices), t_s, positions_m)
        if not same.all():
            for row in np.flatnonzero(~same).tolist():
                device = devices[row]
                self._paths[device].follow(t_s, positions_m[row], self._moves[device])
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
