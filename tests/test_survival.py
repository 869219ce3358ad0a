"""Censored times: published examples, scipy's estimator, and closed forms without censoring."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import CensoredData, ecdf

from wnsim.core.survival import kaplan_meier

# Remission of leukemia in weeks under 6-MP and placebo, Freireich et al., Blood 21, 1963; + as
# censored. Klein and Moeschberger, "Survival Analysis", 2nd ed., tables 1.1, 4.1A and example 4.3.
MP = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"
TABLE_41A = {
    6: (0.857, 0.0764), 7: (0.807, 0.0869), 10: (0.753, 0.0963), 13: (0.690, 0.1068),
    16: (0.627, 0.1141), 22: (0.538, 0.1282), 23: (0.448, 0.1346),
}  # fmt: skip


def weeks(text: str) -> tuple[list[float], list[bool]]:
    words = text.split()
    return [float(word.rstrip("+")) for word in words], [not word.endswith("+") for word in words]


def test_the_published_table_of_6_mp() -> None:
    found = kaplan_meier(*weeks(MP))
    assert (found.n, found.events, found.until) == (21, 9, 35.0)
    assert found.at.tolist() == list(TABLE_41A)
    share, error = np.array(list(TABLE_41A.values())).T
    assert found.share == pytest.approx(share, abs=5e-4)
    assert found.share * np.sqrt(found.greenwood) == pytest.approx(error, abs=6e-5)


def test_published_medians_and_restricted_mean() -> None:
    """23 and 8 weeks; mean of 6-MP up to 35 weeks 23.29 with a standard error of 2.83."""
    assert kaplan_meier(*weeks(MP)).median().mean == 23.0
    assert kaplan_meier(*weeks(PLACEBO)).median().mean == 8.0
    found = kaplan_meier(*weeks(MP)).restricted_mean(35.0)
    assert found.mean == pytest.approx(23.29, abs=5e-3)
    assert found.half / 1.959964 == pytest.approx(2.83, abs=5e-3)


@pytest.mark.filterwarnings("ignore:The confidence interval is undefined")
@pytest.mark.parametrize("text", [MP, PLACEBO, "3+ 4 4 5+ 9", "1 2+ 3 4+"])
def test_shares_and_limits_of_the_median_agree_with_scipy(text: str) -> None:
    times, observed = weeks(text)
    found = kaplan_meier(times, observed)
    uncensored = [time for time, is_event in zip(times, observed, strict=True) if is_event]
    censored = [time for time, is_event in zip(times, observed, strict=True) if not is_event]
    other = ecdf(CensoredData(uncensored=uncensored, right=censored)).sf
    assert found.share == pytest.approx(other.evaluate(found.at), abs=1e-12)
    with np.errstate(all="ignore"):
        band = other.confidence_interval(0.95, method="log-log")
        low, high = band.low.evaluate(found.at), band.high.evaluate(found.at)

    def first(limit: np.ndarray) -> float:
        known = np.where(np.isnan(limit), found.share, limit)
        below = np.flatnonzero(known <= 0.5)
        return float(found.at[below[0]]) if below.size else math.inf

    median = found.median()
    assert (median.low, median.high) == (first(low), first(high))


def test_without_censoring_it_is_the_sample() -> None:
    """Law: the restricted mean is the mean, its variance the sample's with divisor n squared."""
    times = [3.0, 1.0, 4.0, 1.0, 5.0]
    found = kaplan_meier(times, [True] * 5)
    assert found.median().mean == 3.0
    mean = found.restricted_mean(5.0)
    assert mean.mean == pytest.approx(np.mean(times))
    assert mean.half == pytest.approx(1.959964 * np.std(times) / math.sqrt(5), rel=1e-6)


def test_too_few_runs() -> None:
    never = kaplan_meier([7.0, 7.0], [False, False])
    assert never.median().mean == never.median().low == never.median().high == math.inf
    assert never.restricted_mean(7.0).mean == 7.0
    one = kaplan_meier([2.0], [True])
    assert (one.median().mean, one.restricted_mean(7.0).mean) == (2.0, 2.0)
    assert math.isnan(one.median().low)
    assert math.isnan(one.restricted_mean(7.0).half)
    none = kaplan_meier([], [])
    assert math.isnan(none.median().mean)
    assert math.isnan(none.restricted_mean(1.0).mean)
