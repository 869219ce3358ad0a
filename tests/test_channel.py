"""The channel: pure in seed, link and time, reciprocal, and fast evaluation equal to the plain
one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wnsim.channel import (
    FADING,
    PATH_LOSS,
    Carrier,
    Channel,
    Fading,
    FreeSpace,
    Geometry,
    Inh,
    Isotropic,
    LogDistance,
    Nakagami,
    NoFading,
    OutOfRangeWarning,
    PathLoss,
    Penetration,
    Propagation,
    Rayleigh,
    Sector,
    Shadowing,
    TappedDelayLine,
    TwoRay,
    Uma,
    UmiStreetCanyon,
    V2vHighway,
    V2vUrban,
)
from wnsim.core.units import SPEED_OF_LIGHT_MPS

DEVICES = 8
SPEED_MPS = 3.0
BLOCK_NS = 1_000_000
SOURCE, TARGET = np.array([0, 3, 5, 2, 7]), np.array([4, 1, 0, 6, 2])

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def straight(devices: Ints, t_s: Floats) -> Floats:
    """Motion at constant speed, each device in another direction."""
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
    bandwidth_hz: float = 20e6,
    subbands: int = 1,
    station_path_loss: PathLoss | None = None,
    penetration: Penetration | None = None,
    **nodes: Any,
) -> Channel:
    return Channel(
        Propagation(
            path_loss or UmiStreetCanyon(),
            Shadowing(sigma_db=sigma_db),
            fading or Rayleigh(),
            station_path_loss,
            penetration,
        ),
        Carrier(3.5e9, bandwidth_hz, subbands),
        Geometry(np.full(DEVICES, 1.6), position, max_speed_mps, **nodes),
        seed,
    )


def at_rest(positions_m: Floats) -> Callable[[Ints, Floats], Floats]:
    """Return the positions of devices that stay where they are."""
    return lambda devices, t_s: np.repeat(positions_m[devices][:, None], len(t_s), axis=1)


def test_free_space_at_rest_is_friis() -> None:
    made = channel(FreeSpace(), NoFading(), lambda d, t: straight(d, 0 * t), 0.0)
    x_m = straight(np.arange(DEVICES), np.zeros(1))[:, 0]
    distance_m = np.linalg.norm(x_m[SOURCE] - x_m[TARGET], axis=-1)
    friis_db = 20 * np.log10(SPEED_OF_LIGHT_MPS / (4 * np.pi * distance_m * 3.5e9))
    gain_db = made.gain_db(SOURCE, TARGET, np.array([0.0, 7.3]))
    assert gain_db[..., 0] == pytest.approx(np.stack([friis_db, friis_db], axis=-1), abs=1e-9)
    assert np.abs(made.response(SOURCE, TARGET, np.zeros(1))) ** 2 == pytest.approx(
        10 ** (gain_db[:, :1] / 10)
    )


@pytest.mark.filterwarnings("ignore::wnsim.channel.OutOfRangeWarning")
@pytest.mark.parametrize("fading", [pytest.param(made(), id=name) for name, made in FADING.items()])
@pytest.mark.parametrize(
    "loss", [pytest.param(made(), id=name) for name, made in PATH_LOSS.items()]
)
def test_contract(loss: PathLoss, fading: Fading) -> None:
    # Everything at once: two of the nodes are stations, two are indoors, antennas differ.
    stations, indoor = np.zeros((2, DEVICES), dtype=bool)
    stations[[4, 6]], indoor[[0, 3]] = True, True
    everything = {
        "sigma_db": 4.0,
        "subbands": 3,
        "stations": stations,
        "station_path_loss": TwoRay(),
        "antennas": [Sector(boresight_deg=40.0 * n) for n in range(6)] + [Isotropic()] * 2,
        "indoor": indoor,
        "penetration": Penetration(model="high"),
    }
    made = channel(loss, fading, **everything)
    t_s = np.arange(1000) * (BLOCK_NS * 1e-9)
    gain_db = made.gain_db(SOURCE, TARGET, t_s)
    assert gain_db.shape == (SOURCE.size, t_s.size, 3)
    response = made.response(SOURCE, TARGET, t_s)
    assert np.abs(response) ** 2 == pytest.approx(10 ** (gain_db / 10), rel=1e-9)
    # Reciprocal, to the last bit.
    assert np.array_equal(made.gain_db(TARGET, SOURCE, t_s), gain_db)
    blocks = made.gain_blocks(SOURCE, TARGET, 0, t_s.size, BLOCK_NS)
    assert np.array_equal(made.gain_blocks(TARGET, SOURCE, 0, t_s.size, BLOCK_NS), blocks)
    # Tolerance relative to the mean gain: a deep fade has no relative accuracy.
    mean = 10 ** (made.large_scale_db(SOURCE, TARGET, t_s) / 10)[..., None]
    # Sums in single precision: 3e-7 of each wave, on amplitudes of up to some times the mean.
    assert np.max(np.abs(blocks - np.abs(response) ** 2) / mean) < 1e-5
    # The same seed gives the same channel in any order of queries and for any subset of links.
    fresh = channel(loss, fading, **everything)
    part = fresh.gain_blocks(SOURCE[3:4], TARGET[3:4], 717, 191, BLOCK_NS)
    assert np.array_equal(part, blocks[3:4, 717 : 717 + 191])
    assert np.array_equal(fresh.gain_blocks(SOURCE, TARGET, 0, t_s.size, BLOCK_NS), blocks)
    other = channel(loss, fading, seed=2, **everything)
    assert not np.any(other.gain_blocks(SOURCE, TARGET, 0, 100, BLOCK_NS) == blocks[:, :100])
    assert (np.ptp(blocks, axis=2).max() > 0.0) == (fading.model == "tdl")


@pytest.mark.parametrize(
    "fading", [Rayleigh(), Nakagami(m=2.0), TappedDelayLine(profile="E")], ids=lambda f: f.model
)
def test_one_block_of_one_link_is_that_of_a_large_call(fading: Fading) -> None:
    nodes = 120
    draws = np.random.default_rng(8)
    start_m, speed_mps = draws.random((nodes, 2)) * 400.0, draws.normal(0.0, 2.0, (nodes, 2))

    def moving(devices: Ints, t_s: Floats) -> Floats:
        return start_m[devices][:, None] + speed_mps[devices][:, None] * np.asarray(t_s)[:, None]

    def made() -> Channel:
        return Channel(
            Propagation(V2vUrban(truck_share=0.3), Shadowing(), fading),
            Carrier(5.9e9, subbands=2),
            Geometry(np.full(nodes, 1.6), moving, 6.0),
            1,
        )

    high, low = np.tril_indices(nodes, -1)
    whole = made().gain_blocks(low, high, 100, 90, BLOCK_NS)
    one = made()
    for link, block in zip(
        draws.integers(0, low.size, 40).tolist(), draws.integers(0, 90, 40).tolist(), strict=True
    ):
        part = slice(link, link + 1)
        gain = one.gain_blocks(high[part], low[part], 100 + block, 1, BLOCK_NS)
        assert np.array_equal(gain[0, 0], whole[link, block])
    for first, count in ((0, 33), (31, 59), (63, 2)):
        some = draws.permutation(low.size)[:777]
        gain = one.gain_blocks(low[some], high[some], 100 + first, count, BLOCK_NS)
        assert np.array_equal(gain, whole[some, first : first + count])


@pytest.mark.filterwarnings("ignore::wnsim.channel.OutOfRangeWarning")
def test_windows_agree_where_they_overlap() -> None:
    made = channel()
    # A long window bypasses the cache of recent values, a short one uses it.
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


@pytest.mark.filterwarnings("ignore::wnsim.channel.OutOfRangeWarning")
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
    fast = made.gain_blocks(SOURCE, TARGET, 0, blocks.size, block_ns)[..., 0]
    t_s = blocks * (block_ns * 1e-9)
    plain = 10 ** (made.gain_db(SOURCE, TARGET, t_s)[..., 0] / 10)
    mean = 10 ** (made.large_scale_db(SOURCE, TARGET, t_s) / 10)
    # Away from the turns by the longest chunk, the large-scale step, nothing is rounded off.
    far = np.abs(np.mod(t_s + 1.0, 2.0) - 1.0) > made.large_scale.step_s
    assert np.any(far)
    assert np.max((np.abs(fast - plain) / mean)[:, far]) < 1e-5


@pytest.mark.filterwarnings("ignore::wnsim.channel.OutOfRangeWarning")
def test_block_numbers_may_be_negative() -> None:
    # The channel that was known some blocks ago, at the beginning of a run.
    made = channel()
    early = made.gain_blocks(SOURCE, TARGET, -10, 30, BLOCK_NS)
    assert np.array_equal(early[:, 10:], made.gain_blocks(SOURCE, TARGET, 0, 20, BLOCK_NS))


def test_no_blocks() -> None:
    assert channel().gain_blocks(SOURCE, TARGET, 5, 0, BLOCK_NS).shape == (SOURCE.size, 0, 1)
    empty = np.empty(0, dtype=np.int64)
    assert channel(subbands=4).gain_blocks(empty, empty, 5, 9, BLOCK_NS).shape == (0, 9, 4)
    assert channel().large_scale_db(empty, empty, np.zeros(2)).shape == (0, 2)


def test_interpolation_is_close_to_the_model() -> None:
    # Between instants 1/6 s apart a pair moves 1 m at most, over which 3.76 lg d bends little.
    made = channel(LogDistance(exponent=3.76), NoFading())
    t_s = np.arange(0.0, 5.0, 0.01)
    x_m = straight(np.arange(DEVICES), t_s)
    d2d_m = np.linalg.norm(x_m[SOURCE] - x_m[TARGET], axis=-1)
    loss_db = LogDistance(exponent=3.76).loss_db(d2d_m, 1.5, 1.5, 3.5e9, True)
    # Linear interpolation of 37.6 lg d over a step s errs by at most s^2/8 of 16.3/d^2.
    bound_db = 16.33 / (d2d_m.min() - 1.0) ** 2 / 8
    assert np.max(np.abs(made.gain_db(SOURCE, TARGET, t_s)[..., 0] + loss_db)) < bound_db


@pytest.mark.parametrize(
    ("max_speed_mps", "step_s"), [(0.0, 1.0), (0.1, 1.0), (1.0, 0.5), (3.0, 0.166), (30.0, 0.05)]
)
def test_step_of_the_large_scale_grid(max_speed_mps: float, step_s: float) -> None:
    # Shortest decorrelation distance 10 m: two devices together move 1 m in a step.
    assert channel(max_speed_mps=max_speed_mps).large_scale.step_s == step_s


def test_line_of_sight_in_the_channel_follows_its_probability() -> None:
    devices = 200
    positions_m = np.random.default_rng(4).random((devices, 2)) * 20_000.0
    source = np.arange(0, devices, 2)
    positions_m[source + 1] = positions_m[source] + [60.0, 0.0]
    states = []
    for seed in range(20):
        made = Channel(
            Propagation(UmiStreetCanyon(), Shadowing(), NoFading()),
            Carrier(3.5e9),
            Geometry(
                np.full(devices, 1.5),
                lambda d, t: np.repeat(positions_m[d][:, None], len(t), axis=1),
                0.0,
            ),
            seed,
        )
        states.append(made.large_scale.line_of_sight(source, source + 1, np.zeros(1)))
    probability = 18 / 60 + np.exp(-60 / 36) * (1 - 18 / 60)
    tolerance = 4 * np.sqrt(probability * (1 - probability) / (20 * source.size))
    assert np.mean(np.array(states) > 0.5) == pytest.approx(probability, abs=tolerance)


def test_links_of_stations_follow_their_own_model() -> None:
    positions_m = np.array([[0.0, 0.0], [300.0, 0.0], [0.0, 400.0], [900.0, 900.0]])
    stations = np.array([False, True, False, True])
    # A terminal above its base station; of two stations the higher one takes that role.
    heights_m = np.array([1.5, 15.0, 22.5, 25.0])

    def made(
        stations: NDArray[np.bool_] | None = None, station_path_loss: PathLoss | None = None
    ) -> Channel:
        return Channel(
            Propagation(FreeSpace(), Shadowing(sigma_db=0.0), NoFading(), station_path_loss),
            Carrier(2e9),
            Geometry(heights_m, at_rest(positions_m), 0.0, stations),
            1,
        )

    source, target = np.array([0, 0, 1, 2]), np.array([2, 1, 3, 1])
    cellular = made(stations=stations, station_path_loss=Uma())
    gain_db = cellular.large_scale_db(source, target, np.zeros(1))[:, 0]
    weight = cellular.large_scale.line_of_sight(source, target, np.zeros(1))[:, 0]
    d2d_m = np.linalg.norm(positions_m[source] - positions_m[target], axis=-1)
    assert weight[0] == 1.0
    assert gain_db[0] == pytest.approx(-FreeSpace().loss_db(d2d_m[0], 1.5, 22.5, 2e9, True))
    for link, h_bs_m, h_ut_m in ((1, 15.0, 1.5), (2, 25.0, 15.0), (3, 15.0, 22.5)):
        ends = (d2d_m[link], h_bs_m, h_ut_m, 2e9)
        los_db, nlos_db = (-Uma().loss_db(*ends, los) for los in (True, False))
        # TR 38.901, eq. 7.6-19: amplitudes with the weights s and sqrt(1 - s^2).
        los, nlos = weight[link] ** 2, 1.0 - weight[link] ** 2
        expected = 10 * np.log10(los * 10 ** (los_db / 10) + nlos * 10 ** (nlos_db / 10))
        assert gain_db[link] == pytest.approx(expected)
    # Without their own model, or without stations, all links are alike.
    plain_db = made().large_scale_db(source, target, np.zeros(1))
    for alike in (made(stations), made(station_path_loss=Uma())):
        assert np.array_equal(alike.large_scale_db(source, target, np.zeros(1)), plain_db)


def test_shadow_fading_around_a_station_is_a_field() -> None:
    # Pairs of devices at 1 cm, and a device that walks away and comes back at the end.
    draws = np.random.default_rng(5)
    count = 400
    first_m = draws.random((count, 2)) * 4000.0
    positions_m = np.concatenate([[[2000.0, 2000.0]], first_m, first_m + np.array([0.01, 0.0])])

    def there_and_back(devices: Ints, t_s: Floats) -> Floats:
        away_m = np.clip(100.0 - np.abs(np.asarray(t_s) - 100.0), 0.0, None)
        walkers = np.where(np.asarray(devices) > 0, 2.0, 0.0)
        shift_m = walkers[:, None] * away_m
        return positions_m[devices][:, None] + np.stack([shift_m, 0 * shift_m], axis=-1)

    made = Channel(
        Propagation(
            FreeSpace(),
            Shadowing(sigma_db=6.0, correlation_m=50.0),
            NoFading(),
            station_path_loss=LogDistance(),
        ),
        Carrier(2e9),
        Geometry(
            np.full(2 * count + 1, 1.5), there_and_back, 2.0, stations=np.arange(2 * count + 1) == 0
        ),
        1,
    )
    devices = np.arange(1, 2 * count + 1)
    t_s = np.array([0.0, 25.0, 100.0, 200.0, 300.0])
    station = np.zeros_like(devices)
    gain_db = made.large_scale_db(station, devices, t_s)
    places = there_and_back(devices, t_s)
    d2d_m = np.linalg.norm(places - [2000.0, 2000.0], axis=-1)
    shadow_db = gain_db + LogDistance().loss_db(d2d_m, 1.5, 1.5, 2e9, True)
    assert np.std(shadow_db) == pytest.approx(6.0, rel=0.2)
    assert np.corrcoef(shadow_db[:count, 0], shadow_db[count:, 0])[0, 1] > 0.999
    # 50 m away the correlation is 1/e, 200 m away it is gone, back it is the same value.
    for instant, correlation in ((1, np.exp(-1.0)), (2, 0.0)):
        found = np.corrcoef(shadow_db[:, 0], shadow_db[:, instant])[0, 1]
        assert found == pytest.approx(correlation, abs=0.15)
    assert np.array_equal(gain_db[:, 3], gain_db[:, 0])
    assert np.array_equal(gain_db[:, 4], gain_db[:, 0])


@pytest.mark.parametrize("truck_share", [0.0, 1.0])
def test_vehicles_block_as_often_and_as_much_as_stated(truck_share: float) -> None:
    # Pairs 200 m apart, far from each other: in line of sight, or behind a vehicle.
    pairs, d2d_m = 1500, 200.0
    positions_m = np.random.default_rng(6).random((pairs, 2)) * 1e6
    positions_m = np.concatenate([positions_m, positions_m + np.array([d2d_m, 0.0])])
    losses_db, sights = [], []
    for seed in range(4):
        made = Channel(
            Propagation(V2vUrban(truck_share=truck_share), Shadowing(sigma_db=0.0), NoFading()),
            Carrier(5.9e9),
            Geometry(np.full(2 * pairs, 1.5), at_rest(positions_m), 0.0),
            seed,
        )
        links = (np.arange(pairs), pairs + np.arange(pairs), np.zeros(1))
        losses_db.append(-made.large_scale_db(*links)[:, 0])
        sights.append(made.large_scale.line_of_sight(*links)[:, 0])
    sight, loss_db = np.concatenate(sights), np.concatenate(losses_db)
    probability = 1.05 * np.exp(-0.0114 * d2d_m)
    assert np.mean(sight > 0.5) == pytest.approx(probability, abs=0.02)
    behind = loss_db[sight < 0.1] - V2vUrban().loss_db(d2d_m, 1.5, 1.5, 5.9e9, True)
    # Antennas at 1.5 m are below cars of 1.6 m as below trucks: 9 dB and 4.5 dB.
    assert np.median(behind) == pytest.approx(9.0, abs=0.5)
    assert behind.min() >= -1e-9
    assert np.quantile(behind, 0.8413) - np.median(behind) == pytest.approx(4.5, abs=0.5)
    # A soft state of 0.98 leaves at most 1 - 0.98^2 of the power behind the vehicle: 0.18 dB.
    in_sight = loss_db[sight > 0.98] - V2vUrban().loss_db(d2d_m, 1.5, 1.5, 5.9e9, True)
    assert in_sight == pytest.approx(0.0, abs=0.18)


def test_antennas_above_the_cars_see_over_them() -> None:
    positions_m = np.array([[0.0, 0.0], [3000.0, 0.0]])
    links = (np.array([0]), np.array([1]), np.zeros(1))
    for share, height_m, blocked in ((0.0, 2.0, False), (1.0, 2.0, True), (1.0, 4.0, False)):
        gains_db = [
            Channel(
                Propagation(V2vUrban(truck_share=share), Shadowing(sigma_db=0.0), NoFading()),
                Carrier(5.9e9),
                Geometry(np.full(2, height_m), at_rest(positions_m), 0.0),
                seed,
            ).large_scale_db(*links)[0, 0]
            for seed in range(8)
        ]
        clear_db = -V2vUrban().loss_db(3000.0, height_m, height_m, 5.9e9, True)
        assert (min(gains_db) < clear_db - 3.0) == blocked
        assert max(gains_db) <= clear_db + 1e-9


def test_leaving_the_range_of_a_model_is_said_once() -> None:
    positions_m = np.array([[0.0, 0.0], [4.2, 0.0], [7000.0, 0.0], [7001.0, 0.0]])
    made = Channel(
        Propagation(UmiStreetCanyon(), Shadowing(), NoFading()),
        Carrier(3.5e9),
        Geometry(np.full(4, 1.5), at_rest(positions_m), 0.0),
        1,
    )
    near, far = (np.array([0]), np.array([1])), (np.array([2]), np.array([0]))
    message = r"^devices 0 and 1, 4\.2 m apart at 12 s: UMi is for 10 to 5000 m$"
    with pytest.warns(OutOfRangeWarning, match=message):
        made.large_scale_db(*near, np.array([12.0]))
    with pytest.warns(OutOfRangeWarning, match="devices 0 and 2, 7000 m apart"):
        made.large_scale_db(*far, np.array([12.0]))
    # pytest turns warnings into errors, so none was given.
    made.large_scale_db(np.array([2, 0]), np.array([3, 3]), np.array([40.0]))
    quiet = channel(V2vHighway(), NoFading())
    quiet.large_scale_db(SOURCE, TARGET, np.zeros(1))


def test_reach_is_where_the_loss_is() -> None:
    # By hand: 20 lg(4 pi d f/c) = 100 dB, with 2 x 5 dBi of antennas and without shadow fading.
    made = channel(FreeSpace(), antennas=[Isotropic(gain_dbi=5.0)] * DEVICES)
    max_range_m = 10 ** (110 / 20) * SPEED_OF_LIGHT_MPS / (4 * np.pi * 3.5e9)
    assert made.max_range_m(100.0) == pytest.approx(max_range_m, rel=1e-9)
    lucky = channel(FreeSpace(), sigma_db=3.0)
    assert lucky.max_range_m(98.0) == pytest.approx(max_range_m, rel=1e-9)
    assert made.max_range_m(1000.0) == 1e7
    assert made.max_range_m(-10.0) == 0.0


@pytest.mark.filterwarnings("ignore::wnsim.channel.OutOfRangeWarning")
@pytest.mark.parametrize("name", PATH_LOSS)
@pytest.mark.parametrize("kinds", [3, 200])
def test_nobody_is_heard_beyond_reach(name: str, kinds: int) -> None:
    draws = np.random.default_rng(7)
    nodes = 200
    heights_m = (1.2 + 20.0 * draws.random(kinds))[np.arange(nodes) % kinds]
    stations, indoor = draws.random(nodes) < 0.2, draws.random(nodes) < 0.3
    positions_m = 10 ** draws.uniform(0.0, 5.0, (nodes, 1)) * draws.normal(size=(nodes, 2))
    made = Channel(
        Propagation(
            PATH_LOSS[name](),
            Shadowing(sigma_db=0.0),
            NoFading(),
            station_path_loss=Uma(),
            penetration=Penetration(),
        ),
        Carrier(2e9),
        Geometry(
            heights_m,
            at_rest(positions_m),
            0.0,
            stations=stations,
            antennas=[Sector(boresight_deg=1.8 * n, gain_dbi=n / 20) for n in range(nodes)],
            indoor=indoor,
        ),
        1,
    )
    high, low = np.tril_indices(nodes, -1)
    loss_db = -made.large_scale_db(low, high, np.zeros(1))[:, 0]
    d2d_m = np.linalg.norm(positions_m[low] - positions_m[high], axis=-1)
    for limit_db in (60.0, 90.0, 120.0, 150.0):
        in_range = loss_db < limit_db
        max_range_m = made.max_range_m(limit_db)
        assert np.max(d2d_m, where=in_range, initial=0.0) <= max_range_m
    assert made.max_range_m(60.0) <= made.max_range_m(90.0) <= made.max_range_m(120.0)


def test_errors() -> None:
    with pytest.raises(ValueError, match="must join two devices, got device 3 with itself"):
        channel().gain_blocks(np.array([1, 3]), np.array([2, 3]), 0, 10, BLOCK_NS)
    with pytest.raises(ValueError, match="block_ns must be positive, got 0"):
        channel().gain_blocks(SOURCE, TARGET, 0, 10, 0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"max_speed_mps": -1.0}, r"max_speed_mps must be finite and at least 0 m/s, got -1"),
        ({"bandwidth_hz": 0.0}, r"bandwidth_hz must be positive, got 0\.0"),
        ({"bandwidth_hz": float("nan")}, r"bandwidth_hz must be positive, got nan"),
        ({"bandwidth_hz": 7e9}, r"bandwidth_hz must be below twice the carrier's 3\.5e\+09 Hz"),
        ({"subbands": 0}, "subbands must be at least 1, got 0"),
        ({"stations": np.zeros(3, dtype=bool)}, r"stations must be one for each of 8, got shape"),
        ({"indoor": np.zeros(9, dtype=bool)}, r"indoor must be one for each of 8, got shape"),
        ({"antennas": [Sector()]}, "antennas must be one for each of 8, got 1"),
    ],
)
def test_parameter_errors(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        channel(**more)
    with pytest.raises(ValueError, match="heights_m must be finite"):
        Channel(
            Propagation(Inh(), Shadowing(), NoFading()),
            Carrier(1e9),
            Geometry(np.array([1.0, np.nan]), straight, 0.0),
            1,
        )
