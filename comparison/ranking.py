"""Ranking of methods: paired differences with a correction for many comparisons, and fronts.

Sources: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
Statistics 6, 1979.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import ttest_rel


def p_value(values: Mapping[int, float], baseline: Mapping[int, float]) -> float:
    """Return the two-sided p-value of the paired t-test; NaN for fewer than two pairs.

    Parameters
    ----------
    values, baseline : by seed, which identifies a pair
    """
    seeds = sorted(set(values) & set(baseline))
    ours, theirs = (np.array([side[seed] for seed in seeds]) for side in (values, baseline))
    if len(seeds) < 2:
        return math.nan
    if np.ptp(ours - theirs) == 0:
        return 1.0 if ours[0] == theirs[0] else 0.0
    return float(ttest_rel(ours, theirs).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's procedure; NaN values do not count.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    least = 0.0
    for rank, (p, place) in enumerate(known):
        least = max(least, min(1.0, p * (len(known) - rank)))
        adjusted[place] = least
    return adjusted


def front(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Return which points are on the front: no other costs as little and gains as much.

    Examples
    --------
    >>> front([1.0, 2.0, 3.0], [0.5, 0.9, 0.8])
    [True, True, False]
    """
    return [
        not any(
            other_cost <= cost and other_gain >= gain and (other_cost, other_gain) != (cost, gain)
            for other_cost, other_gain in zip(costs, gains, strict=True)
        )
        for cost, gain in zip(costs, gains, strict=True)
    ]
