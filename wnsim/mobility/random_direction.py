"""Random direction mobility: straight on for a time or to the border, pause, new direction.

The motion starts in its stationary distribution. With travel times the borders reflect and
positions are uniform over the area at all times. To the border and with pauses, positions are
uniform except that paused devices are uniform along the border; for this the new direction follows
the cosine law (uniform sine of the angle from the inward normal), whereas the original model draws
a uniform angle and favors corners.

Sources: Royer, Melliar-Smith, Moser, "An analysis of the optimum node density for ad hoc mobile
networks", ICC 2001 (to the border); Nain, Towsley, Liu, Liu, "Properties of random direction
models", INFOCOM 2005 (travel times, uniform distribution); mean chord pi A / P of a convex region:
Santalo, "Integral Geometry and Geometric Probability", 1976.
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
from wnsim.mobility.paths import Path, PathMotion, headings, knots_after
from wnsim.mobility.speeds import (
    LONGEST_PAUSE_S,
    at_random_instant_mps,
    check_pause,
    check_speeds,
    mean_inverse_s_per_m,
)

_LEGS_AT_ONCE = 32


@parameters
class RandomDirection:
    """Random direction over the whole area.

    Parameters
    ----------
    speed_mps : lowest and highest speed of a leg, uniform in between [m/s]
    travel_s : shortest and longest duration of a leg, uniform in between [s]; by default legs end
        at the border
    pause_s : pause at the end of each leg [s]
    """

    model: Literal["random-direction"] = "random-direction"
    speed_mps: tuple[float, float] = (1.0, 3.0)
    travel_s: tuple[float, float] | None = None
    pause_s: float = 0.0

    def __post_init__(self) -> None:
        check_speeds(self.speed_mps)
        check_pause(self.pause_s)
        if self.travel_s is not None:
            low_s, high_s = self.travel_s
            if not 1e-3 <= low_s <= high_s <= LONGEST_PAUSE_S:
                raise ValueError(
                    f"travel_s must be the shortest first, from 0.001 to {LONGEST_PAUSE_S:g} s, "
                    f"got {[low_s, high_s]}"
                )

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return the motion of devices; each is independent of the number of devices."""
        check_count(count)
        check_area(area_m)
        streams_of = (streams.generator(seed, "mobility", n) for n in range(count))
        if self.travel_s is None:
            paths = [Path(self._to_border(area_m, draws)) for draws in streams_of]
            return PathMotion(paths, self.speed_mps[1])
        paths = [Path(self._for_a_time(area_m, self.travel_s, draws)) for draws in streams_of]
        return PathMotion(paths, self.speed_mps[1], mirror_m=area_m)

    def paused_fraction(self, area_m: tuple[float, float]) -> float:
        """Return the fraction of time that a device pauses."""
        if self.travel_s is not None:
            leg_s = sum(self.travel_s) / 2.0
        else:
            chord_m = math.pi * area_m[0] * area_m[1] / (2.0 * (area_m[0] + area_m[1]))
            leg_s = chord_m * mean_inverse_s_per_m(self.speed_mps)
        return self.pause_s / (self.pause_s + leg_s)

    def _for_a_time(
        self,
        area_m: tuple[float, float],
        travel_s: tuple[float, float],
        draws: np.random.Generator,
    ) -> Iterator[Floats]:
        """Yield knots (k, 3) in the unbounded plane."""
        speeds_mps, times_s = (np.array(pair) for pair in (self.speed_mps, travel_s))
        last = np.array([0.0, *(draws.random(2) * area_m)])
        yield last[None]
        paused, left, speed, turn, time = draws.random(5)
        speed_mps = speeds_mps[0] + speed * np.ptp(speeds_mps)
        # A leg is observed with a probability proportional to its duration.
        leg_s = left * math.sqrt(times_s[0] ** 2 + time * (times_s[1] ** 2 - times_s[0] ** 2))
        if paused < self.paused_fraction(area_m):
            speed_mps, leg_s = 0.0, left * self.pause_s
        moves_m = speed_mps * leg_s * headings(np.array([turn]))
        knots = knots_after(last, np.array([leg_s]), moves_m)
        if self.pause_s > 0.0 and speed_mps > 0.0:
            knots = np.vstack([knots, knots[-1] + [self.pause_s, 0.0, 0.0]])
        while True:
            yield knots
            uniforms = draws.random((_LEGS_AT_ONCE, 3))
            legs_s = times_s[0] + uniforms[:, 0] * np.ptp(times_s)
            lengths_m = legs_s * (speeds_mps[0] + uniforms[:, 1] * np.ptp(speeds_mps))
            moves_m = lengths_m[:, None] * headings(uniforms[:, 2])
            if self.pause_s > 0.0:
                legs_s = np.stack([legs_s, np.full_like(legs_s, self.pause_s)], 1).ravel()
                moves_m = np.stack([moves_m, np.zeros_like(moves_m)], 1).reshape(-1, 2)
            knots = knots_after(knots[-1], legs_s, moves_m)

    def _to_border(
        self, area_m: tuple[float, float], draws: np.random.Generator
    ) -> Iterator[Floats]:
        """Yield knots (k, 3) inside the area."""
        x_m, y_m = draws.random(2) * area_m
        paused, left, speed, turn = draws.random(4)
        knots = [(0.0, x_m, y_m)]
        if paused < self.paused_fraction(area_m):
            x_m, y_m, wall = _on_border(turn, area_m)
            knots = [(0.0, x_m, y_m), (left * self.pause_s, x_m, y_m)]
        else:
            way = headings(np.array(turn))
            x_m, y_m, wall, length_m = _hit(x_m, y_m, way[0], way[1], area_m)
            arrival_s = length_m / at_random_instant_mps(self.speed_mps, speed)
            self._arrive(knots, arrival_s, x_m, y_m)
        low_mps, high_mps = self.speed_mps
        while True:
            yield np.array(knots)
            now_s, knots = knots[-1][0], []
            for speed, sine in draws.random((_LEGS_AT_ONCE, 2)).tolist():
                along = 2.0 * sine - 1.0
                inward = math.sqrt(1.0 - along * along)
                # The walls: left, right, bottom, top.
                dx, dy = (
                    (inward, along),
                    (-inward, along),
                    (along, inward),
                    (along, -inward),
                )[wall]
                x_m, y_m, wall, length_m = _hit(x_m, y_m, dx, dy, area_m)
                now_s += length_m / (low_mps + speed * (high_mps - low_mps))
                now_s = self._arrive(knots, now_s, x_m, y_m)

    def _arrive(
        self, knots: list[tuple[float, float, float]], now_s: float, x_m: float, y_m: float
    ) -> float:
        """Append an arrival and its pause; return the end of the pause [s]."""
        knots.append((now_s, x_m, y_m))
        if self.pause_s > 0.0:
            now_s += self.pause_s
            knots.append((now_s, x_m, y_m))
        return now_s


def _on_border(uniform: float, area_m: tuple[float, float]) -> tuple[float, float, int]:
    """Return a uniform position along the border [m], and its wall."""
    width_m, height_m = area_m
    along_m = uniform * 2.0 * (width_m + height_m)
    if along_m < 2.0 * height_m:
        wall = int(along_m >= height_m)
        return wall * width_m, along_m - wall * height_m, wall
    along_m -= 2.0 * height_m
    wall = int(along_m >= width_m)
    return min(along_m - wall * width_m, width_m), wall * height_m, 2 + wall


def _hit(
    x_m: float, y_m: float, dx: float, dy: float, area_m: tuple[float, float]
) -> tuple[float, float, int, float]:
    """Return where a ray from inside meets the border [m], at which wall, and how far [m]."""
    width_m, height_m = area_m
    to_x_m = (width_m - x_m if dx > 0.0 else x_m) / abs(dx) if dx else math.inf
    to_y_m = (height_m - y_m if dy > 0.0 else y_m) / abs(dy) if dy else math.inf
    if to_x_m < to_y_m:
        wall = int(dx > 0.0)
        end_m = wall * width_m, min(max(y_m + to_x_m * dy, 0.0), height_m)
    else:
        wall = 2 + int(dy > 0.0)
        end_m = min(max(x_m + to_y_m * dx, 0.0), width_m), (wall - 2) * height_m
    return *end_m, wall, math.dist((x_m, y_m), end_m)
