"""Gauss-Markov mobility: autoregressive speed and direction, for smooth turns and accelerations.

Speed and direction are autoregressive: x[n] = a x[n-1] + (1 - a) mean + sqrt(1 - a^2) sd w[n], with
a new value every interval and straight motion in between. Both start in their stationary
distribution, at a random phase of the interval; each device has its own uniform mean direction.
Borders reflect: a device that reaches one mirrors its direction and its mean direction, so that
positions are uniform over the area at all times, and the memory of the speed is undisturbed.

Limits: speeds are cut at 0 and at the mean plus 4 standard deviations (which affects one sample in
15,000 if the mean is large); cut values do not feed back into the memory.

Sources: Liang and Haas, "Predictive distance-based mobility management for PCS networks", INFOCOM
1999; Camp, Boleng, Davies, "A survey of mobility models for ad hoc network research", Wireless
Communications and Mobile Computing 2, 2002.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mobility.motion import Motion, check_area, check_count
from wnsim.mobility.paths import Path, PathMotion, headings, knots_after
from wnsim.mobility.speeds import FASTEST_MPS

_INTERVALS_AT_ONCE = 128
_CUT_SDS = 4.0


@parameters
class GaussMarkov:
    """Gauss-Markov motion over the whole area.

    Parameters
    ----------
    alpha : memory from one interval to the next, 0 (none) to 1 (constant velocity)
    mean_speed_mps, sd_speed_mps : mean and standard deviation of the speed [m/s]
    sd_direction_rad : standard deviation of the direction about each device's mean [rad]
    interval_s : time between new values [s]
    """

    model: Literal["gauss-markov"] = "gauss-markov"
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.85
    mean_speed_mps: Annotated[float, Field(ge=0, le=FASTEST_MPS)] = 2.0
    sd_speed_mps: Annotated[float, Field(ge=0, le=FASTEST_MPS)] = 0.5
    sd_direction_rad: Annotated[float, Field(ge=0, le=100)] = 0.5
    interval_s: Annotated[float, Field(ge=1e-3, le=1e9)] = 1.0

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return the motion of devices; each is independent of the number of devices."""
        check_count(count)
        check_area(area_m)
        memory = _Memory(self.alpha)
        paths = [
            Path(self._knots(area_m, memory, draws))
            for draws in (streams.generator(seed, "mobility", n) for n in range(count))
        ]
        return PathMotion(paths, self._fastest_mps(), mirror_m=area_m)

    def _fastest_mps(self) -> float:
        """Return the speed at which speeds are cut [m/s]."""
        return self.mean_speed_mps + _CUT_SDS * self.sd_speed_mps

    def _knots(
        self, area_m: tuple[float, float], memory: _Memory, draws: np.random.Generator
    ) -> Iterator[Floats]:
        """Yield knots (k, 3) in the unbounded plane."""
        knots = np.array([[0.0, *(draws.random(2) * area_m)]])
        mean_turn, left = draws.random(2)
        legs_s = np.array([left * self.interval_s])
        # (intervals, 2): speed and direction, with mean 0 and standard deviation 1
        states = draws.standard_normal((1, 2))
        while True:
            yield knots
            speeds_mps = self.mean_speed_mps + self.sd_speed_mps * states[:, 0]
            lengths_m = np.clip(speeds_mps, 0.0, self._fastest_mps()) * legs_s
            turns = mean_turn + self.sd_direction_rad / (2.0 * math.pi) * states[:, 1]
            knots = knots_after(knots[-1], legs_s, lengths_m[:, None] * headings(turns))
            states = memory.next(states[-1], draws)
            legs_s = np.full(_INTERVALS_AT_ONCE, self.interval_s)


class _Memory:
    """The autoregression of many intervals at once, as a matrix.

    Parameters
    ----------
    alpha : memory from one interval to the next
    """

    def __init__(self, alpha: float) -> None:
        ages = np.arange(_INTERVALS_AT_ONCE)
        # Weights of the old state, (intervals, 1), and of each new draw, (intervals, intervals)
        self._old = alpha ** (ages + 1.0)[:, None]
        self._new = np.tril(alpha ** np.maximum(ages[:, None] - ages, 0)) * math.sqrt(1 - alpha**2)

    def next(self, state: Floats, draws: np.random.Generator) -> Floats:
        """Return the states (intervals, 2) that follow one (2,)."""
        news = draws.standard_normal((_INTERVALS_AT_ONCE, 2))
        return np.asarray(self._old * state + self._new @ news)
