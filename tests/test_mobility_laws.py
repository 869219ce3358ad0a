"""Mobility: the laws of the models, in closed form and at any time."""

import numpy as np
import pytest
from numpy.typing import NDArray
from reference_tables import rows
from scipy import stats

from wnsim.mobility import (
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
)
from wnsim.mobility.group import GroupMotion
from wnsim.mobility.paths import reflect

Floats = NDArray[np.float64]

AREA_M = (1000.0, 600.0)
COUNT = 2000
DEVICES = np.arange(COUNT)
TIMES_S = [0.0, 30.0, 2000.0]


def velocities_mps(motion: Motion, t_s: float) -> Floats:
    """Return velocities (devices, 2) at an instant; a turn within a microsecond is too rare."""
    at_s = np.array([t_s, t_s + 1e-6])
    return np.asarray(np.diff(motion.position_m(DEVICES, at_s), axis=1)[:, 0] / 1e-6)


def assert_uniform(places_m: Floats, area_m: tuple[float, float] = AREA_M) -> None:
    for axis in range(2):
        assert stats.kstest(places_m[:, axis] / area_m[axis], "uniform").pvalue > 1e-3
    # Together too: counts in 4 x 4 cells.
    counts, _, _ = np.histogram2d(*places_m.T, bins=4, range=[[0, side] for side in area_m])
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


UNIFORM: dict[str, Mobility] = {
    "walk": RandomWalk(speed_mps=(1.0, 10.0)),
    "walk by length": RandomWalk(speed_mps=(1.0, 10.0), step_m=300.0),
    "direction": RandomDirection(speed_mps=(1.0, 10.0)),
    "direction by time": RandomDirection(speed_mps=(1.0, 10.0), travel_s=(1.0, 300.0)),
    "gauss-markov": GaussMarkov(mean_speed_mps=10.0, sd_direction_rad=0.1),
    "gauss-markov straight": GaussMarkov(alpha=1.0, mean_speed_mps=3.0),
}


@pytest.mark.parametrize("t_s", TIMES_S)
@pytest.mark.parametrize("name", sorted(UNIFORM))
def test_places_are_uniform_at_any_time(name: str, t_s: float) -> None:
    motion = UNIFORM[name].motion(COUNT, AREA_M, 7)
    assert_uniform(motion.position_m(DEVICES, np.array([t_s]))[:, 0])
    way = velocities_mps(motion, t_s)
    turns = np.arctan2(way[:, 1], way[:, 0]) / (2 * np.pi) % 1.0
    assert stats.kstest(turns, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("t_s", TIMES_S)
@pytest.mark.parametrize("name", ["walk", "walk by length", "direction", "direction by time"])
def test_speeds_at_any_time(name: str, t_s: float) -> None:
    speeds_mps = np.linalg.norm(velocities_mps(UNIFORM[name].motion(COUNT, AREA_M, 7), t_s), axis=1)
    # Legs of given time: uniform; of given length: density ~ 1/v.
    by_time = name in ("walk", "direction by time")
    level = (speeds_mps - 1.0) / 9.0 if by_time else np.log10(speeds_mps)
    assert stats.kstest(np.clip(level, 0.0, 1.0), "uniform").pvalue > 1e-3


def test_walk_turns_when_it_should() -> None:
    # Steps of 10 s at a random phase: one turn in any 10 s, and straight in between.
    motion = RandomWalk(speed_mps=(1.0, 1.0), step_s=10.0).motion(COUNT, (1e6, 1e6), 1)
    at_m = motion.position_m(DEVICES, np.array([0.0, 4.0, 8.0]))
    way_m = np.diff(at_m, axis=1)
    turned = np.linalg.norm(way_m[:, 1] - way_m[:, 0], axis=-1) > 1e-6
    assert np.mean(turned) == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / COUNT))
    # By length: every 50 m, so the way between two turns is never longer in a line.
    motion = RandomWalk(speed_mps=(2.0, 2.0), step_m=50.0).motion(COUNT, (1e6, 1e6), 1)
    at_m = motion.position_m(DEVICES, np.array([0.0, 12.5, 25.0]))
    way_m = np.linalg.norm(np.diff(at_m, axis=1), axis=-1)
    assert np.all(way_m <= 25.0 + 1e-6)
    # Both halves of 50 m are straight unless there is the one turn: half of the times each.
    straight = np.abs(way_m - 25.0) < 1e-6
    assert np.mean(straight[:, 0]) == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / COUNT))


def test_walk_spreads_like_diffusion() -> None:
    # Independent steps of v tau in all directions: mean square v^2 tau t, less v^2 tau^2 / 3.
    motion = RandomWalk(speed_mps=(2.0, 2.0), step_s=10.0).motion(COUNT, (1e7, 1e7), 3)
    moved_m = np.diff(motion.position_m(DEVICES, np.array([0.0, 1000.0])), axis=1)[:, 0]
    square_m2 = np.sum(moved_m**2, axis=1)
    expected = 4.0 * (10.0 * 1000.0 - 100.0 / 3.0)
    assert np.mean(square_m2) == pytest.approx(expected, abs=4 * np.std(square_m2) / COUNT**0.5)


def test_mirrors() -> None:
    places_m = np.array([[-1.0, 7.0], [4.0, 11.0], [23.0, -12.0], [10.0, 0.0]])
    expected = [[1.0, 3.0], [4.0, 1.0], [3.0, 2.0], [10.0, 0.0]]
    assert reflect(places_m, (10.0, 5.0)).tolist() == expected


@pytest.mark.parametrize("t_s", TIMES_S)
def test_direction_pauses_at_the_border(t_s: float) -> None:
    model = RandomDirection(speed_mps=(5.0, 5.0), pause_s=60.0)
    motion = model.motion(COUNT, AREA_M, 5)
    at_m = motion.position_m(DEVICES, np.array([t_s]))[:, 0]
    paused = np.linalg.norm(velocities_mps(motion, t_s), axis=1) < 1e-3
    # The mean chord of a convex region is pi A / P.
    chord_m = np.pi * 600.0 * 1000.0 / 3200.0
    share = 60.0 / (60.0 + chord_m / 5.0)
    assert model.paused_fraction(AREA_M) == pytest.approx(share)
    assert np.mean(paused) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / COUNT))
    at_border = (at_m == 0.0) | (at_m == np.array(AREA_M))
    assert np.all(np.any(at_border[paused], axis=1))
    # Uniform along the border, the walls by their lengths; uniform inside otherwise.
    on_side = at_border[paused, 0]
    spread = 4 * np.sqrt(0.375 * 0.625 / paused.sum())
    assert np.mean(on_side) == pytest.approx(1200.0 / 3200.0, abs=spread)
    assert stats.kstest(at_m[paused][on_side, 1] / 600.0, "uniform").pvalue > 1e-3
    assert stats.kstest(at_m[paused][~on_side, 0] / 1000.0, "uniform").pvalue > 1e-3
    assert_uniform(at_m[~paused])


def test_direction_by_time_pauses() -> None:
    model = RandomDirection(travel_s=(10.0, 30.0), pause_s=20.0)
    assert model.paused_fraction(AREA_M) == 0.5
    for t_s in TIMES_S:
        speed_mps = np.linalg.norm(velocities_mps(model.motion(COUNT, AREA_M, 2), t_s), axis=1)
        assert np.mean(speed_mps < 1e-3) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(COUNT))


STD_X = next(row for row in rows("mobility_stats_ns3.csv") if row["stat"] == "std_x")
GAUSS_MARKOV = [row for row in rows("mobility_stats_ns3.csv") if row["model"] == "GaussMarkov"]


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.85, 0.95])
def test_gauss_markov_speeds(alpha: float) -> None:
    model = GaussMarkov(alpha=alpha, mean_speed_mps=10.0, sd_speed_mps=1.0, interval_s=1.0)
    motion = model.motion(COUNT, (1e6, 1e6), 11)
    speeds_mps = np.array(
        [np.linalg.norm(velocities_mps(motion, 200.3 + lag), axis=1) for lag in range(6)]
    )
    table = {
        row["stat"].removeprefix(f"alpha={alpha:.2f} "): float(row["theory"])
        for row in GAUSS_MARKOV
        if row["stat"].startswith(f"alpha={alpha:.2f} ")
    }
    assert np.mean(speeds_mps) == pytest.approx(table["mean_speed"], rel=0.02)
    assert np.var(speeds_mps[0]) == pytest.approx(table["var_speed"], abs=4 * np.sqrt(2 / COUNT))
    for lag in range(1, 6):
        theory = table[f"speed_autocorr lag {lag} s"]
        assert theory == pytest.approx(alpha**lag, abs=1e-4)
        found = np.corrcoef(speeds_mps[0], speeds_mps[lag])[0, 1]
        assert found == pytest.approx(theory, abs=4 * (1 - theory**2) / np.sqrt(COUNT))


def test_gauss_markov_begins_as_it_goes_on() -> None:
    model = GaussMarkov(alpha=0.9, mean_speed_mps=5.0, sd_speed_mps=1.0, sd_direction_rad=0.3)
    motion = model.motion(COUNT, (1e6, 1e6), 4)
    speeds_mps = [np.linalg.norm(velocities_mps(motion, t_s), axis=1) for t_s in (0.0, 277.0)]
    for found_mps in speeds_mps:
        assert stats.kstest(np.clip(found_mps, 1, 9), stats.norm(5.0, 1.0).cdf).pvalue > 1e-3
    # The direction stays about the mean one of the device: the drift is E[cos] = exp(-sd^2 / 2).
    at_m = motion.position_m(DEVICES, np.array([0.0, 2000.0]))
    free = np.all((at_m[:, 0] > 1e5) & (at_m[:, 0] < 9e5), axis=1)
    moved_m = np.diff(at_m[free], axis=1)[:, 0]
    drift_mps = np.linalg.norm(moved_m, axis=1) / 2000.0
    assert np.mean(drift_mps) == pytest.approx(5.0 * np.exp(-(0.3**2) / 2), rel=0.005)


def test_gauss_markov_speeds_are_cut() -> None:
    model = GaussMarkov(mean_speed_mps=1.0, sd_speed_mps=1.0, alpha=0.0)
    motion = model.motion(COUNT, AREA_M, 4)
    speed_mps = np.linalg.norm(velocities_mps(motion, 55.5), axis=1)
    assert motion.max_speed_mps == 5.0
    share = stats.norm.cdf(-1.0)
    assert np.mean(speed_mps < 1e-6) == pytest.approx(
        share, abs=4 * np.sqrt(share * (1 - share) / COUNT)
    )


@pytest.mark.parametrize("t_s", TIMES_S)
@pytest.mark.parametrize("turns", [(0.25, 0.25), (0.6, 0.1)])
def test_manhattan_streets(turns: tuple[float, float], t_s: float) -> None:
    model = Manhattan(block_m=150.0, turn_left=turns[0], turn_right=turns[1], speed_mps=(1.0, 10.0))
    motion = model.motion(COUNT, AREA_M, 2)
    at_m = motion.position_m(DEVICES, np.array([t_s]))[:, 0]
    off_m = np.abs(at_m - 150.0 * np.round(at_m / 150.0))
    # Always on a street, along which it moves; 6 x 4 whole blocks fit.
    assert np.all(np.min(off_m, axis=1) < 1e-9)
    assert np.all(at_m <= [900.0 + 1e-9, 600.0 + 1e-9])
    way = velocities_mps(motion, t_s)
    assert np.all(np.min(np.abs(way), axis=1) < 1e-3)
    # All 6 * 5 + 4 * 7 pieces of street are equally busy, in both directions.
    across = off_m[:, 1] < off_m[:, 0]
    line = np.where(across, at_m[:, 1], at_m[:, 0]) // 149.999
    piece = np.where(across, at_m[:, 0], at_m[:, 1]) // 150.0
    key = 100 * across + 10 * line + piece
    counts = np.unique(key, return_counts=True)[1]
    assert counts.size == 58
    assert stats.chisquare(counts).pvalue > 1e-3
    forward = np.sum(way, axis=1) > 0
    assert np.mean(forward) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(COUNT))
    assert stats.kstest(np.log10(np.linalg.norm(way, axis=1)), "uniform").pvalue > 1e-3


def test_manhattan_turns() -> None:
    # At 1 block a second, crossings lie one second apart: directions before and after one.
    model = Manhattan(block_m=10.0, speed_mps=(10.0, 10.0), turn_left=0.5, turn_right=0.2)
    motion = model.motion(COUNT, (2000.0, 2000.0), 2)
    way = [np.round(velocities_mps(motion, t_s) / 10.0) for t_s in (5.0, 6.0)]
    inside = motion.position_m(DEVICES, np.array([5.0, 6.0]))
    free = np.all((inside > 20.0) & (inside < 1980.0), axis=(1, 2))
    cross = (way[0][:, 0] * way[1][:, 1] - way[0][:, 1] * way[1][:, 0])[free]
    for found, share in ((cross > 0, 0.5), (cross < 0, 0.2), (cross == 0, 0.3)):
        assert np.mean(found) == pytest.approx(share, abs=4 * np.sqrt(share / free.sum()))
    assert np.all(np.sum(way[0] * way[1], axis=1) > -0.5)


def test_group_stays_together() -> None:
    model = Group(groups=7, radius_m=40.0, pause_s=20.0)
    motion = model.motion(210, AREA_M, 3)
    assert isinstance(motion, GroupMotion)
    devices, t_s = np.arange(210), np.linspace(0.0, 4000.0, 401)
    apart_m = np.linalg.norm(
        motion.position_m(devices, t_s) - motion.reference_m(devices, t_s), axis=-1
    )
    assert np.max(apart_m) <= 40.0
    assert np.max(apart_m) > 38.0
    # Members of a group share the reference point; groups are dealt out in turn.
    points_m = motion.reference_m(devices, t_s)
    assert np.array_equal(points_m[3], points_m[10])
    assert not np.array_equal(points_m[3], points_m[4])
    # Random waypoint in a disc: visited more often in the middle than uniform places would be.
    assert np.mean(apart_m[:, 0] < 20.0) > 0.25
    fresh = stats.ks_2samp(apart_m[:, 0], apart_m[:, -1])
    assert fresh.pvalue > 1e-3


def test_waypoint_density() -> None:
    # Bettstetter, Resta, Santi, 2003: the marginal is nearly 6 x (1 - x) on the unit square.
    motion = RandomWaypoint(speed_mps=(2.0, 2.0)).motion(COUNT, (1000.0, 1000.0), 6)
    places_m = motion.position_m(DEVICES, np.linspace(0.0, 20_000.0, 21)).reshape(-1, 2)
    share = np.histogram(places_m / 1000.0, bins=10, range=(0, 1))[0] / places_m.size
    edge = np.linspace(0, 1, 11)
    parabola = np.diff(3 * edge**2 - 2 * edge**3)
    assert np.max(np.abs(share - parabola)) < 0.012
    assert np.std(places_m[:, 0]) == pytest.approx(float(STD_X["value"]), rel=0.02)


def test_highway() -> None:
    model = Highway(lane_speeds_mps=(20.0, 30.0), speed_spread=0.0, absent_s=10.0)
    motion = model.motion(COUNT, AREA_M, 3)
    assert motion.max_speed_mps == 30.0
    at_s = np.array([0.0, 1e-3])
    for shift_s in (0.0, 1234.5):
        there = np.all(motion.present(DEVICES, at_s + shift_s), axis=1)
        at_m, later_m = np.moveaxis(motion.position_m(DEVICES, at_s + shift_s), 1, 0)
        lane = DEVICES // 2 % 2
        speed_mps = np.array([20.0, 30.0])[lane] * np.where(DEVICES % 2, -1.0, 1.0)
        assert (later_m - at_m)[there, 0] / 1e-3 == pytest.approx(speed_mps[there])
        # Right-hand traffic: eastward in the south, slow lanes outside.
        south_m = np.array([1.875, 5.625])[lane]
        y_m = 292.5 + np.where(DEVICES % 2, 15.0 - south_m, south_m)
        assert at_m[:, 1] == pytest.approx(y_m)
        for n in range(4):
            mine = there & (n == DEVICES % 4)
            assert stats.kstest(at_m[mine, 0] / 1000.0, "uniform").pvalue > 1e-3
            passage_s = 1000.0 / abs(speed_mps[n])
            share = passage_s / (passage_s + 10.0)
            found = np.mean(there[n::4])
            assert found == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 500))
    # In at one end, out at the other, absent for as long as said.
    begin_s = motion.next_change_s(0.0)
    device = int(
        np.flatnonzero(
            motion.present(DEVICES, np.array([begin_s]))
            != motion.present(DEVICES, np.array([begin_s + 1e-6]))
        )[0]
    )
    one = np.array([device])
    assert motion.present(one, np.array([begin_s]))[0, 0]
    gone_s = begin_s + np.array([0.0, 1e-6, 10.0 - 1e-6, 10.0 + 1e-6])
    assert motion.present(one, gone_s)[0].tolist() == [True, False, False, True]
    ends_m = motion.position_m(one, gone_s)[0, [0, 3], 0]
    assert sorted(ends_m) == pytest.approx([0.0, 1000.0], abs=1e-3)


def test_highway_speeds_spread() -> None:
    motion = Highway(lane_speeds_mps=(20.0,), speed_spread=0.5).motion(COUNT, AREA_M, 3)
    at_s = np.array([50.0, 50.0 + 1e-6])
    there = np.all(motion.present(DEVICES, at_s), axis=1)
    speed_mps = np.abs(np.diff(motion.position_m(DEVICES, at_s)[there, :, 0], axis=1)[:, 0] / 1e-6)
    assert motion.max_speed_mps == 30.0
    assert np.min(speed_mps) > 10.0 - 1e-3
    assert np.max(speed_mps) < 30.0 + 1e-3


def places(model: Static, count: int = COUNT) -> Floats:
    at_m = model.motion(count, AREA_M, 1).position_m(np.arange(count), np.zeros(1))
    return np.asarray(at_m[:, 0])


def test_layouts() -> None:
    assert_uniform(places(Static()))
    assert np.array_equal(places(Static(layout="poisson")), places(Static()))
    apart_m = places(Static(min_distance_m=10.0))
    gaps_m = np.linalg.norm(apart_m[:, None] - apart_m[None], axis=-1) + 1e9 * np.eye(COUNT)
    assert 10.0 <= np.min(gaps_m) < 10.1
    assert_uniform(apart_m)
    # A regular grid of 5 x 3 cells of 200 m x 200 m.
    expected = [[100.0 + 200.0 * (n % 5), 100.0 + 200.0 * (n // 5)] for n in range(15)]
    assert places(Static(layout="grid"), 15).tolist() == expected
    assert np.unique(places(Static(layout="grid"), 1999), axis=0).shape == (1999, 2)


@pytest.mark.parametrize("layout", ["thomas", "matern"])
def test_clusters(layout: str) -> None:
    # One cluster: the distances between its members follow from its law.
    at_m = places(Static(layout=layout, clusters=1, spread_m=5.0))
    centred_m = at_m - np.mean(at_m, axis=0)
    square_m2 = np.sum(centred_m**2, axis=1)
    if layout == "thomas":
        assert stats.kstest(square_m2 / 50.0, "expon").pvalue > 1e-3
    else:
        assert stats.kstest(np.clip(square_m2 / 25.0, 0, 1), "uniform").pvalue > 1e-3
    # Many clusters: about as many devices in each, by chance.
    at_m = places(Static(layout=layout, clusters=10, spread_m=1e-3))
    counts = np.unique(np.round(at_m), axis=0, return_counts=True)[1]
    assert counts.size == 10
    assert stats.chisquare(counts).pvalue > 1e-3
