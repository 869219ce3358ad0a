"""Mobility: one clear sentence for each impossible parameter."""

from collections.abc import Callable

import pytest

from wnsim.mobility import (
    GaussMarkov,
    Group,
    Highway,
    Manhattan,
    RandomDirection,
    RandomWalk,
    RandomWaypoint,
    Static,
)

AREA_M = (400.0, 300.0)


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
        (lambda: RandomWalk(step_s=1.0, step_m=1.0), "step_s and step_m exclude each other"),
        (lambda: RandomWalk(step_s=0.0), "greater than or equal to 0.001"),
        (
            lambda: RandomDirection(travel_s=(2.0, 1.0)),
            r"travel_s must be the shortest first, .*, got \[2\.0, 1\.0\]",
        ),
        (lambda: RandomDirection(pause_s=1e10), r"pause_s must be from 0 to 1e\+09 s"),
        (lambda: GaussMarkov(alpha=1.1), "less than or equal to 1"),
        (lambda: GaussMarkov(mean_speed_mps=float("nan")), "finite number"),
        (
            lambda: Manhattan(turn_left=0.6, turn_right=0.5),
            r"must add up to at most 1, got 0\.6 and 0\.5",
        ),
        (
            lambda: Manhattan(block_m=301.0).motion(1, AREA_M, 1),
            "block_m must be at most the sides of the area of 400 m x 300 m, got 301",
        ),
        (
            lambda: Group(radius_m=150.0).motion(1, AREA_M, 1),
            "radius_m must be below half of the sides of the area of 400 m x 300 m, got 150",
        ),
        (
            lambda: Group(member_speed_mps=(2.0, 1.0)),
            r"member_speed_mps must be the lowest first, got \[2\.0, 1\.0\]",
        ),
        (
            lambda: Highway(lane_width_m=100.0).motion(1, AREA_M, 1),
            "the 4 lanes must fit into the height of the area of 300 m, got 400 m",
        ),
        (lambda: Highway(lane_speeds_mps=()), "at least 1 item"),
        (lambda: Highway(lane_speeds_mps=(-1.0,)), "greater than or equal to 0.001"),
        (lambda: RandomWaypoint().motion(0, AREA_M, 1), "devices must be at least 1, got 0"),
        (lambda: Static().motion(2, (0.0, 1.0), 1), r"area_m must be positive, got \[0\.0, 1\.0\]"),
        (lambda: Static(positions_m=((1.0, 2.0),)), "must be left out unless layout is given"),
        (
            lambda: Static(layout="grid", min_distance_m=1.0),
            "min_distance_m must be left out unless layout is uniform or poisson, got layout grid",
        ),
        (
            lambda: Static(clusters=3),
            "clusters must be left out unless layout is thomas or matern, got layout uniform",
        ),
        (
            lambda: Static(layout="thomas", clusters=3),
            "the layout thomas must come with spread_m, got none",
        ),
        (
            lambda: Static(min_distance_m=200.0).motion(20, AREA_M, 1),
            "20 devices 200 m apart must fit into .*, got no place for device [0-9]+ in 2000 tries",
        ),
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
