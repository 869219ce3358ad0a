"""Random walk mobility: a new direction and speed after every step, reflected at the borders.

The motion starts in its stationary distribution, uniform over the area at all times. Steps of equal
duration keep the speed uniform; steps of equal length make its density ~ 1/v at a random instant.

Sources: Camp, Boleng, Davies, "A survey of mobility models for ad hoc network research", Wireless
Communications and Mobile Computing 2, 2002.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mobility.motion import Motion, check_area, check_count
from wnsim.mobility.paths import Path, PathMotion, headings, knots_after
from wnsim.mobility.speeds import at_random_instant_mps, check_speeds

_STEPS_AT_ONCE = 32
_STEP_S = 10.0


@parameters
class RandomWalk:
    """Random walk over the whole area, a discrete form of Brownian motion.

    Parameters
    ----------
    speed_mps : lowest and highest speed of a step, uniform in between [m/s]
    step_s : duration of a step [s]; 10 s if neither it nor `step_m` is given
    step_m : length of a step [m], in place of its duration
    """

    model: Literal["random-walk"] = "random-walk"
    speed_mps: tuple[float, float] = (1.0, 3.0)
    step_s: Annotated[float, Field(ge=1e-3, le=1e9)] | None = None
    step_m: Annotated[float, Field(ge=1e-3, le=1e9)] | None = None

    def __post_init__(self) -> None:
        check_speeds(self.speed_mps)
        if self.step_s is not None and self.step_m is not None:
            raise ValueError(
                f"step_s and step_m exclude each other, got {self.step_s} and {self.step_m}"
            )

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return the motion of devices; each is independent of the number of devices."""
        check_count(count)
        check_area(area_m)
        paths = [
            Path(self._knots(area_m, streams.generator(seed, "mobility", n))) for n in range(count)
        ]
        return PathMotion(paths, self.speed_mps[1], mirror_m=area_m)

    def _knots(self, area_m: tuple[float, float], draws: np.random.Generator) -> Iterator[Floats]:
        """Yield knots (k, 3) in the unbounded plane."""
        low_mps, high_mps = self.speed_mps
        place_m = draws.random(2) * np.array(area_m)
        speed, turn, left = draws.random(3)
        if self.step_m is None:
            speeds_mps = np.array([low_mps + speed * (high_mps - low_mps)])
        else:
            speeds_mps = np.array([at_random_instant_mps(self.speed_mps, speed)])
        last = np.array([0.0, *place_m])
        yield last[None]
        legs_s = left * self._step_s(speeds_mps)
        turns = np.array([turn])
        while True:
            moves_m = (speeds_mps * legs_s)[:, None] * headings(turns)
            knots = knots_after(last, legs_s, moves_m)
            yield knots
            last = knots[-1]
            uniforms = draws.random((_STEPS_AT_ONCE, 2))
            speeds_mps = low_mps + uniforms[:, 0] * (high_mps - low_mps)
            legs_s = self._step_s(speeds_mps)
            turns = uniforms[:, 1]

    def _step_s(self, speeds_mps: Floats) -> Floats:
        """Return the times (k,) of whole steps [s]."""
        if self.step_m is not None:
            return self.step_m / speeds_mps
        return np.full(speeds_mps.shape, _STEP_S if self.step_s is None else self.step_s)
