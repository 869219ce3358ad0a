"""Shadow fading and line of sight: moments, autocorrelation, reciprocity, marginal probability."""

import numpy as np
import pytest
from numpy.typing import NDArray
from reference_tables import rows
from scipy.special import ndtr

from wnsim.channel.link_states import Threshold
from wnsim.channel.shadowing import SQUARED_EXPONENTIAL, Field, Shadowing, shadow_field
from wnsim.core import streams

Floats = NDArray[np.float64]
SIDE = 150
FIELDS = 3
PAIRS = SIDE**2
# At 3.5 GHz.
WAVELENGTH_M = 0.0857
# All places of one side with all of the other: far apart, so that the values are uncorrelated.
FIRST, SECOND = (index.ravel() for index in np.meshgrid(np.arange(SIDE), SIDE + np.arange(SIDE)))


def places(draws: np.random.Generator, count: int = SIDE, extent_m: float = 1e5) -> Floats:
    return draws.random((count, 2)) * extent_m


def shifts(draws: np.random.Generator, length_m: float, count: int = SIDE) -> Floats:
    angle = 2 * np.pi * draws.random(count)
    return length_m * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def everywhere(field: Field, draws: np.random.Generator) -> Floats:
    return field.between(places(draws, 2 * SIDE)[:, None], FIRST, SECOND)[:, 0]


@pytest.mark.parametrize("link_m", [0.0, 2.0, 10.0, 1e4])
def test_unit_variance_at_any_length_of_the_link(link_m: float) -> None:
    draws = np.random.default_rng(1)
    count = 5_000
    square = []
    for seed in range(FIELDS):
        a_m = places(draws, count)
        b_m = a_m + shifts(draws, link_m, count)
        square.append(shadow_field(10.0, 256, seed, True)(a_m, b_m) ** 2)
    # Almost independent squares of deviation sqrt(2): 4 sigma.
    assert np.mean(square) == pytest.approx(1.0, abs=4 * np.sqrt(2 / (FIELDS * count)))


def test_marginal_is_gaussian() -> None:
    draws = np.random.default_rng(2)
    values = np.stack(
        [everywhere(shadow_field(10.0, 256, seed, True), draws) for seed in range(FIELDS)]
    )
    for level, share in ((-2.0, 0.02275), (-1.0, 0.15866), (0.0, 0.5), (1.0, 0.84134)):
        tolerance = 4 * np.sqrt(share * (1 - share) / values.size)
        assert np.mean(values < level) == pytest.approx(share, abs=tolerance)


@pytest.mark.parametrize("correlation_m", [6.0, 10.0, 13.0, 37.0, 50.0, 120.0])
def test_autocorrelation_is_exponential(correlation_m: float) -> None:
    table = {
        float(row["displacement_m"]): float(row["theory_exp"])
        for row in rows("shadowing_autocorr_ns3.csv")
        if float(row["d_corr_m"]) == correlation_m
    }
    assert len(table) > 5
    draws = np.random.default_rng(3)
    steps_m = np.array([0.0, *table])
    one_end, both_ends = [], []
    for seed in range(FIELDS):
        field = shadow_field(correlation_m, 256, seed, True)
        extent_m = 1e4 * correlation_m
        still_m = np.repeat(places(draws, 2 * SIDE, extent_m)[:, None], steps_m.size, axis=1)
        moving_m = still_m + shifts(draws, 1.0, 2 * SIDE)[:, None] * steps_m[:, None]
        tracks_m = np.concatenate([moving_m, still_m])
        # The far end of the first is a station, which stays where it is.
        for products, far in ((one_end, SECOND + 2 * SIDE), (both_ends, SECOND)):
            values = field.between(tracks_m, FIRST, far)
            products.append(np.mean(values[:, :1] * values[:, 1:], axis=0))
    theory = np.array(list(table.values()))
    # Each field's mean product has a deviation of at most sqrt(2)/SIDE = 0.0094, as all values
    # share its waves: 0.0054 for the mean of three, of which the tolerance is nearly four.
    assert np.mean(one_end, axis=0) == pytest.approx(theory, abs=0.02)
    assert np.mean(both_ends, axis=0) == pytest.approx(theory**2, abs=0.02)


@pytest.mark.parametrize("correlation_m", [10.0, 50.0])
def test_neighbors_share_their_shadow_and_a_walk_leads_back_to_it(correlation_m: float) -> None:
    draws = np.random.default_rng(11)
    field = shadow_field(correlation_m, 256, 1, True)
    a_m, b_m = places(draws, 3000), places(draws, 3000)
    here = field(a_m, b_m)
    # Two devices 1 cm apart, each with its own number, linked to the same third one.
    beside = field(a_m + shifts(draws, 0.01, 3000), b_m)
    # exp(-0.01/10) = 0.999
    assert np.corrcoef(here, beside)[0, 1] > 0.995
    away = field(a_m + shifts(draws, 200.0 * correlation_m / 10.0, 3000), b_m)
    assert abs(np.corrcoef(here, away)[0, 1]) < 0.1
    assert np.array_equal(field(a_m, b_m), here)


def test_line_of_sight_kernel_is_squared_exponential() -> None:
    draws = np.random.default_rng(4)
    steps_m = np.array([0.0, 10.0, 50.0, 100.0])
    products = []
    for seed in range(FIELDS):
        field = Field(50.0, 64, streams.generator(seed, "test"), SQUARED_EXPONENTIAL)
        tracks_m = np.repeat(places(draws, 2 * SIDE)[:, None], steps_m.size, axis=1)
        tracks_m[:SIDE] += shifts(draws, 1.0)[:, None] * steps_m[:, None]
        values = field.between(tracks_m, FIRST, SECOND)
        products.append(np.mean(values[:, :1] * values, axis=0))
    assert np.mean(products, axis=0) == pytest.approx(np.exp(-((steps_m / 50.0) ** 2)), abs=0.02)


def test_reciprocal_and_without_memory() -> None:
    draws = np.random.default_rng(5)
    field = shadow_field(10.0, 256, 1, True)
    a_m, b_m = places(draws, 1000, 500.0), places(draws, 1000, 500.0)
    first = field(a_m, b_m)
    assert np.array_equal(field(b_m, a_m), first)
    field(b_m + 3.0, a_m)
    assert np.array_equal(field(a_m, b_m), first)
    # One link alone has the value that it has among many.
    assert field(a_m[7], b_m[7]) == first[7]


def test_between_is_the_field_at_both_ends() -> None:
    draws = np.random.default_rng(6)
    field = shadow_field(10.0, 256, 1, True)
    tracks_m = 500.0 * draws.random((6, 40, 2))
    first, second = np.array([0, 1, 5]), np.array([3, 0, 4])
    values = field.between(tracks_m, first, second)
    assert np.array_equal(values, field(tracks_m[first], tracks_m[second]))
    assert np.array_equal(values[1:, 3:9], field.between(tracks_m[:, 3:9], first[1:], second[1:]))


def test_states_have_independent_fields() -> None:
    draws = np.random.default_rng(7)
    positions_m = places(draws, 2 * SIDE)[:, None]
    values = np.stack(
        [
            shadow_field(10.0, 256, seed, los).between(positions_m, FIRST, SECOND)[:, 0]
            for seed, los in ((1, True), (1, False), (2, True))
        ]
    )
    correlation = np.corrcoef(values) - np.eye(3)
    assert np.max(np.abs(correlation)) < 4 / np.sqrt(PAIRS)


@pytest.mark.parametrize("probability", [0.02, 0.2, 0.5, 0.9])
def test_states_above_one_half_have_the_probability_of_line_of_sight(probability: float) -> None:
    draws = np.random.default_rng(8)
    states = []
    for seed in range(FIELDS):
        positions_m = places(draws, 2 * SIDE)[:, None]
        wanted = np.full((PAIRS, 1), probability)
        sight = Threshold(50.0, 256, streams.generator(seed, "test"), WAVELENGTH_M)
        states += sight.states([wanted], positions_m, FIRST, SECOND)
    tolerance = 4 * np.sqrt(probability * (1 - probability) / (FIELDS * PAIRS))
    assert np.mean(np.array(states) > 0.5) == pytest.approx(probability, abs=tolerance)


@pytest.mark.parametrize("wavelength_m", [0.0857, 0.0107])
def test_the_transition_is_as_wide_as_the_wavelength_says(wavelength_m: float) -> None:
    """Law: TR 38.901 clause 7.6.3.3: 5 to 95 % within tan(0.45 pi) / sqrt(20 / lambda) of F."""
    draws = np.random.default_rng(9)
    inside = []
    for seed in range(FIELDS):
        sight = Threshold(50.0, 256, streams.generator(seed, "test"), wavelength_m)
        positions_m = places(draws, 2 * SIDE)[:, None]
        (state,) = sight.states([np.full((PAIRS, 1), 0.5)], positions_m, FIRST, SECOND)
        inside.append(np.mean((state > 0.05) & (state < 0.95)))
    width = np.tan(0.45 * np.pi) / np.sqrt(20.0 / wavelength_m)
    share = 2.0 * ndtr(width) - 1.0
    tolerance = 4 * np.sqrt(share * (1 - share) / (FIELDS * PAIRS))
    assert np.mean(inside) == pytest.approx(share, abs=tolerance)


def test_state_is_certain_at_the_ends_and_does_not_jump() -> None:
    draws = np.random.default_rng(9)
    sight = Threshold(50.0, 256, streams.generator(1, "test"), WAVELENGTH_M)
    tracks_m = np.repeat(places(draws, 2 * SIDE)[:, None], 2, axis=1)
    tracks_m[:SIDE, 1] += shifts(draws, 1.0)
    (state,) = sight.states([np.full((PAIRS, 2), 0.5)], tracks_m, FIRST, SECOND)
    # A meter changes the field by a deviation of sqrt(2 (1 - exp(-1/50^2))) = 0.028, and the
    # state by at most sqrt(20 / lambda) / pi times that: six deviations.
    slope = np.sqrt(2 * (1 - np.exp(-1 / 50.0**2))) * np.sqrt(20.0 / WAVELENGTH_M) / np.pi
    assert np.max(np.abs(np.diff(state))) < 6 * slope
    for certain in (0.0, 1.0):
        (state,) = sight.states([np.full((PAIRS, 2), certain)], tracks_m, FIRST, SECOND)
        assert np.all(state == certain)


def test_nested_states_add_up() -> None:
    draws = np.random.default_rng(10)
    sums = np.zeros(2)
    for seed in range(FIELDS):
        sight = Threshold(50.0, 256, streams.generator(seed, "test"), WAVELENGTH_M)
        positions_m = places(draws, 2 * SIDE)[:, None]
        wanted = [np.full((PAIRS, 1), share) for share in (0.3, 0.8)]
        inner, outer = sight.states(wanted, positions_m, FIRST, SECOND)
        assert np.all(inner <= outer)
        sums += np.mean(inner > 0.5), np.mean(outer > 0.5)
    assert sums / FIELDS == pytest.approx([0.3, 0.8], abs=4 * np.sqrt(0.25 / (FIELDS * PAIRS)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sigma_db": -1.0}, "sigma_db must be at least 0 dB, got -1.0"),
        ({"correlation_m": 0.0}, "correlation_m must be positive, got 0.0"),
        ({"waves": 8}, "waves must be at least 16, got 8"),
        ({"waves": 100_000}, "waves must be at most 65536, got 100000"),
        ({"sigma_db": float("nan")}, "finite number"),
    ],
)
def test_errors(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shadowing(**values)
