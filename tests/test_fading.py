"""Small-scale fading: Rayleigh statistics, Clarke and mobile-to-mobile autocorrelation, limits."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from reference_tables import FOLDER, rows
from scipy import special, stats

from wnsim.channel.fading import FADING, Process, Rayleigh
from wnsim.units import SPEED_OF_LIGHT_MPS

FREQUENCY_HZ = 3.5e9
LAMBDA_M = SPEED_OF_LIGHT_MPS / FREQUENCY_HZ


def process(waves: int = 32, residual_speed_mps: float = 0.0, seed: int = 1) -> Process:
    model = Rayleigh(waves=waves, residual_speed_mps=residual_speed_mps)
    made = model.process(FREQUENCY_HZ, seed)
    assert made is not None
    return made


def links(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first links of a complete graph."""
    target, source = np.tril_indices(int(np.sqrt(2 * count)) + 2, -1)
    return source[:count], target[:count]


def test_power_is_exponential_over_links() -> None:
    facts = json.loads((FOLDER / "analytic_facts.json").read_text(encoding="utf-8"))
    count = 20_000
    source, target = links(count)
    here_m = np.zeros((count, 1, 2))
    power = np.abs(process().response(source, target, here_m, here_m, np.zeros(1))[:, 0]) ** 2
    assert np.mean(power) == pytest.approx(1.0, abs=3 / np.sqrt(count))
    # The kurtosis of a sum of M waves is 2 - 1/M; the deviation of power^2 is sqrt(20).
    assert np.mean(power**2) == pytest.approx(2 - 1 / 32, abs=3 * np.sqrt(20 / count))
    assert stats.kstest(power, "expon").pvalue > 1e-3
    for level_db, share in zip(facts["thresholds_db"], facts["rayleigh_power_cdf"], strict=True):
        tolerance = 3 * np.sqrt(share * (1 - share) / count)
        assert np.mean(power < 10 ** (level_db / 10)) == pytest.approx(share, abs=tolerance)


def autocorrelation(lag_s: NDArray[np.float64], v_source_mps: float, v_target_mps: float,
                    residual_speed_mps: float = 0.0) -> NDArray[np.float64]:  # fmt: skip
    """Return the mean of h(t) h*(t + lag) over 2,000 links and 25 instants far apart."""
    count = 2000
    source, target = links(count)
    t_s = (np.arange(25)[:, None] * 1e3 + lag_s).ravel()
    moving = np.array([np.cos(0.3), np.sin(0.3)]) * t_s[:, None]
    x_source = np.broadcast_to(v_source_mps * moving, (count, t_s.size, 2))
    x_target = np.broadcast_to(100.0 - v_target_mps * moving, (count, t_s.size, 2))
    h = (
        process(residual_speed_mps=residual_speed_mps)
        .response(source, target, x_source, x_target, t_s)
        .reshape(count, 25, lag_s.size)
    )
    product = np.mean(h[..., :1].conj() * h, axis=(0, 1))
    assert np.max(np.abs(product.imag)) < 0.02
    return product.real


def test_autocorrelation_is_j0_with_one_end_moving() -> None:
    table = rows("fading_jakes_ns3.csv")
    doppler_hz = float(table[1]["fd_tau"]) / float(table[1]["tau_s"])
    lag_s = np.array([float(row["tau_s"]) for row in table])
    theory = [float(row["bessel_j0"]) for row in table]
    result = autocorrelation(lag_s, doppler_hz * LAMBDA_M, 0.0)
    assert result == pytest.approx(theory, abs=0.02)


def test_autocorrelation_is_j0_j0_with_both_ends_moving() -> None:
    lag_s = np.linspace(0.0, 0.03, 40)
    wave_number = 2 * np.pi / LAMBDA_M
    theory = special.j0(wave_number * 3.0 * lag_s) * special.j0(wave_number * 5.0 * lag_s)
    assert autocorrelation(lag_s, 3.0, 5.0) == pytest.approx(theory, abs=0.02)


def test_links_at_rest_move_with_the_surroundings_only() -> None:
    lag_s = np.linspace(0.0, 3.0, 30)
    theory = special.j0(2 * np.pi / LAMBDA_M * 0.05 * lag_s)
    assert autocorrelation(lag_s, 0.0, 0.0, 0.05) == pytest.approx(theory, abs=0.02)
    source, target = links(10)
    here_m = np.zeros((10, 30, 2))
    frozen = process(residual_speed_mps=0.0).response(source, target, here_m, here_m, lag_s)
    assert np.array_equal(frozen, np.repeat(frozen[:, :1], 30, axis=1))


def test_continuous_when_speeds_change() -> None:
    # 5 m/s, then at rest, then back at 8 m/s.
    t_s = np.arange(0.0, 3.0, 1e-4)
    x_m = np.interp(t_s, [0.0, 1.0, 2.0, 3.0], [0.0, 5.0, 5.0, -3.0])
    x_source = np.stack([x_m, np.zeros_like(x_m)], axis=-1)[None]
    h = process(residual_speed_mps=0.05).response(
        np.array([0]), np.array([1]), x_source, np.full_like(x_source, 50.0), t_s
    )
    # No phase turns faster than 2 pi/lambda times the sum of the speeds, and the amplitudes of
    # 32 waves add up to at most sqrt(32).
    fastest = 2 * np.pi / LAMBDA_M * (8.0 + 0.05) * 1e-4 * np.sqrt(32)
    assert np.max(np.abs(np.diff(h))) < fastest


@pytest.mark.parametrize("samples", [64, 60, 7, 2, 1])
def test_grid_equals_response_along_chords(samples: int) -> None:
    draws = np.random.default_rng(1)
    count, chunks, first, chunk_s = 12, 9, 21, 0.064
    source, target = links(count)
    edges = [np.cumsum(draws.normal(0, 0.2, (count, chunks + 1, 2)), axis=1) for _ in range(2)]
    fading = process(residual_speed_mps=0.05)
    grid = fading.response_grid(source, target, *edges, first, chunk_s, samples)
    assert grid.shape == (count, chunks * samples)
    part = (np.arange(samples) / samples)[:, None]
    chords = [
        (x[:, :-1, None] + part * np.diff(x, axis=1)[:, :, None]).reshape(count, -1, 2)
        for x in edges
    ]
    t_s = (first + np.arange(chunks * samples) / samples) * chunk_s
    assert grid == pytest.approx(fading.response(source, target, *chords, t_s), abs=1e-9)


def test_grid_does_not_depend_on_the_window() -> None:
    draws = np.random.default_rng(2)
    source, target = links(40)
    x_source, x_target = np.cumsum(draws.normal(0, 0.2, (2, 40, 101, 2)), axis=2)
    whole = process().response_grid(source, target, x_source, x_target, 0, 0.064, 64)
    part = process().response_grid(
        source[5:9], target[5:9], x_source[5:9, 30:34], x_target[5:9, 30:34], 30, 0.064, 64
    )
    assert np.array_equal(part, whole[5:9, 30 * 64 : 33 * 64])


def test_reciprocal() -> None:
    draws = np.random.default_rng(3)
    source, target = links(30)
    x_source, x_target = 100 * draws.random((2, 30, 5, 2))
    t_s = np.arange(5.0)
    fading = process(residual_speed_mps=0.05)
    forth = fading.response(source, target, x_source, x_target, t_s)
    assert np.array_equal(fading.response(target, source, x_target, x_source, t_s), forth)
    forth = fading.response_grid(source, target, x_source, x_target, 3, 0.1, 16)
    back = fading.response_grid(target, source, x_target, x_source, 3, 0.1, 16)
    assert np.array_equal(back, forth)


def test_links_and_seeds_are_independent() -> None:
    count = 5000
    source, target = links(count)
    here_m = np.zeros((count, 1, 2))
    one = process().response(source, target, here_m, here_m, np.zeros(1))[:, 0]
    other = process(seed=2).response(source, target, here_m, here_m, np.zeros(1))[:, 0]
    for value in (np.roll(one, 1), other):
        # The deviation of the mean product of unit-power variables is 1/sqrt(n).
        assert abs(np.mean(one.conj() * value)) < 4 / np.sqrt(count)


def test_forgetting_links_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = links(50)
    x_m = np.ones((50, 3, 2))
    whole = process().response(source, target, 0 * x_m, x_m, np.arange(3.0))
    monkeypatch.setattr("wnsim.channel.plane_waves._MAX_LINKS", 8)
    small = process()
    for start in (0, 30, 5, 20):
        part = slice(start, start + 7)
        values = small.response(source[part], target[part], 0 * x_m[:7], x_m[:7], np.arange(3.0))
        assert np.array_equal(values, whole[part])


def test_family() -> None:
    assert FADING["none"]().process(FREQUENCY_HZ, 1) is None
    assert FADING["rayleigh"]().process(FREQUENCY_HZ, 1) is not None


def test_errors() -> None:
    with pytest.raises(ValueError, match="waves must be at least 8, got 4"):
        Rayleigh(waves=4)
    with pytest.raises(ValueError, match=r"residual_speed_mps must be at least 0 m/s, got -1\.0"):
        Rayleigh(residual_speed_mps=-1.0)
