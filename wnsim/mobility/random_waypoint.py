"""Random waypoint: walk straight to a random place at a random speed, pause, and again.

The motion begins in its stationary law, so nothing has to be warmed up: a device at 0 s is on a
leg (and then more likely on a long and slow one) or in a pause as it would be after a long time.

Sources: Johnson and Maltz, "Dynamic source routing in ad hoc wireless networks", Mobile
Computing, 1996 (the model); Navidi and Camp, "Stationary distributions for the random waypoint
mobility model", IEEE Trans. Mobile Computing 3, 2004 (its stationary law).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from wnsim import streams
from wnsim.mobility.motion import AlwaysPresent, Motion, check_area, check_count
from wnsim.params import parameters
from wnsim.units import Floats, Ints

_LEGS_AT_ONCE = 32

# Slower devices are static ones, faster ones leave any area.
SLOWEST_MPS = 1e-3
FASTEST_MPS = 1e4
LONGEST_PAUSE_S = 1e9


@parameters
class RandomWaypoint:
    """Random waypoint over the whole area.

    Parameters
    ----------
    speed_mps : lowest and highest speed of a leg, uniform in between [m/s]; the lowest must be
        positive, as otherwise ever slower legs pile up and the stationary mean speed is 0
    pause_s : pause at each waypoint [s]
    """

    model: Literal["random-waypoint"] = "random-waypoint"
    speed_mps: tuple[float, float] = (1.0, 3.0)
    pause_s: float = 0.0

    def __post_init__(self) -> None:
        low_mps, high_mps = self.speed_mps
        if not low_mps >= SLOWEST_MPS:
            raise ValueError(
                f"the lowest of speed_mps must be at least {SLOWEST_MPS:g}, as the stationary "
                f"mean speed tends to 0 otherwise, got {low_mps}"
            )
        if not low_mps <= high_mps:
            raise ValueError(f"speed_mps must be the lowest first, got {[low_mps, high_mps]}")
        if not high_mps <= FASTEST_MPS:
            raise ValueError(
                f"the highest of speed_mps must be at most {FASTEST_MPS:g}, got {high_mps}"
            )
        if not 0.0 <= self.pause_s <= LONGEST_PAUSE_S:
            raise ValueError(f"pause_s must be from 0 to {LONGEST_PAUSE_S:g} s, got {self.pause_s}")

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return the motion of devices; one does not depend on how many others there are."""
        check_count(count)
        check_area(area_m)
        return WaypointMotion(
            [
                _Path(self, area_m, streams.generator(seed, "mobility", device))
                for device in range(count)
            ],
            self.speed_mps[1],
        )

    def mean_inverse_speed_s_per_m(self) -> float:
        """Return the mean time per metre of a leg, E[1/v] [s/m]."""
        low_mps, high_mps = self.speed_mps
        if high_mps == low_mps:
            return 1.0 / low_mps
        return math.log(high_mps / low_mps) / (high_mps - low_mps)

    def paused_fraction(self, area_m: tuple[float, float]) -> float:
        """Return the share of time that a device pauses."""
        leg_s = mean_leg_m(area_m) * self.mean_inverse_speed_s_per_m()
        return self.pause_s / (self.pause_s + leg_s)


class WaypointMotion(AlwaysPresent):
    """Devices on their paths, each drawn from its own stream as far as it is asked for."""

    def __init__(self, paths: list[_Path], max_speed_mps: float) -> None:
        self.names = tuple(str(n) for n in range(len(paths)))
        self.max_speed_mps = max_speed_mps
        self._paths = paths

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m] of devices (n,) at instants (T,) [s]."""
        t_s = np.asarray(t_s, dtype=np.float64)
        positions_m = np.empty((np.size(devices), t_s.size, 2))
        for row, device in enumerate(np.asarray(devices).tolist()):
            positions_m[row] = self._paths[device].position_m(t_s)
        return positions_m


class _Path:
    """One device's way: instants and places at which it starts or stops, growing on demand."""

    def __init__(
        self, model: RandomWaypoint, area_m: tuple[float, float], draws: np.random.Generator
    ) -> None:
        self._model = model
        self._area_m = np.array(area_m)
        self._draws = draws
        place_m = draws.random(2) * self._area_m
        knots = [(0.0, *place_m)]
        if draws.random() < model.paused_fraction(area_m):
            knots.append((draws.random() * model.pause_s, *place_m))
        else:
            low_mps, high_mps = model.speed_mps
            begin_m, end_m = self._long_leg()
            place_m = begin_m + draws.random() * (end_m - begin_m)
            # A leg's share of time is inverse to its speed: density ~ 1/v.
            speed_mps = low_mps * (high_mps / low_mps) ** draws.random()
            arrival_s = math.dist(place_m, end_m) / speed_mps
            knots = [(0.0, *place_m), (arrival_s, *end_m)]
            if model.pause_s > 0.0:
                knots.append((arrival_s + model.pause_s, *end_m))
        # (knots, 3): instant [s], x [m], y [m]
        self._knots = np.array(knots)

    def position_m(self, t_s: Floats) -> Floats:
        """Return positions (T, 2) [m] at instants (T,) [s]."""
        while t_s.size and self._knots[-1, 0] <= t_s.max():
            self._grow()
        when, x_m, y_m = self._knots.T
        return np.stack([np.interp(t_s, when, x_m), np.interp(t_s, when, y_m)], axis=-1)

    def _long_leg(self) -> tuple[Floats, Floats]:
        """Return the ends of a leg drawn with a probability proportional to its length."""
        longest_m = float(np.hypot(*self._area_m))
        while True:
            begin_m, end_m = self._draws.random((2, 2)) * self._area_m
            if self._draws.random() * longest_m < math.dist(begin_m, end_m):
                return begin_m, end_m

    def _grow(self) -> None:
        """Append the next legs, each with the pause at its end."""
        draws = self._draws.random((_LEGS_AT_ONCE, 3))
        low_mps, high_mps = self._model.speed_mps
        places_m = np.vstack([self._knots[-1, 1:], draws[:, :2] * self._area_m])
        length_m = np.hypot(*np.diff(places_m, axis=0).T)
        legs_s = length_m / (low_mps + draws[:, 2] * (high_mps - low_mps))
        if self._model.pause_s > 0.0:
            legs_s = np.stack([legs_s, np.full(_LEGS_AT_ONCE, self._model.pause_s)], 1).ravel()
            places_m = np.repeat(places_m, 2, axis=0)[1:]
        instants_s = np.cumsum(np.concatenate([self._knots[-1:, 0], legs_s]))[1:]
        knots = np.column_stack([instants_s, places_m[1:]])
        self._knots = np.concatenate([self._knots, knots])


def mean_leg_m(area_m: tuple[float, float]) -> float:
    """Return the mean distance between two uniform places in a rectangle.

    Parameters
    ----------
    area_m : sides of the rectangle [m]

    Returns
    -------
    mean distance [m]; 0.5214 times the side of a square
    """
    a, b = area_m
    d = math.hypot(a, b)
    return (
        a**3 / b**2
        + b**3 / a**2
        + d * (3.0 - a**2 / b**2 - b**2 / a**2)
        + 2.5 * (b**2 / a * math.log((a + d) / b) + a**2 / b * math.log((b + d) / a))
    ) / 15.0
