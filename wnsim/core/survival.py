"""Times until an event of which some are censored: known only to exceed the time of observation.

Sources: Kaplan and Meier, "Nonparametric estimation from incomplete observations", JASA 53, 1958;
Brookmeyer and Crowley, "A confidence interval for the median survival time", Biometrics 38, 1982,
with pointwise limits on the scale log(-log S) and the variance of Greenwood; Klein and
Moeschberger, "Survival Analysis", 2nd ed., eq. 4.2.2, 4.3.2 and 4.5.2 (restricted mean).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from wnsim.core.statistics import CONFIDENCE, Interval
from wnsim.core.units import Floats

_Z = float(ndtri(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True)
class Survival:
    """Kaplan-Meier estimate of the share of runs without the event.

    Parameters
    ----------
    n, events : number of runs, and of those with the event
    at : (times,) distinct times of events, ascending
    share : (times,) share without the event from each of these times on
    greenwood : (times,) sum of d / (n (n - d)) up to each, with d of n runs at risk having the
        event; the variance of `share` over its square
    until : largest time of an event or of censoring; NaN without runs
    """

    n: int
    events: int
    at: Floats
    share: Floats
    greenwood: Floats
    until: float

    def median(self) -> Interval:
        """Return the first time at which at most half of the runs lack the event.

        Infinite, and so are the ends of the interval, if it is beyond the observation. Fewer than
        two runs have no interval.
        """
        center = self._first(self.share)
        if self.n < 2:
            return Interval(self.n, center, math.nan, math.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            exponent = np.exp(_Z * np.sqrt(self.greenwood) / np.log(self.share))
            low, high = (self.share**power for power in (1.0 / exponent, exponent))
        # Once all runs have had the event, so have both limits.
        over = self.share == 0.0
        low, high = (np.where(over, 0.0, each) for each in (low, high))
        return Interval(self.n, center, self._first(low), self._first(high))

    def restricted_mean(self, until: float) -> Interval:
        """Return the mean of the times, each counted as `until` at most.

        Fewer than two runs, and runs none of which has had the event, have no interval.

        Parameters
        ----------
        until : end of the integral of the share, at most the end of the observation
        """
        if not self.n:
            return Interval(0, math.nan, math.nan, math.nan)
        inside = self.at < until
        starts = np.concatenate([[0.0], self.at[inside]])
        shares = np.concatenate([[1.0], self.share[inside]])
        areas = shares * np.diff(np.append(starts, until))
        center = float(areas.sum())
        if self.n < 2 or not self.events:
            return Interval(self.n, center, math.nan, math.nan)
        rest = areas[::-1].cumsum()[::-1][1:]
        steps = np.diff(np.concatenate([[0.0], self.greenwood[inside]]))
        half = _Z * math.sqrt(float(np.sum(np.where(rest > 0, rest**2 * steps, 0.0))))
        return Interval(self.n, center, center - half, center + half)

    def _first(self, share: Floats) -> float:
        """Return the first time at which a share is at most one half; infinite if there is none."""
        below = np.flatnonzero(share <= 0.5)
        if not self.n:
            return math.nan
        return float(self.at[below[0]]) if below.size else math.inf


def kaplan_meier(times: Sequence[float], observed: Sequence[bool]) -> Survival:
    """Return the Kaplan-Meier estimate of independent runs.

    At equal times events come before censoring.

    Parameters
    ----------
    times : time of the event, or of censoring
    observed : whether it is that of the event
    """
    found, is_event = np.asarray(times, dtype=np.float64), np.asarray(observed, dtype=np.bool_)
    at = np.unique(found[is_event])
    events = np.array([np.count_nonzero(found[is_event] == time) for time in at], dtype=np.float64)
    at_risk = np.array([np.count_nonzero(found >= time) for time in at], dtype=np.float64)
    left = at_risk - events
    with np.errstate(divide="ignore"):
        greenwood = np.cumsum(events / (at_risk * left))
    return Survival(
        n=found.size,
        events=int(is_event.sum()),
        at=at,
        share=np.cumprod(left / at_risk, dtype=np.float64),
        # Infinite once no run is left.
        greenwood=np.asarray(greenwood),
        until=float(found.max()) if found.size else math.nan,
    )
