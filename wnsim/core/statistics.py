"""Confidence intervals of means over repetitions, of paired differences, and of shares.

Sources: NIST/SEMATECH, "e-Handbook of Statistical Methods", 1.3.5.2 (confidence limits for the
mean) and 7.3.1.1 (analysis of paired observations); A. M. Law, "Simulation Modeling and Analysis",
5th ed., 10.2.1 and 11.2 (paired-t intervals under common random numbers); E. B. Wilson, "Probable
inference, the law of succession, and statistical inference", JASA 22, 1927.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Parameters
    ----------
    n : number of values
    mean : their mean; NaN if there are none
    low, high : ends of the interval; NaN for fewer than two values
    """

    n: int
    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width of the interval; NaN if it is undefined."""
        return (self.high - self.low) / 2

    @property
    def is_centered(self) -> bool:
        """Whether the mean is in the middle of the interval, or there is none."""
        middle = (self.high + self.low) / 2
        return math.isnan(middle) or math.isclose(middle, self.mean, rel_tol=1e-9, abs_tol=1e-12)


@dataclass(frozen=True)
class Difference(Interval):
    """A mean difference within pairs; `n` is the number of pairs.

    Parameters
    ----------
    left_out : number of pairs with a missing or NaN value
    """

    left_out: int


def mean(values: Iterable[float]) -> Interval:
    """Return the mean of independent values with its Student-t interval at 95 %.

    The interval is mean +- t s / sqrt(n), with s the sample standard deviation (n - 1 in its
    denominator) and t the 0.975 quantile of Student's t with n - 1 degrees of freedom (NIST
    1.3.5.2). It is exact for normal values, and approximate for others.

    Parameters
    ----------
    values : of the repetitions; NaN values are excluded and do not count in `n`
    """
    found = np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
    n = len(found)
    center = float(found.mean()) if n else math.nan
    if n < 2:
        return Interval(n, center, math.nan, math.nan)
    quantile = stdtrit(n - 1, 0.5 + CONFIDENCE / 2)
    half = float(quantile * found.std(ddof=1) / math.sqrt(n))
    return Interval(n, center, center - half, center + half)


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> Difference:
    """Return the mean of value minus baseline within pairs, with its interval at 95 %.

    The interval is that of `mean` over the differences (NIST 7.3.1.1). If both values of a pair
    have equal variances and correlation rho, it is narrower than the interval of two independent
    means by a factor of about sqrt(1 - rho) (Law, 11.2).

    Parameters
    ----------
    values, baseline : by seed, which identifies a pair
    """
    seeds = sorted({*values, *baseline})
    differences = [values.get(seed, math.nan) - baseline.get(seed, math.nan) for seed in seeds]
    found = mean(differences)
    return Difference(found.n, found.mean, found.low, found.high, len(seeds) - found.n)


def share(successes: float, trials: float, n: int) -> Interval:
    """Return a share of independent trials with its Wilson interval at 95 %.

    The ends are the shares p for which |x - p| = z sqrt(p (1 - p) / trials), with x the observed
    share and z the 0.975 quantile of the normal distribution. They lie between 0 and 1, and the
    interval has a width even if x is 0 or 1.

    Parameters
    ----------
    successes, trials : their numbers
    n : number of runs that they are from
    """
    if not trials > 0:
        return Interval(n, math.nan, math.nan, math.nan)
    z, center = float(ndtri(0.5 + CONFIDENCE / 2)), successes / trials
    shrunk = z * z / trials
    middle = (center + shrunk / 2) / (1 + shrunk)
    half = math.sqrt(center * (1 - center) * shrunk + shrunk**2 / 4) / (1 + shrunk)
    return Interval(n, center, max(0.0, middle - half), min(1.0, middle + half))
