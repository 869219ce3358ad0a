"""Small-scale fading: laws of the power, autocorrelation, fades, delays, limits."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reference_tables import FOLDER, rows
from scipy import special, stats

from wnsim.channel.delays import profile
from wnsim.channel.fading import (
    FADING,
    Fading,
    Nakagami,
    Process,
    Rayleigh,
    Rician,
    TappedDelayLine,
)
from wnsim.core.units import SPEED_OF_LIGHT_MPS

Floats = NDArray[np.float64]
FREQUENCY_HZ = 3.5e9
LAMBDA_M = SPEED_OF_LIGHT_MPS / FREQUENCY_HZ
FACTS: dict[str, Any] = json.loads((FOLDER / "analytic_facts.json").read_text(encoding="utf-8"))
COUNT = 20_000


def made(model: Fading, seed: int = 1, bandwidth_hz: float = 20e6, subbands: int = 1) -> Process:
    process = model.process(FREQUENCY_HZ, bandwidth_hz, subbands, seed)
    assert process is not None
    return process


def process(waves: int = 32, residual_speed_mps: float = 0.0, seed: int = 1) -> Process:
    return made(Rayleigh(waves=waves, residual_speed_mps=residual_speed_mps), seed)


def links(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first links of a complete graph."""
    target, source = np.tril_indices(int(np.sqrt(2 * count)) + 2, -1)
    return source[:count], target[:count]


def powers(model: Fading, **band: Any) -> Floats:
    """Return the power of many links at one instant, (links, subbands)."""
    source, target = links(COUNT)
    here_m = np.zeros((COUNT, 1, 2))
    values = made(model, **band).response(source, target, here_m, here_m + 50.0, np.zeros(1))
    return np.abs(values[:, 0]) ** 2


def check_law(power: Floats, distribution: list[float]) -> None:
    for level_db, share in zip(FACTS["thresholds_db"], distribution, strict=True):
        tolerance = 3.5 * np.sqrt(share * (1 - share) / power.size) + 1e-9
        assert np.mean(power < 10 ** (level_db / 10)) == pytest.approx(share, abs=tolerance)


def test_power_is_exponential_over_links() -> None:
    power = powers(Rayleigh())[:, 0]
    assert np.mean(power) == pytest.approx(1.0, abs=3 / np.sqrt(COUNT))
    # The kurtosis of a sum of M waves is 2 - 1/M; the deviation of power^2 is sqrt(20).
    assert np.mean(power**2) == pytest.approx(2 - 1 / 32, abs=3 * np.sqrt(20 / COUNT))
    assert stats.kstest(power, "expon").pvalue > 1e-3
    check_law(power, FACTS["rayleigh_power_cdf"])


@pytest.mark.parametrize("k_db", FACTS["rician_power_cdf_by_K_db"])
def test_rician_law(k_db: str) -> None:
    power = powers(Rician(k_db=float(k_db)))[:, 0]
    check_law(power, FACTS["rician_power_cdf_by_K_db"][k_db])
    fading = FACTS["rician_amount_of_fading"][k_db]
    # Of a law with exponential tails, the fourth moment is at most nine times the variance squared.
    assert np.mean(power) == pytest.approx(1.0, abs=3.5 * np.sqrt(fading / COUNT))
    assert np.var(power) == pytest.approx(fading, abs=3.5 * fading * np.sqrt(8 / COUNT) + 1 / 32)
    factor = 10 ** (float(k_db) / 10)
    law = stats.ncx2(2, 2 * factor, scale=1 / (2 * (factor + 1)))
    assert stats.kstest(power, law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("m", FACTS["nakagami_power_cdf"])
def test_nakagami_law(m: str) -> None:
    power = powers(Nakagami(m=float(m)))[:, 0]
    check_law(power, FACTS["nakagami_power_cdf"][m])
    assert stats.kstest(power, stats.gamma(float(m), scale=1 / float(m)).cdf).pvalue > 1e-3


def test_nakagami_moments_and_tails_equal_the_table() -> None:
    header, *lines = [
        line.split(",")
        for line in (FOLDER / "fading_nakagami_ns3.csv").read_text("utf-8").splitlines()
        if not line.startswith("#")
    ]
    assert header[:5] == ["m", "n_samples", "mean_power", "var_power", "theory_var"]
    for line in lines:
        power = powers(Nakagami(m=float(line[0])))[:, 0]
        variance = float(line[4])
        assert np.mean(power) == pytest.approx(1.0, abs=4 * np.sqrt(variance / COUNT))
        assert np.var(power) == pytest.approx(variance, rel=4 * np.sqrt(8 / COUNT))
        for name, share in zip(header[5::2], map(float, line[6::2]), strict=True):
            level = 10 ** (float(name.removeprefix("cdf_").removesuffix("dB")) / 10)
            tolerance = 4 * np.sqrt(share * (1 - share) / COUNT) + 1e-9
            assert np.mean(power < level) == pytest.approx(share, abs=tolerance)


def test_nakagami_of_one_is_rayleigh_and_keeps_phases() -> None:
    source, target = links(500)
    x_m = np.random.default_rng(1).random((500, 20, 2)) * 100.0
    plain = process().response(source, target, x_m, 0 * x_m, np.arange(20.0))
    same = made(Nakagami(m=1.0, residual_speed_mps=0.0))
    assert same.response(source, target, x_m, 0 * x_m, np.arange(20.0)) == pytest.approx(
        plain, rel=1e-6
    )
    milder = made(Nakagami(m=4.0, residual_speed_mps=0.0))
    values = milder.response(source, target, x_m, 0 * x_m, np.arange(20.0))
    assert np.angle(values / plain) == pytest.approx(np.zeros(plain.shape), abs=1e-9)


@pytest.mark.parametrize(
    "model", [Rayleigh(), TappedDelayLine(), Nakagami(m=1.0)], ids=["rayleigh", "tdl", "nakagami"]
)
def test_deep_fades_are_as_frequent_as_they_should_be(model: Fading) -> None:
    # P(power < -20 dB) = 0.00995: 200,000 links give it within 2.2 % (one deviation).
    count, deep = 200_000, 0
    source, target = links(count)
    fading = made(model)
    here_m = np.zeros((40_000, 1, 2))
    for start in range(0, count, 40_000):
        part = slice(start, start + 40_000)
        h = fading.response(source[part], target[part], here_m, here_m, np.zeros(1))
        deep += int(np.count_nonzero(np.abs(h) ** 2 < 0.01))
    assert deep / count == pytest.approx(0.00995, rel=0.05)


def test_level_crossings_and_fade_durations() -> None:
    # One end at 1 m/s, isotropic scattering: time in units of 1/f_d is distance in wavelengths.
    count, way, steps = 250, 64, 256
    source, target = links(count)
    edges_m = np.arange(way + 1.0) * LAMBDA_M
    x_m = np.stack([edges_m * np.cos(0.4), edges_m * np.sin(0.4)], axis=-1)
    x_m = np.broadcast_to(x_m, (count, way + 1, 2))
    h = process().response_grid(source, target, x_m, np.zeros_like(x_m), 0, 1.0, steps)[..., 0]
    power = np.abs(h) ** 2
    for level_db, rate in FACTS["rayleigh_lcr_over_fd"].items():
        below = power < 10 ** (float(level_db) / 10)
        falls = np.count_nonzero(below[:, 1:] & ~below[:, :-1])
        # A fade between two samples is missed, and few fades are independent.
        assert falls / (count * way) == pytest.approx(rate, rel=0.05)
        duration = np.count_nonzero(below) / steps / falls
        assert duration == pytest.approx(FACTS["rayleigh_afd_times_fd"][level_db], rel=0.07)


def autocorrelation(lag_s: Floats, v_source_mps: float, v_target_mps: float,
                    residual_speed_mps: float = 0.0) -> Floats:  # fmt: skip
    """Return the mean of h(t) h*(t + lag) over 2,000 links and 8 instants far apart."""
    count = 2000
    source, target = links(count)
    t_s = (np.arange(8)[:, None] * 1e3 + lag_s).ravel()
    moving = np.array([np.cos(0.3), np.sin(0.3)]) * t_s[:, None]
    x_source = np.broadcast_to(v_source_mps * moving, (count, t_s.size, 2))
    x_target = np.broadcast_to(100.0 - v_target_mps * moving, (count, t_s.size, 2))
    h = (
        process(residual_speed_mps=residual_speed_mps)
        .response(source, target, x_source, x_target, t_s)
        .reshape(count, 8, lag_s.size)
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
    assert np.max(np.abs(np.diff(h, axis=1))) < fastest


FAMILY = [
    pytest.param(Rayleigh(waves=13), id="rayleigh"),
    pytest.param(Rician(), id="rician"),
    pytest.param(Nakagami(m=0.6), id="nakagami"),
    pytest.param(TappedDelayLine(profile="C", delay_spread_s=300e-9), id="tdl-c"),
    pytest.param(TappedDelayLine(profile="D"), id="tdl-d"),
]


@pytest.mark.parametrize("model", FAMILY)
@pytest.mark.parametrize("samples", [64, 60, 7, 2, 1])
def test_grid_equals_response_along_chords(samples: int, model: Fading) -> None:
    draws = np.random.default_rng(1)
    count, chunks, first, chunk_s = 12, 9, 21, 0.064
    source, target = links(count)
    edges = [np.cumsum(draws.normal(0, 0.2, (count, chunks + 1, 2)), axis=1) for _ in range(2)]
    fading = made(model, subbands=3)
    grid = fading.response_grid(source, target, *edges, first, chunk_s, samples)
    assert grid.shape == (count, chunks * samples, fading.subbands)
    part = (np.arange(samples) / samples)[:, None]
    chords = [
        (x[:, :-1, None] + part * np.diff(x, axis=1)[:, :, None]).reshape(count, -1, 2)
        for x in edges
    ]
    t_s = (first + np.arange(chunks * samples) / samples) * chunk_s
    # Sums in single precision: 3e-7 of each wave.
    assert grid == pytest.approx(fading.response(source, target, *chords, t_s), abs=3e-6)


@pytest.mark.parametrize("model", FAMILY)
def test_grid_does_not_depend_on_the_window(model: Fading) -> None:
    draws = np.random.default_rng(2)
    source, target = links(40)
    x_source, x_target = np.cumsum(draws.normal(0, 0.2, (2, 40, 101, 2)), axis=2)
    whole = made(model, subbands=3).response_grid(source, target, x_source, x_target, 0, 0.064, 64)
    part = made(model, subbands=3).response_grid(
        source[5:9], target[5:9], x_source[5:9, 30:34], x_target[5:9, 30:34], 30, 0.064, 64
    )
    assert np.array_equal(part, whole[5:9, 30 * 64 : 33 * 64])


@pytest.mark.parametrize("model", FAMILY)
def test_reciprocal(model: Fading) -> None:
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
    one = process().response(source, target, here_m, here_m, np.zeros(1))[:, 0, 0]
    other = process(seed=2).response(source, target, here_m, here_m, np.zeros(1))[:, 0, 0]
    for value in (np.roll(one, 1), other):
        # The deviation of the mean product of unit-power variables is 1/sqrt(n).
        assert abs(np.mean(one.conj() * value)) < 4 / np.sqrt(count)


@pytest.mark.parametrize("model", [Rayleigh(residual_speed_mps=0.0), TappedDelayLine(profile="B")])
def test_forgetting_links_changes_nothing(model: Fading, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = links(50)
    x_m = np.ones((50, 3, 2))
    whole = made(model).response(source, target, 0 * x_m, x_m, np.arange(3.0))
    monkeypatch.setattr("wnsim.channel.plane_waves._MAX_LINKS", 8)
    small = made(model)
    for start in (0, 30, 5, 20):
        part = slice(start, start + 7)
        values = small.response(source[part], target[part], 0 * x_m[:7], x_m[:7], np.arange(3.0))
        assert np.array_equal(values, whole[part])


@pytest.mark.parametrize("name", "ABCDE")
def test_delays_and_powers_equal_the_table(name: str) -> None:
    table = [row for row in rows("tdl_profiles.csv") if row["model"] == name]
    taps = profile(name)
    assert taps.delay * 100e-9 == pytest.approx([float(row["delay_s"]) for row in table], abs=1e-14)
    power = taps.power.copy()
    power[0] += taps.sight
    assert power == pytest.approx([float(row["mean_power"]) for row in table], abs=1e-6)
    if table[0]["k_factor_db"]:
        k_db = 10 * np.log10(taps.sight / taps.power[0])
        assert k_db == pytest.approx(float(table[0]["k_factor_db"]), abs=1e-9)


def frequency_correlation(name: str, apart_hz: Floats, spread_s: float) -> NDArray[np.complex128]:
    """Return the frequency correlation of the response, from the reference table."""
    table = [row for row in rows("tdl_profiles.csv") if row["model"] == name]
    power = np.array([float(row["mean_power"]) for row in table])
    delay_s = np.array([float(row["delay_s"]) for row in table]) * spread_s / 100e-9
    return np.exp(-2j * np.pi * np.outer(apart_hz, delay_s)) @ power


@pytest.mark.parametrize("name", "ABCDE")
def test_frequency_correlation_over_links(name: str) -> None:
    bandwidth_hz, subbands, spread_s = 40e6, 16, 150e-9
    model = TappedDelayLine(profile=name, delay_spread_s=spread_s)
    count = 8000
    source, target = links(count)
    here_m = np.zeros((count, 1, 2))
    h = made(model, bandwidth_hz=bandwidth_hz, subbands=subbands).response(
        source, target, here_m, here_m + 70.0, np.zeros(1)
    )[:, 0]
    apart_hz = np.arange(subbands) * bandwidth_hz / subbands
    theory = frequency_correlation(name, apart_hz, spread_s)
    result = np.mean(h * h[:, :1].conj(), axis=0)
    assert np.abs(result - theory) == pytest.approx(np.zeros(subbands), abs=4 / np.sqrt(count))
    assert np.mean(np.abs(h) ** 2, axis=0) == pytest.approx(np.ones(subbands), abs=0.04)


def test_frequency_correlation_over_the_way_of_one_link() -> None:
    bandwidth_hz, subbands = 40e6, 8
    fading = made(TappedDelayLine(residual_speed_mps=0.0), 1, bandwidth_hz, subbands)
    way_m = np.cumsum(np.random.default_rng(4).random((30_000, 2)) * LAMBDA_M, axis=0)[None]
    h = fading.response(
        np.array([0]), np.array([1]), way_m, np.zeros_like(way_m), np.zeros(way_m.shape[1])
    )[0]
    theory = frequency_correlation("A", np.arange(subbands) * bandwidth_hz / subbands, 100e-9)
    result = np.mean(h * h[:, :1].conj(), axis=0)
    assert np.abs(result - theory) == pytest.approx(np.zeros(subbands), abs=0.03)


def test_taps_move_as_one_wave_does() -> None:
    # In each subband the autocorrelation over the way is J0, as without delays.
    count, steps = 1000, np.linspace(0.0, 1.5, 16)
    source, target = links(count)
    x_m = np.stack([steps * LAMBDA_M, 0 * steps], axis=-1)
    x_m = np.broadcast_to(x_m, (count, 16, 2))
    fading = made(TappedDelayLine(residual_speed_mps=0.0), 1, 40e6, 4)
    h = fading.response(source, target, x_m, 0 * x_m + 9.0, np.zeros(16))
    result = np.mean(h[:, :1].conj() * h, axis=(0, 2))
    assert np.abs(result - special.j0(2 * np.pi * steps)) == pytest.approx(np.zeros(16), abs=0.06)


def test_a_direct_wave_turns_with_the_distance() -> None:
    fading = made(Rician(k_db=100.0))
    x_m = np.zeros((1, 400, 2))
    x_m[0, :, 0] = np.linspace(10.0, 12.0, 400)
    h = fading.response(np.array([4]), np.array([2]), x_m, 0 * x_m, np.zeros(400))[0, :, 0]
    assert np.angle(h * np.exp(2j * np.pi * x_m[0, :, 0] / LAMBDA_M)) == pytest.approx(
        np.zeros(400), abs=1e-4
    )


@pytest.mark.parametrize("name", FADING)
def test_family(name: str) -> None:
    model = FADING[name]()
    process = model.process(FREQUENCY_HZ, 20e6, 5, 1)
    if name == "none":
        assert process is None
    else:
        assert process is not None
        assert process.subbands == (5 if name == "tdl" else 1)


@pytest.mark.parametrize("model", [Rayleigh, Rician, Nakagami, TappedDelayLine])
def test_errors(model: Any) -> None:
    with pytest.raises(ValueError, match=r"waves must be at least (8|24), got 4"):
        model(waves=4)
    with pytest.raises(ValueError, match=r"waves must be at most 4096, got 5000"):
        model(waves=5000)
    with pytest.raises(ValueError, match=r"residual_speed_mps must be at least 0 m/s, got -1\.0"):
        model(residual_speed_mps=-1.0)
    with pytest.raises(ValueError, match="finite number"):
        model(residual_speed_mps=float("nan"))


def test_errors_of_single_models() -> None:
    with pytest.raises(ValueError, match=r"m must be at least 0\.5, got 0\.4"):
        Nakagami(m=0.4)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        TappedDelayLine(delay_spread_s=-1e-9)
    with pytest.raises(ValueError, match="'A', 'B', 'C', 'D' or 'E'"):
        TappedDelayLine(profile="F")
