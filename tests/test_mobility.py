"""Mobility: the stationary law of random waypoint, and the contract of the family."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from reference_tables import rows
from scipy import stats

from wnsim.mobility import MOBILITY, Mobility, Motion, RandomWaypoint, Static
from wnsim.mobility.random_waypoint import mean_leg_m

AREA_M = (400.0, 300.0)
DEVICES = 6

Make = Callable[[int], Motion]


@pytest.fixture(params=[*MOBILITY, "random-waypoint with pauses", "static given"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return what makes the motion of `DEVICES` devices from a seed."""
    file = tmp_path_factory.mktemp("trace") / "trace.csv"
    lines = [f"{t},{n},{10 * n + t},{n * t}" for t in range(100) for n in range(DEVICES + 1)]
    file.write_text("\n".join(["t_s,id,x_m,y_m", *lines]), encoding="utf-8")
    places_m = tuple((float(n), 2.0 * n) for n in range(DEVICES))
    model: Mobility = {
        "static": Static(),
        "static given": Static(layout="given", positions_m=places_m),
        "random-waypoint": RandomWaypoint(),
        "random-waypoint with pauses": RandomWaypoint(speed_mps=(2.0, 2.0), pause_s=7.0),
        "trace": MOBILITY["trace"](file=str(file)),  # type: ignore[call-arg]
    }[request.param]
    return lambda seed: model.motion(DEVICES, AREA_M, seed)


def test_contract(make: Make) -> None:
    devices, t_s = np.arange(DEVICES), np.arange(0.0, 400.0, 0.5)
    motion = make(1)
    assert len(motion.names) == len(set(motion.names)) == DEVICES
    position_m = motion.position_m(devices, t_s)
    assert position_m.shape == (DEVICES, t_s.size, 2)
    # Continuous, and never faster than the bound.
    step_m = np.linalg.norm(np.diff(position_m, axis=1), axis=-1)
    assert np.max(step_m) <= 0.5 * motion.max_speed_mps * (1 + 1e-9)
    # The same whatever was asked before, one device and one instant at a time.
    fresh = make(1)
    draws = np.random.default_rng(1)
    for place in draws.permutation(t_s.size)[:50]:
        device = int(draws.integers(DEVICES))
        one = fresh.position_m(np.array([device]), t_s[place : place + 1])
        assert np.array_equal(one[0, 0], position_m[device, place])
    assert np.array_equal(motion.position_m(devices[::-1], t_s), position_m[::-1])
    # Before the beginning, as at the beginning.
    assert np.array_equal(
        motion.position_m(devices, np.array([-5.0])), motion.position_m(devices, np.zeros(1))
    )
    present = motion.present(devices, t_s)
    assert present.shape == (DEVICES, t_s.size)
    assert present.dtype == np.bool_
    assert motion.presence_end_s(0, 0.0) > 0.0
    assert motion.next_change_s(0.0) > 0.0
    assert motion.position_m(devices, np.zeros(0)).shape == (DEVICES, 0, 2)


@pytest.mark.parametrize("model", [Static(), RandomWaypoint(pause_s=3.0)], ids=["static", "rwp"])
def test_random_motion_is_inside_and_seeded(model: Mobility) -> None:
    devices, t_s = np.arange(50), np.linspace(0.0, 2000.0, 500)
    position_m = model.motion(50, AREA_M, 1).position_m(devices, t_s)
    assert np.all((position_m >= 0.0) & (position_m <= AREA_M))
    # A device does not depend on how many others there are, but does on the seed.
    assert np.array_equal(model.motion(7, AREA_M, 1).position_m(devices[:7], t_s), position_m[:7])
    other_m = model.motion(50, AREA_M, 2).position_m(devices, t_s)
    assert not np.any(other_m[:, 0] == position_m[:, 0])


def test_mean_leg() -> None:
    # Mean distance in a unit square: (2 + sqrt 2 + 5 ln(1 + sqrt 2)) / 15.
    square = (2 + np.sqrt(2) + 5 * np.log(1 + np.sqrt(2))) / 15
    assert mean_leg_m((1000.0, 1000.0)) == pytest.approx(1000.0 * square)
    # In a rectangle, by the density of the differences: 4 (1 - u) (1 - v) on the unit square.
    u, v = np.meshgrid(*2 * [(np.arange(2000) + 0.5) / 2000])
    mean = np.mean(4 * (1 - u) * (1 - v) * np.hypot(400.0 * u, 90.0 * v))
    assert mean_leg_m((400.0, 90.0)) == pytest.approx(mean, rel=1e-5)
    assert mean_leg_m((90.0, 400.0)) == pytest.approx(mean, rel=1e-5)


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
    moving_mps = 1 / WAYPOINT.mean_inverse_speed_s_per_m()
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


@pytest.mark.parametrize(
    ("make_error", "message"),
    [
        (
            lambda: RandomWaypoint(speed_mps=(0.0, 3.0)),
            r"lowest of speed_mps must be at least 0\.001.*got 0\.0",
        ),
        (
            lambda: RandomWaypoint(speed_mps=(3.0, 1.0)),
            r"speed_mps must be the lowest first, got \[3\.0, 1\.0\]",
        ),
        (lambda: RandomWaypoint(pause_s=-1.0), r"pause_s must be from 0 to 1e\+09 s, got -1\.0"),
        (lambda: RandomWaypoint().motion(0, AREA_M, 1), "devices must be at least 1, got 0"),
        (lambda: Static().motion(2, (0.0, 1.0), 1), r"area_m must be positive, got \[0\.0, 1\.0\]"),
        (lambda: Static(positions_m=((1.0, 2.0),)), "must be left out unless layout is given"),
        (
            lambda: Static(layout="given", positions_m=((1.0, 2.0),)).motion(2, AREA_M, 1),
            "one place for each of the 2 devices, got 1",
        ),
        (
            lambda: Static(layout="given", positions_m=((1.0, 302.0),)).motion(1, AREA_M, 1),
            r"must lie in the area of 400 m x 300 m, got \[1, 302\]",
        ),
    ],
)
def test_errors(make_error: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_error()
