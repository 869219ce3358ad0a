"""Random waypoint mobility: straight to a random position at a random speed, then a pause.

The motion starts in its stationary distribution, so that no warm-up is needed: a device at 0 s is
on a leg (more likely a long and slow one) or in a pause, as after a long time.

Sources: Johnson and Maltz, "Dynamic source routing in ad hoc wireless networks", Mobile
Computing, 1996 (the model); Navidi and Camp, "Stationary distributions for the random waypoint
mobility model", IEEE Trans. Mobile Computing 3, 2004 (its stationary distribution).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mobility.motion import Motion, check_area, check_count
from wnsim.mobility.paths import Path, PathMotion
from wnsim.mobility.regions import Rectangle, Region
from wnsim.mobility.speeds import (
    at_random_instant_mps,
    check_pause,
    check_speeds,
    mean_inverse_s_per_m,
)

_LEGS_AT_ONCE = 32


@parameters
class RandomWaypoint:
    """Random waypoint over the whole area.

    Parameters
    ----------
    speed_mps : lowest and highest speed of a leg, uniform in between [m/s]; the lowest must be
        positive, as otherwise the stationary mean speed is 0
    pause_s : pause at each waypoint [s]
    """

    model: Literal["random-waypoint"] = "random-waypoint"
    speed_mps: tuple[float, float] = (1.0, 3.0)
    pause_s: float = 0.0

    def __post_init__(self) -> None:
        check_speeds(self.speed_mps)
        check_pause(self.pause_s)

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return the motion of devices; each is independent of the number of devices."""
        check_count(count)
        check_area(area_m)
        region = Rectangle(area_m)
        paths = [
            Path(waypoints(region, self.speed_mps, self.pause_s, draws))
            for draws in (streams.generator(seed, "mobility", n) for n in range(count))
        ]
        return PathMotion(paths, self.speed_mps[1])

    def paused_fraction(self, area_m: tuple[float, float]) -> float:
        """Return the fraction of time that a device pauses."""
        return _paused_fraction(Rectangle(area_m), self.speed_mps, self.pause_s)


def waypoints(
    region: Region,
    speed_mps: tuple[float, float],
    pause_s: float,
    draws: np.random.Generator,
) -> Iterator[Floats]:
    """Yield the knots (k, 3) of a random waypoint motion in its stationary distribution.

    Parameters
    ----------
    region : convex region in which waypoints are uniform
    speed_mps : lowest and highest speed of a leg [m/s]
    pause_s : pause at each waypoint [s]
    draws : the device's own random stream
    """
    place_m = region.places_m(draws.random(2))
    if draws.random() < _paused_fraction(region, speed_mps, pause_s):
        knots = np.array([(0.0, *place_m), (draws.random() * pause_s, *place_m)])
    else:
        begin_m, end_m = _long_leg(region, draws)
        place_m = begin_m + draws.random() * (end_m - begin_m)
        arrival_s = math.dist(place_m, end_m) / at_random_instant_mps(speed_mps, draws.random())
        knots = np.array([(0.0, *place_m), (arrival_s, *end_m)])
        if pause_s > 0.0:
            knots = np.vstack([knots, (arrival_s + pause_s, *end_m)])
    low_mps, high_mps = speed_mps
    while True:
        yield knots
        uniforms = draws.random((_LEGS_AT_ONCE, 3))
        places_m = np.vstack([knots[-1, 1:], region.places_m(uniforms[:, :2])])
        length_m = np.hypot(*np.diff(places_m, axis=0).T)
        legs_s = length_m / (low_mps + uniforms[:, 2] * (high_mps - low_mps))
        if pause_s > 0.0:
            legs_s = np.stack([legs_s, np.full(_LEGS_AT_ONCE, pause_s)], 1).ravel()
            places_m = np.repeat(places_m, 2, axis=0)[1:]
        instants_s = np.cumsum(np.concatenate([knots[-1:, 0], legs_s]))[1:]
        knots = np.column_stack([instants_s, places_m[1:]])


def _paused_fraction(region: Region, speed_mps: tuple[float, float], pause_s: float) -> float:
    """Return the fraction of time that a device pauses."""
    return pause_s / (pause_s + region.mean_leg_m * mean_inverse_s_per_m(speed_mps))


def _long_leg(region: Region, draws: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the ends of a leg drawn with a probability proportional to its length."""
    while True:
        begin_m, end_m = region.places_m(draws.random((2, 2)))
        if draws.random() * region.longest_m < math.dist(begin_m, end_m):
            return begin_m, end_m
