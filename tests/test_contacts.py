"""Contacts: begin and end in closed form, and consistent statistics."""

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from wnsim.contacts import Contacts, contacts, lines, summary
from wnsim.mobility import Highway, Motion, RandomDirection, RandomWaypoint, Static
from wnsim.mobility.traces import TraceMotion

Track = list[tuple[float, float, float]]


def moving(*tracks: Track, gap_s: float = math.inf) -> Motion:
    """Return devices on given paths of samples (t, x, y)."""
    names = tuple(str(n) for n in range(len(tracks)))
    return TraceMotion(names, [np.array(track) for track in tracks], gap_s)


def found(result: Contacts) -> list[tuple[int, int, float, float, bool]]:
    return [tuple(row.tolist()) for row in result.rows]  # type: ignore[misc]


@pytest.mark.parametrize("step_s", [0.37, 1.0, 7.0, 500.0])
def test_passing_on_straight_lines(step_s: float) -> None:
    # Closing at 30 m/s, 60 m aside, range 100 m: in range for 2 * 80 m around the meeting at 50 s.
    motion = moving(
        [(0.0, 0.0, 0.0), (100.0, 1000.0, 0.0)], [(0.0, 1500.0, 60.0), (100.0, -500.0, 60.0)]
    )
    result = contacts(motion, 100.0, 100.0, step_s)
    ((a, b, begin_s, end_s, censored),) = found(result)
    assert (a, b, censored) == (0, 1, False)
    assert begin_s == pytest.approx(50.0 - 80.0 / 30.0, abs=1e-9)
    assert end_s == pytest.approx(50.0 + 80.0 / 30.0, abs=1e-9)
    # A little more aside they never meet; on the rim they touch, which is no contact.
    for aside_m, count in ((99.999, 1), (100.0, 0), (100.001, 0)):
        motion = moving(
            [(0.0, 0.0, 0.0), (100.0, 1000.0, 0.0)],
            [(0.0, 500.0, aside_m), (100.0, 500.0, aside_m)],
        )
        assert contacts(motion, 100.0, 100.0, step_s).rows.size == count


def test_coming_and_going_again() -> None:
    # There and back: two contacts with a gap, each pass at 10 m/s through 2 * 20 m.
    motion = moving(
        [(0.0, 0.0, 0.0), (20.0, 200.0, 0.0), (40.0, 0.0, 0.0)],
        [(0.0, 100.0, 0.0), (40.0, 100.0, 0.0)],
    )
    result = contacts(motion, 20.0, 40.0)
    assert [row[2:4] for row in found(result)] == [
        pytest.approx((8.0, 12.0)), pytest.approx((28.0, 32.0)),
    ]  # fmt: skip
    values = summary(result)
    assert values["contact_s"]["median"] == pytest.approx(4.0)
    assert values["inter_contact_s"] == {
        "count": 1, "censored": 2,
        "mean": pytest.approx(16.0), "lower_quartile": pytest.approx(16.0),
        "median": pytest.approx(16.0), "upper_quartile": pytest.approx(16.0),
    }  # fmt: skip
    # 8 s of contact in 80 s of presence, counted for both.
    assert values["mean_degree"] == pytest.approx(2 * 8.0 / 80.0)
    # Together in 5 of the steps of 1 s that begin in contact (8, ..., 12) and again (28, ..., 32).
    assert values["largest_share"] == pytest.approx((10 * 1.0 + 30 * 0.5) / 40)


def test_devices_at_rest() -> None:
    places_m = ((0.0, 0.0), (50.0, 0.0), (100.0, 0.0), (500.0, 0.0))
    motion = Static(layout="given", positions_m=places_m).motion(4, (1e3, 1e3), 1)
    result = contacts(motion, 50.0, 20.0)
    assert found(result) == [(0, 1, 0.0, 20.0, True), (1, 2, 0.0, 20.0, True)]
    values = summary(result)
    assert values["contact_s"] == {
        "count": 0, "censored": 2,
        "mean": None, "lower_quartile": None, "median": None, "upper_quartile": None,
    }  # fmt: skip
    assert values["inter_contact_s"]["censored"] == 0
    assert values["mean_degree"] == 1.0
    assert values["largest_share"] == 0.75
    assert result.mean_degree.tolist() == [1.0] * 20
    assert json.loads(json.dumps(values)) == values
    assert lines(values) == [
        "4 devices within 50 m, to 20 s",
        "2 contacts of 2 pairs",
        "contact time: 0 complete, 2 censored",
        "time between contacts: 0 complete, 0 censored",
        "devices at a time: 4",
        "mean degree 1, largest connected part 75 % of the devices",
    ]


@pytest.mark.parametrize("step_s", [0.9, 1.0, 10.0, 100.0])
def test_devices_that_appear_and_vanish(step_s: float) -> None:
    # Side by side; the second is there from 2.25 to 5.5 s and from 20 to 30.75 s.
    steady = [(float(t), 10.0 * t, 0.0) for t in range(0, 41, 10)]
    motion = moving(
        steady,
        [(2.25, 22.5, 5.0), (5.5, 55.0, 5.0), (20.0, 200.0, 5.0), (30.75, 307.5, 5.0)],
        [(50.0, 0.0, 0.0), (60.0, 0.0, 0.0)],
        gap_s=12.0,
    )
    result = contacts(motion, 10.0, 100.0, step_s)
    assert [row[:2] + row[4:] for row in found(result)] == [(0, 1, False)] * 2
    times_s = [time_s for row in found(result) for time_s in row[2:4]]
    assert times_s == pytest.approx([2.25, 5.5, 20.0, 30.75])
    values = summary(result)
    assert values["mean_devices"] * 100.0 == pytest.approx(40.0 + 3.25 + 10.75 + 10.0)
    assert values["mean_degree"] == pytest.approx(2 * 14.0 / 64.0)
    # No device is present from 60 s on.
    assert np.all(result.present_s[result.time_s >= 60.0] == 0.0)


def test_a_short_absence_within_a_step() -> None:
    # Gone from 4 to 4.5 s within one step: two contacts, as for any other step.
    there = [(0.0, 3.0, 0.0), (4.0, 3.0, 0.0), (4.5, 3.0, 0.0), (8.0, 3.0, 0.0)]
    tracks = [np.array([(0.0, 0.0, 0.0), (10.0, 0.0, 0.0)]), np.array(there)]
    motion = TraceMotion(("a", "b"), tracks, math.inf)
    motion._spans_s[1] = np.array([[0.0, 4.0], [4.5, 8.0]])
    motion._changes_s = np.array([0.0, 4.0, 4.5, 8.0, 10.0])
    for step_s in (0.25, 3.0, 10.0):
        assert found(contacts(motion, 5.0, 10.0, step_s)) == [
            (0, 1, 0.0, 4.0, True), (0, 1, 4.5, 8.0, False),
        ]  # fmt: skip


def slow_contacts(
    motion: Motion, range_m: float, until_s: float, fine_s: float
) -> NDArray[np.bool_]:
    """Return (devices, devices, instants) who is within range of whom on a fine grid."""
    everyone = np.arange(len(motion.names))
    t_s = np.arange(fine_s / 2, until_s, fine_s)
    at_m, there = motion.position_m(everyone, t_s), motion.present(everyone, t_s)
    apart_m = np.linalg.norm(at_m[:, None] - at_m[None], axis=-1)
    return np.asarray((apart_m <= range_m) & there[:, None] & there[None])


@pytest.mark.parametrize(
    ("motion", "tolerance"),
    [
        (RandomWaypoint(speed_mps=(5.0, 15.0), pause_s=2.0).motion(20, (300.0, 300.0), 1), 0.02),
        (RandomDirection(speed_mps=(5.0, 15.0)).motion(20, (300.0, 300.0), 1), 0.02),
        (Highway(absent_s=3.0).motion(20, (600.0, 300.0), 1), 1e-9),
    ],
    ids=["waypoint", "direction", "highway"],
)
def test_against_all_pairs_at_all_times(motion: Motion, tolerance: float) -> None:
    # Instants at which a pair is in range, out of 2,400 for each of 190 pairs.
    fine_s, range_m = 0.05, 60.0
    slow = slow_contacts(motion, range_m, 120.0, fine_s)
    result = contacts(motion, range_m, 120.0, 1.0)
    fast = np.zeros_like(slow)
    t_s = np.arange(fine_s / 2, 120.0, fine_s)
    for a, b, begin_s, end_s, _ in found(result):
        fast[a, b] |= (begin_s <= t_s) & (t_s <= end_s)
    upper = np.triu(np.ones(slow.shape[:2], dtype=np.bool_), 1)
    differ = np.count_nonzero(fast[upper] != slow[upper])
    # Only turns within a step of 1 s, where motion is not straight, may make a difference.
    assert differ <= tolerance * np.count_nonzero(fast)
    finer = contacts(motion, range_m, 120.0, 0.1)
    total_s = np.sum(finer.rows["end_s"] - finer.rows["begin_s"])
    assert total_s == pytest.approx(np.count_nonzero(slow[upper]) * fine_s, rel=0.005)


def test_degree_follows_from_the_density() -> None:
    # Uniform places, far from borders: n pi r^2 / A, less a share of the border.
    count, side_m, range_m = 400, 4000.0, 100.0
    motion = RandomDirection(speed_mps=(10.0, 10.0)).motion(count, (side_m, side_m), 2)
    values = summary(contacts(motion, range_m, 400.0, 2.0))
    disc = np.pi * range_m**2 / side_m**2
    # Two uniform places in a square of unit side are within d: pi d^2 - 8 d^3 / 3 + d^4 / 2.
    unit = range_m / side_m
    share = disc - 8 * unit**3 / 3 + unit**4 / 2
    assert values["mean_degree"] == pytest.approx((count - 1) * share, rel=0.05)


def test_contact_time_of_straight_motion() -> None:
    # A chord of a disc at a uniform offset has the mean length pi r / 2: here at 20 m/s.
    offsets_m = -100.0 + (np.arange(400) + 0.5) / 2
    tracks: list[Track] = [[(0.0, 0.0, 0.0), (1e4, 0.0, 0.0)]]
    tracks += [[(t, -500.0, y), (t + 50.0, 500.0, y)] for t, y in enumerate(offsets_m.tolist())]
    values = summary(contacts(moving(*tracks), 100.0, 500.0))
    mine = contacts(moving(*tracks), 100.0, 500.0).rows
    mine = mine[mine["a"] == 0]
    assert mine.size == 400
    mean_s = np.mean(mine["end_s"] - mine["begin_s"])
    assert mean_s == pytest.approx(np.pi * 100.0 / 2 / 20.0, rel=1e-3)
    assert values["contacts"] > 400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 1.0), r"range_m must be positive, got 0\.0"),
        ((1.0, math.nan, 1.0), "until_s must be positive, got nan"),
        ((1.0, 1.0, -1.0), r"step_s must be positive, got -1\.0"),
        ((1.0, 1e9, 1.0), "step_s must divide until_s into at most 10000000 steps, got 1"),
    ],
)
def test_errors(arguments: tuple[float, float, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contacts(Static().motion(2, (1.0, 1.0), 1), *arguments)


def test_one_device_meets_nobody() -> None:
    values = summary(contacts(Static().motion(1, (1.0, 1.0), 1), 1.0, 10.0))
    assert (values["contacts"], values["mean_degree"], values["largest_share"]) == (0, 0.0, 1.0)
    never = moving([(50.0, 0.0, 0.0), (60.0, 0.0, 0.0)])
    values = summary(contacts(never, 1.0, 10.0))
    assert (values["mean_devices"], values["mean_degree"]) == (0.0, None)
    assert lines(values)[-1] == "devices at a time: 0"
