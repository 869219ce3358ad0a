"""Mobility: the stationary law of random waypoint, and the contract of the family."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from reference_tables import rows
from scipy import stats

from wnsim.mobility import (
    MOBILITY,
    GaussMarkov,
    Group,
    Highway,
    Manhattan,
    Mobility,
    Motion,
    RandomDirection,
    RandomWalk,
    RandomWaypoint,
    Static,
    Trace,
)
from wnsim.mobility.regions import Disc, mean_leg_m
from wnsim.mobility.speeds import mean_inverse_s_per_m

AREA_M = (400.0, 300.0)
DEVICES = 6

Make = Callable[[int], Motion]


PLACES_M = tuple((float(n), 2.0 * n) for n in range(DEVICES))
MODELS: dict[str, Mobility] = {
    "static": Static(),
    "static poisson": Static(layout="poisson", min_distance_m=20.0),
    "static thomas": Static(layout="thomas", clusters=3, spread_m=30.0),
    "static matern": Static(layout="matern", clusters=2, spread_m=500.0),
    "static grid": Static(layout="grid"),
    "static given": Static(layout="given", positions_m=PLACES_M),
    "random-walk": RandomWalk(),
    "random-walk by length": RandomWalk(step_m=70.0, speed_mps=(0.5, 9.0)),
    "random-waypoint": RandomWaypoint(),
    "random-waypoint with pauses": RandomWaypoint(speed_mps=(2.0, 2.0), pause_s=7.0),
    "random-direction": RandomDirection(),
    "random-direction with pauses": RandomDirection(pause_s=10.0),
    "random-direction by time": RandomDirection(travel_s=(5.0, 200.0), pause_s=3.0),
    "gauss-markov": GaussMarkov(),
    "gauss-markov without memory": GaussMarkov(alpha=0.0, mean_speed_mps=0.0, interval_s=3.0),
    "gauss-markov in a circle": GaussMarkov(alpha=1.0, sd_direction_rad=0.0),
    "manhattan": Manhattan(),
    "manhattan straight": Manhattan(block_m=299.0, turn_left=0.0, turn_right=0.0),
    "rpgm": Group(),
    "rpgm of one": Group(groups=100, radius_m=149.0, pause_s=30.0),
    "highway": Highway(),
    "highway of one lane": Highway(lane_speeds_mps=(30.0,), both_directions=False, absent_s=7.0),
}
# Those whose devices are the same however many there are.
APART = sorted(MODELS.keys() - {"static grid", "static given"})


@pytest.fixture(params=[*MODELS, "trace"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return what makes the motion of `DEVICES` devices from a seed."""
    file = tmp_path_factory.mktemp("trace") / "trace.csv"
    lines = [f"{t},{n},{10 * n + t},{n * t}" for t in range(100) for n in range(DEVICES + 1)]
    file.write_text("\n".join(["t_s,id,x_m,y_m", *lines]), encoding="utf-8")
    model: Mobility = (MODELS | {"trace": Trace(file=str(file))})[request.param]
    return lambda seed: model.motion(DEVICES, AREA_M, seed)


def test_every_model_is_tried() -> None:
    assert {name.split(" ")[0] for name in MODELS} | {"trace"} == set(MOBILITY)


def test_contract(make: Make) -> None:
    devices, t_s = np.arange(DEVICES), np.arange(0.0, 400.0, 0.5)
    motion = make(1)
    assert len(motion.names) == len(set(motion.names)) == DEVICES
    position_m = motion.position_m(devices, t_s)
    assert position_m.shape == (DEVICES, t_s.size, 2)
    present = motion.present(devices, t_s)
    assert present.shape == (DEVICES, t_s.size)
    assert present.dtype == np.bool_
    # Continuous while present, and never faster than the bound.
    for device, now in np.argwhere(present[:, :-1]):
        if motion.presence_end_s(device, t_s[now]) >= t_s[now + 1]:
            step_m = np.linalg.norm(position_m[device, now + 1] - position_m[device, now])
            assert step_m <= 0.5 * motion.max_speed_mps * (1 + 1e-9) + 1e-9
    # The same whatever was asked before, one device and one instant at a time.
    fresh = make(1)
    draws = np.random.default_rng(1)
    for place in draws.permutation(t_s.size)[:50]:
        device = int(draws.integers(DEVICES))
        one = fresh.position_m(np.array([device]), t_s[place : place + 1])
        assert np.array_equal(one[0, 0], position_m[device, place])
        there = fresh.present(np.array([device]), t_s[place : place + 1])
        assert there[0, 0] == present[device, place]
    assert np.array_equal(motion.position_m(devices[::-1], t_s), position_m[::-1])
    # Before the beginning, as at the beginning.
    assert np.array_equal(
        motion.position_m(devices, np.array([-5.0])), motion.position_m(devices, np.zeros(1))
    )
    assert motion.next_change_s(0.0) > 0.0
    assert motion.position_m(devices, np.zeros(0)).shape == (DEVICES, 0, 2)


def test_presence_changes_when_it_is_said_to(make: Make) -> None:
    motion = make(1)
    devices = np.arange(DEVICES)
    now_s = 0.0
    for _ in range(50):
        change_s = motion.next_change_s(now_s)
        if change_s == np.inf:
            break
        assert change_s > now_s
        inside_s = now_s + (change_s - now_s) * np.array([0.01, 0.5, 0.99])
        before = motion.present(devices, inside_s)
        assert np.all(before == before[:, :1])
        after = motion.present(devices, np.array([change_s + 1e-6]))
        assert np.any(before[:, :1] != after)
        for device in np.flatnonzero(before[:, 0]):
            end_s = motion.presence_end_s(int(device), inside_s[0])
            assert end_s >= change_s
            assert motion.present(np.array([device]), np.array([min(end_s, 1e9)]))[0, 0]
        for device in np.flatnonzero(~before[:, 0]):
            with pytest.raises(ValueError, match="must be present, is not at"):
                motion.presence_end_s(int(device), inside_s[0])
        now_s = change_s


@pytest.mark.parametrize("name", APART)
def test_random_motion_is_inside_and_seeded(name: str) -> None:
    model = MODELS[name]
    devices, t_s = np.arange(30), np.linspace(0.0, 2000.0, 300)
    position_m = model.motion(30, AREA_M, 1).position_m(devices, t_s)
    assert np.all((position_m >= 0.0) & (position_m <= AREA_M))
    # A device does not depend on how many others there are, but does on the seed.
    assert np.array_equal(model.motion(7, AREA_M, 1).position_m(devices[:7], t_s), position_m[:7])
    other_m = model.motion(30, AREA_M, 2).position_m(devices, t_s)
    assert np.all(np.any(other_m != position_m, axis=(1, 2)))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_speed_bound_holds_over_short_steps(name: str) -> None:
    motion = MODELS[name].motion(DEVICES, AREA_M, 3)
    t_s = np.arange(0.0, 60.0, 0.01)
    step_m = np.linalg.norm(np.diff(motion.position_m(np.arange(DEVICES), t_s), axis=1), axis=-1)
    there = motion.present(np.arange(DEVICES), t_s)
    both = there[:, 1:] & there[:, :-1]
    assert np.max(step_m[both], initial=0.0) <= 0.01 * motion.max_speed_mps * (1 + 1e-6) + 1e-9


def test_mean_leg() -> None:
    # Mean distance in a unit square: (2 + sqrt 2 + 5 ln(1 + sqrt 2)) / 15.
    square = (2 + np.sqrt(2) + 5 * np.log(1 + np.sqrt(2))) / 15
    assert mean_leg_m((1000.0, 1000.0)) == pytest.approx(1000.0 * square)
    # In a rectangle, by the density of the differences: 4 (1 - u) (1 - v) on the unit square.
    u, v = np.meshgrid(*2 * [(np.arange(2000) + 0.5) / 2000])
    mean = np.mean(4 * (1 - u) * (1 - v) * np.hypot(400.0 * u, 90.0 * v))
    assert mean_leg_m((400.0, 90.0)) == pytest.approx(mean, rel=1e-5)
    assert mean_leg_m((90.0, 400.0)) == pytest.approx(mean, rel=1e-5)
    # A very slender one is a line, where the mean distance is a third; no jump on the way there.
    assert mean_leg_m((1e7, 1.0)) == pytest.approx(1e7 / 3)
    assert mean_leg_m((1.0, 9999.0)) == pytest.approx(9999.0 / 3, rel=1e-6)


def test_mean_leg_in_a_disc() -> None:
    disc = Disc(10.0)
    places_m = disc.places_m(np.random.default_rng(1).random((2, 100_000, 2)))
    assert np.max(np.hypot(*places_m[0].T)) <= 10.0
    length_m = np.hypot(*(places_m[0] - places_m[1]).T)
    assert np.mean(length_m) == pytest.approx(disc.mean_leg_m, abs=4 * np.std(length_m) / 316)


SIDE_M = (1000.0, 1000.0)
WAYPOINT = RandomWaypoint(speed_mps=(1.0, 10.0), pause_s=2.0)
REFERENCE = {row["stat"]: row["theory"] for row in rows("mobility_stats_ns3.csv")}


@pytest.fixture(scope="module")
def walkers() -> Motion:
    return WAYPOINT.motion(4000, SIDE_M, 1)


def speeds_mps(motion: Motion, t_s: float) -> NDArray[np.float64]:
    """Return the speeds at an instant; a leg that ends within a microsecond is too rare."""
    moved_m = np.diff(motion.position_m(np.arange(4000), np.array([t_s, t_s + 1e-6])), axis=1)
    return np.linalg.norm(moved_m[:, 0], axis=-1) / 1e-6


def test_stationary_law_in_closed_form() -> None:
    paused = WAYPOINT.paused_fraction(SIDE_M)
    moving_mps = 1 / mean_inverse_s_per_m(WAYPOINT.speed_mps)
    # The table's last digits are rounded.
    assert paused == pytest.approx(float(REFERENCE["fraction_paused"]), rel=1e-3)
    assert moving_mps == pytest.approx(float(REFERENCE["mean_speed_while_moving"]), abs=1e-5)
    assert (1 - paused) * moving_mps == pytest.approx(
        float(REFERENCE["mean_speed_time_avg"]), abs=1e-4
    )


@pytest.mark.parametrize("t_s", [0.0, 300.0, 5000.0])
def test_stationary_law_at_any_time(walkers: Motion, t_s: float) -> None:
    speed_mps = speeds_mps(walkers, t_s)
    paused = float(REFERENCE["fraction_paused"])
    moving = speed_mps > 1e-3
    assert np.mean(~moving) == pytest.approx(paused, abs=4 * np.sqrt(paused / 4000))
    for values, name in ((speed_mps, "time_avg"), (speed_mps[moving], "while_moving")):
        tolerance = 4 * np.std(values) / np.sqrt(values.size)
        assert np.mean(values) == pytest.approx(
            float(REFERENCE[f"mean_speed_{name}"]), abs=tolerance
        )
    # The density of the speed is ~ 1/v, that of its logarithm uniform.
    assert stats.kstest(np.log10(speed_mps[moving]), "uniform").pvalue > 1e-3
    x_m = walkers.position_m(np.arange(4000), np.array([t_s]))[:, 0, 0]
    tolerance = 4 * np.std(x_m) / np.sqrt(4000)
    assert np.mean(x_m) == pytest.approx(float(REFERENCE["mean_x"]), abs=tolerance)


def test_no_warm_up(walkers: Motion) -> None:
    begin_m, end_m = np.moveaxis(walkers.position_m(np.arange(4000), np.array([0.0, 5000.0])), 1, 0)
    for axis in range(2):
        assert stats.ks_2samp(begin_m[:, axis], end_m[:, axis]).pvalue > 1e-3
    assert stats.ks_2samp(speeds_mps(walkers, 0.0), speeds_mps(walkers, 5000.0)).pvalue > 1e-3
    # Not the uniform law of the waypoints: the middle is visited more often.
    assert stats.kstest(begin_m[:, 0] / 1000.0, "uniform").pvalue < 1e-6


def test_long_pauses() -> None:
    # With pauses of 1,000 s most devices pause at 0 s, uniformly over the area.
    model = RandomWaypoint(speed_mps=(5.0, 5.0), pause_s=1000.0)
    motion = model.motion(2000, SIDE_M, 1)
    position_m = motion.position_m(np.arange(2000), np.array([0.0, 1.0]))
    paused = np.all(position_m[:, 0] == position_m[:, 1], axis=-1)
    share = 1000 / (1000 + mean_leg_m(SIDE_M) / 5.0)
    assert np.mean(paused) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 2000))
    assert stats.kstest(position_m[paused, 0, 0] / 1000.0, "uniform").pvalue > 1e-3
    # What is left of the pause is uniform: half of them last beyond 500 s, less the walkers.
    later_m = motion.position_m(np.arange(2000), np.array([500.0]))[:, 0]
    still = np.all(later_m[paused] == position_m[paused, 0], axis=-1)
    assert np.mean(still) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(paused.sum()))
