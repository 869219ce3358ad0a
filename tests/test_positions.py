"""Rows of positions.csv: the motion at their instants, presence, and a bounded number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from wnsim.channel.heights import Heights
from wnsim.core.units import Floats, Ints
from wnsim.mobility import MOBILITY, Mobility, RandomWaypoint, Static
from wnsim.mobility.motion import AlwaysPresent, Bools
from wnsim.world.positions import MOST_INSTANTS, MOST_ROWS, position_rows

AREA_M = (300.0, 200.0)
NONE_M = np.empty((0, 2))
MODELS = [model for name, model in MOBILITY.items() if name != "trace"]


@dataclass
class Shuttles:
    """Devices on a line, each of which is there from the second of its number on, for 3 s."""

    count: int
    max_speed_mps: float = 2.0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"shuttle {n}" for n in range(self.count))

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        x_m = self.max_speed_mps * np.asarray(t_s)[None, :] + np.asarray(devices)[:, None]
        return np.stack([x_m, 0.0 * x_m], axis=-1)

    def present(self, devices: Ints, t_s: Floats) -> Bools:
        since_s = np.asarray(t_s)[None, :] - np.asarray(devices)[:, None]
        return np.asarray((since_s >= 0.0) & (since_s < 3.0))

    def next_change_s(self, t_s: float) -> float:
        return float(np.floor(t_s) + 1.0)

    def presence_end_s(self, device: int, t_s: float) -> float:
        return device + 3.0


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_rows_are_where_the_motion_has_the_devices(model: type[Mobility]) -> None:
    count = 3
    given = {"positions_m": ((0.0, 1.0), (5.0, 5.0), (9.0, 9.0))}
    static = {"layout": "given", **given} if model is Static else {}
    motion = model(**static).motion(count, AREA_M, 7)
    rows = position_rows(motion, NONE_M, 100.0)
    assert {row.device for row in rows} == set(range(count))
    for row in rows[:: max(1, len(rows) // 200)]:
        at_m = motion.position_m(np.array([row.device]), np.array([row.time_s]))[0, 0]
        assert [row.x_m, row.y_m] == pytest.approx(at_m.tolist(), abs=5.1e-4)
    assert rows[0].time_s == 0.0
    assert rows[-1].time_s == 100.0


def test_a_climb_has_heights() -> None:
    motion = Static(layout="given", positions_m=((0.0, 1.0), (5.0, 5.0))).motion(2, AREA_M, 1)
    heights = Heights(
        np.array([1.5, 10.0]), np.array([1.5, 30.0]),
        lambda nodes, t_s: np.array([1.5, 10.0])[nodes][:, None] + np.outer(nodes, 2.0 * t_s),
    )  # fmt: skip
    rows = position_rows(motion, np.array([[7.0, 8.0]]), 10.0, heights, 25.0)
    for row in rows:
        expected_m = {0: 1.5, 1: 10.0 + 2.0 * row.time_s, 2: 25.0}[row.device or 0]
        assert row.height_m == pytest.approx(expected_m, abs=5.1e-4)
    # A device that climbs is at another place at each instant.
    assert len({row.time_s for row in rows}) >= 100
    level = position_rows(motion, NONE_M, 10.0, Heights.constant(np.array([2.0, 2.0])))
    assert all(np.isnan(row.height_m) for row in level)


def test_straight_lines_between_instants_follow_the_path() -> None:
    """Instants half a meter of the fastest device's path apart: no chord leaves it by more than
    half that."""
    motion = RandomWaypoint(speed_mps=(1.0, 2.0)).motion(4, AREA_M, 3)
    rows = position_rows(motion, NONE_M, 60.0)
    times_s = sorted({row.time_s for row in rows})
    assert np.diff(times_s).max() * 2.0 <= 0.5 * 1.01
    here = np.array([[row.x_m, row.y_m] for row in rows if row.device == 0])
    middle_s = (np.array(times_s[1:]) + times_s[:-1]) / 2
    middle_m = motion.position_m(np.array([0]), middle_s)[0]
    off_m = np.hypot(*((here[1:] + here[:-1]) / 2 - middle_m).T)
    assert off_m.max() <= 0.25 + 1e-3


def test_who_is_away_has_no_row() -> None:
    motion = Shuttles(4)
    rows = position_rows(motion, NONE_M, 10.0)
    there = [row for row in rows if row.device is not None]
    assert all(row.device <= row.time_s < row.device + 3.0 for row in there)
    # The last one has gone after 6 s; that is said once when it begins, and once in the end.
    absent = [row.time_s for row in rows if row.device is None]
    assert absent == [pytest.approx(6.0, abs=0.11), 10.0]
    for device in range(4):
        mine_s = [row.time_s for row in rows if row.device == device]
        assert mine_s[0] == pytest.approx(device, abs=0.11)
        assert mine_s[-1] == pytest.approx(device + 3.0, abs=0.11)


def test_of_those_who_rest_the_ends_are_kept() -> None:
    static = Static(layout="given", positions_m=((0.0, 0.0), (10.0, 0.0)))
    motion, stations_m = static.motion(2, AREA_M, 1), np.array([[5.0, 5.0]])
    rows = position_rows(motion, stations_m, 1000.0)
    found = [(row.time_s, row.device, row.x_m, row.y_m) for row in rows]
    assert found == [
        (0.0, 0, 0.0, 0.0), (0.0, 1, 10.0, 0.0), (0.0, 2, 5.0, 5.0),
        (1000.0, 0, 0.0, 0.0), (1000.0, 1, 10.0, 0.0),
    ]  # fmt: skip
    assert [row.time_s for row in position_rows(motion, stations_m, 0.0)] == [0.0] * 3


class Many(AlwaysPresent):
    """Devices that move forever; names take no memory."""

    max_speed_mps = 30.0

    def __init__(self, count: int) -> None:
        self.names = ("",) * count

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        x_m = 30.0 * np.asarray(t_s)[None, :] + np.asarray(devices)[:, None]
        return np.stack([x_m, 0.0 * x_m], axis=-1)


@pytest.mark.parametrize("count", [1, 50, 1000, 10_000])
def test_rows_are_bounded(count: int) -> None:
    rows = position_rows(Many(count), NONE_M, 1000.0)
    assert len(rows) <= MOST_ROWS
    instants = len({row.time_s for row in rows})
    assert instants == min(MOST_INSTANTS, MOST_ROWS // count)
