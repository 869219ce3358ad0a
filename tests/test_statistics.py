"""Confidence intervals: their coverage over many trials is the nominal one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wnsim.core.statistics import mean, paired_difference, share

TRIALS = 2000


def correlated(
    draws: np.random.Generator, n: int, rho: float, shift: float
) -> tuple[dict[int, float], dict[int, float]]:
    """Return values of two variants by seed, of variance 1, the second one higher by a shift."""
    shared = draws.standard_normal(n)
    sides = [
        math.sqrt(rho) * shared + math.sqrt(1 - rho) * draws.standard_normal(n) for _ in range(2)
    ]
    return dict(enumerate(sides[0])), dict(enumerate(sides[1] + shift))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_an_interval_covers_the_mean_as_often_as_it_says(n: int) -> None:
    """Law: 95 % of the intervals; with 2000 trials, 93 to 97 % is four standard errors."""
    draws = np.random.default_rng(n)
    found = [mean(draws.normal(2.0, 3.0, n)) for _ in range(TRIALS)]
    assert 0.93 <= np.mean([each.low <= 2.0 <= each.high for each in found]) <= 0.97
    assert {each.n for each in found} == {n}


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_a_paired_interval_covers_the_difference_as_often_as_it_says(n: int, rho: float) -> None:
    draws = np.random.default_rng(n)
    covered = 0
    for _ in range(TRIALS):
        baseline, values = correlated(draws, n, rho, shift=0.4)
        found = paired_difference(values, baseline)
        covered += found.low <= 0.4 <= found.high
    assert 0.93 <= covered / TRIALS <= 0.97


def test_pairs_with_common_random_numbers_have_shorter_intervals() -> None:
    """Law: by sqrt(1 - rho), against two independent means; to 5 % with 200 pairs and 50 trials."""
    draws = np.random.default_rng(0)
    rho, ratios = 0.9, []
    for _ in range(50):
        baseline, values = correlated(draws, 200, rho, shift=0.4)
        unpaired = math.hypot(mean(values.values()).half, mean(baseline.values()).half)
        ratios.append(paired_difference(values, baseline).half / unpaired)
    assert np.mean(ratios) == pytest.approx(math.sqrt(1 - rho), rel=0.05)


def test_an_interval_by_hand() -> None:
    # Deviation 0.2 of three values, and the 97.5 % quantile of Student's t with 2 degrees: 4.303.
    found = mean([0.2, 0.4, 0.6, math.nan])
    assert (found.n, found.mean) == (3, pytest.approx(0.4))
    assert found.half == pytest.approx(4.302653 * 0.2 / math.sqrt(3), abs=1e-6)


@pytest.mark.parametrize(
    ("values", "center"), [([0.3], 0.3), ([], math.nan), ([math.nan], math.nan)]
)
def test_less_than_two_values_have_no_interval(values: list[float], center: float) -> None:
    found = mean(values)
    assert found.mean == pytest.approx(center, nan_ok=True)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_pairs_without_partner_are_left_out_and_counted() -> None:
    values = {1: 0.5, 2: 0.6, 3: math.nan, 4: 0.9, 5: 0.7}
    baseline = {1: 0.4, 2: 0.3, 3: 0.1, 4: math.nan, 6: 0.2}
    found = paired_difference(values, baseline)
    assert (found.n, found.left_out) == (2, 4)
    assert found.mean == pytest.approx(0.2)
    nothing = paired_difference(values, {})
    assert (nothing.n, nothing.left_out) == (0, 5)
    assert math.isnan(nothing.mean)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in
        # Medicine 17, 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_a_share_has_the_interval_of_wilson(
    successes: int, trials: int, low: float, high: float
) -> None:
    found = share(successes, trials, 1)
    assert found.mean == successes / trials
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    mirrored = share(trials - successes, trials, 1)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_a_share_of_nothing_is_unknown() -> None:
    assert math.isnan(share(0, 0, 1).mean)
