"""The channel: pure in seed, link and time, reciprocal, and its fast way equal to the plain one."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from wnsim.channel import (
    FADING,
    PATH_LOSS,
    Channel,
    Fading,
    FreeSpace,
    LogDistance,
    NoFading,
    PathLoss,
    Rayleigh,
    Shadowing,
    UmiStreetCanyon,
)
from wnsim.units import SPEED_OF_LIGHT_MPS

DEVICES = 8
SPEED_MPS = 3.0
BLOCK_NS = 1_000_000
SOURCE, TARGET = np.array([0, 3, 5, 2, 7]), np.array([4, 1, 0, 6, 2])

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def straight(devices: Ints, t_s: Floats) -> Floats:
    """Motion at constant speed in a direction of each device's own."""
    start_m = np.random.default_rng(1).random((DEVICES, 2)) * 200.0
    angle = 2.4 * np.arange(DEVICES)
    heading = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return (
        start_m[devices][:, None] + SPEED_MPS * np.asarray(t_s)[:, None] * heading[devices][:, None]
    )


def channel(
    path_loss: PathLoss | None = None,
    fading: Fading | None = None,
    position: Callable[[Ints, Floats], Floats] = straight,
    max_speed_mps: float = SPEED_MPS,
    seed: int = 1,
    sigma_db: float | None = None,
) -> Channel:
    return Channel(
        path_loss or UmiStreetCanyon(),
        Shadowing(sigma_db=sigma_db),
        fading or Rayleigh(),
        3.5e9,
        np.full(DEVICES, 1.5),
        position,
        max_speed_mps,
        seed,
    )


def test_free_space_at_rest_is_friis() -> None:
    made = channel(FreeSpace(), NoFading(), lambda d, t: straight(d, 0 * t), 0.0)
    x_m = straight(np.arange(DEVICES), np.zeros(1))[:, 0]
    distance_m = np.linalg.norm(x_m[SOURCE] - x_m[TARGET], axis=-1)
    friis_db = 20 * np.log10(SPEED_OF_LIGHT_MPS / (4 * np.pi * distance_m * 3.5e9))
    gain_db = made.gain_db(SOURCE, TARGET, np.array([0.0, 7.3]))
    assert gain_db == pytest.approx(np.stack([friis_db, friis_db], axis=-1), abs=1e-9)
    assert np.abs(made.response(SOURCE, TARGET, np.zeros(1))) ** 2 == pytest.approx(
        10 ** (gain_db[:, :1] / 10)
    )


@pytest.mark.parametrize("fading", [pytest.param(made(), id=name) for name, made in FADING.items()])
@pytest.mark.parametrize(
    "loss", [pytest.param(made(), id=name) for name, made in PATH_LOSS.items()]
)
def test_contract(loss: PathLoss, fading: Fading) -> None:
    made = channel(loss, fading, sigma_db=4.0)
    t_s = np.arange(3000) * (BLOCK_NS * 1e-9)
    gain_db = made.gain_db(SOURCE, TARGET, t_s)
    assert gain_db.shape == (SOURCE.size, t_s.size)
    response = made.response(SOURCE, TARGET, t_s)
    assert np.abs(response) ** 2 == pytest.approx(10 ** (gain_db / 10), rel=1e-9)
    # Reciprocal, to the last bit.
    assert np.array_equal(made.gain_db(TARGET, SOURCE, t_s), gain_db)
    blocks = made.gain_blocks(SOURCE, TARGET, 0, t_s.size, BLOCK_NS)
    assert np.array_equal(made.gain_blocks(TARGET, SOURCE, 0, t_s.size, BLOCK_NS), blocks)
    # The fast way is the plain one, relative to the mean gain: a fade to 0 has no accuracy.
    mean = 10 ** (made.large_scale_db(SOURCE, TARGET, t_s) / 10)
    assert np.max(np.abs(blocks - np.abs(response) ** 2) / mean) < 1e-9
    # The same seed is the same channel, in whatever order and for whichever links it is asked.
    fresh = channel(loss, fading, sigma_db=4.0)
    part = fresh.gain_blocks(SOURCE[3:4], TARGET[3:4], 1717, 391, BLOCK_NS)
    assert np.array_equal(part, blocks[3:4, 1717 : 1717 + 391])
    assert np.array_equal(fresh.gain_blocks(SOURCE, TARGET, 0, t_s.size, BLOCK_NS), blocks)
    other = channel(loss, fading, seed=2, sigma_db=4.0)
    assert not np.any(other.gain_blocks(SOURCE, TARGET, 0, 100, BLOCK_NS) == blocks[:, :100])


def test_windows_agree_where_they_overlap() -> None:
    made = channel()
    # A long window goes around the memory of recent values, a short one through it.
    t_s = np.arange(0.0, 300.0, 0.037)
    whole_db = made.large_scale_db(SOURCE, TARGET, t_s)
    draws = np.random.default_rng(3)
    for _ in range(50):
        start = int(draws.integers(0, t_s.size - 200))
        window = slice(start, start + int(draws.integers(1, 200)))
        some = draws.permutation(SOURCE.size)[: int(draws.integers(1, SOURCE.size + 1))]
        values_db = made.large_scale_db(SOURCE[some], TARGET[some], t_s[window])
        assert np.array_equal(values_db, whole_db[some, window])
    scattered = draws.permutation(t_s.size)[:40]
    values_db = made.large_scale_db(SOURCE, TARGET, t_s[scattered])
    assert np.array_equal(values_db, whole_db[:, scattered])


def test_forgetting_links_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    t_s = np.arange(0.0, 5.0, 0.01)
    whole_db = channel().large_scale_db(SOURCE, TARGET, t_s)
    monkeypatch.setattr("wnsim.channel.large_scale._MAX_LINKS", 2)
    small = channel()
    assert np.array_equal(small.large_scale_db(SOURCE, TARGET, t_s), whole_db)
    for link in (0, 1, 2, 0, 4, 3, 1):
        one_db = small.large_scale_db(SOURCE[link : link + 1], TARGET[link : link + 1], t_s)
        assert np.array_equal(one_db[0], whole_db[link])


@pytest.mark.parametrize("block_ns", [125_000, 1_000_000, 8_600_000, 400_000_000])
def test_a_turn_is_rounded_off_by_less_than_a_chunk(block_ns: int) -> None:
    def zigzag(devices: Ints, t_s: Floats) -> Floats:
        """Back and forth along x with a period of 4 s."""
        x_m = SPEED_MPS * np.abs(np.mod(np.asarray(t_s), 4.0) - 2.0)
        place_m = np.stack([x_m, 0 * x_m], axis=-1)
        return place_m + 30.0 * np.asarray(devices)[:, None, None]

    made = channel(FreeSpace(), Rayleigh(residual_speed_mps=0.0), zigzag)
    blocks = np.arange(int(8e9) // block_ns)
    fast = made.gain_blocks(SOURCE, TARGET, 0, blocks.size, block_ns)
    t_s = blocks * (block_ns * 1e-9)
    plain = 10 ** (made.gain_db(SOURCE, TARGET, t_s) / 10)
    mean = 10 ** (made.large_scale_db(SOURCE, TARGET, t_s) / 10)
    # Away from the turns by the longest chunk, the large-scale step, nothing is rounded off.
    far = np.abs(np.mod(t_s + 1.0, 2.0) - 1.0) > made.large_scale.step_s
    assert np.any(far)
    assert np.max((np.abs(fast - plain) / mean)[:, far]) < 1e-9


def test_block_numbers_may_be_negative() -> None:
    # The channel that was known some blocks ago, at the beginning of a run.
    made = channel()
    early = made.gain_blocks(SOURCE, TARGET, -10, 30, BLOCK_NS)
    assert np.array_equal(early[:, 10:], made.gain_blocks(SOURCE, TARGET, 0, 20, BLOCK_NS))


def test_no_blocks() -> None:
    assert channel().gain_blocks(SOURCE, TARGET, 5, 0, BLOCK_NS).shape == (SOURCE.size, 0)


def test_interpolation_is_close_to_the_model() -> None:
    # Between instants 1/6 s apart a pair moves 1 m at most, over which 3.76 lg d bends little.
    made = channel(LogDistance(exponent=3.76), NoFading())
    t_s = np.arange(0.0, 5.0, 0.01)
    x_m = straight(np.arange(DEVICES), t_s)
    d2d_m = np.linalg.norm(x_m[SOURCE] - x_m[TARGET], axis=-1)
    loss_db = LogDistance(exponent=3.76).loss_db(d2d_m, 1.5, 1.5, 3.5e9, True)
    # Linear interpolation of 37.6 lg d over a step s errs by at most s^2/8 of 16.3/d^2.
    bound_db = 16.33 / (d2d_m.min() - 1.0) ** 2 / 8
    assert np.max(np.abs(made.gain_db(SOURCE, TARGET, t_s) + loss_db)) < bound_db


@pytest.mark.parametrize(
    ("max_speed_mps", "step_s"), [(0.0, 1.0), (0.1, 1.0), (1.0, 0.5), (3.0, 0.166), (30.0, 0.05)]
)
def test_step_of_the_large_scale_grid(max_speed_mps: float, step_s: float) -> None:
    # Shortest decorrelation distance 10 m: two devices together move 1 m in a step.
    assert channel(max_speed_mps=max_speed_mps).large_scale.step_s == step_s


def test_line_of_sight_in_the_channel_follows_its_probability() -> None:
    devices = 200
    places_m = np.random.default_rng(4).random((devices, 2)) * 20_000.0
    source = np.arange(0, devices, 2)
    places_m[source + 1] = places_m[source] + [60.0, 0.0]
    states = []
    for seed in range(20):
        made = Channel(
            UmiStreetCanyon(), Shadowing(), NoFading(), 3.5e9, np.full(devices, 1.5),
            lambda d, t: np.repeat(places_m[d][:, None], len(t), axis=1), 0.0, seed,
        )  # fmt: skip
        states.append(made.large_scale.line_of_sight(source, source + 1, np.zeros(1)))
    probability = 18 / 60 + np.exp(-60 / 36) * (1 - 18 / 60)
    tolerance = 4 * np.sqrt(probability * (1 - probability) / (20 * source.size))
    assert np.mean(states) == pytest.approx(probability, abs=tolerance)


def test_errors() -> None:
    with pytest.raises(ValueError, match="must join two devices, got device 3 with itself"):
        channel().gain_blocks(np.array([1, 3]), np.array([2, 3]), 0, 10, BLOCK_NS)
    with pytest.raises(ValueError, match="block_ns must be positive, got 0"):
        channel().gain_blocks(SOURCE, TARGET, 0, 10, 0)
    with pytest.raises(
        ValueError, match=r"max_speed_mps must be finite and at least 0 m/s, got -1"
    ):
        channel(max_speed_mps=-1.0)
