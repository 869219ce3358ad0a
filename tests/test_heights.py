"""Antenna heights per device and over time: distances, losses, contacts, traces and scenarios."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from wnsim.channel import (
    PATH_LOSS,
    Carrier,
    Channel,
    FreeSpace,
    Geometry,
    NoFading,
    PathLoss,
    Propagation,
    Sector,
    Shadowing,
    TwoRay,
    UmiStreetCanyon,
)
from wnsim.channel.heights import Heights
from wnsim.channel.shadowing import EXPONENTIAL, SQUARED_EXPONENTIAL, Field, Kernel
from wnsim.contacts import contacts
from wnsim.core import streams
from wnsim.core.units import SPEED_OF_LIGHT_MPS
from wnsim.mobility import Trace
from wnsim.mobility.traces import TraceMotion
from wnsim.network import Network
from wnsim.scenario.__main__ import main
from wnsim.scenario.simulation.advice import notes
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.spec.schema import Scenario
from wnsim.world.antenna_heights import RandomHeights, heights_m

Floats = NDArray[np.float64]
FILES = Path(__file__).parent / "files"
CARRIER_HZ = 3.5e9


def free_space_db(distance_m: float) -> float:
    """Return Friis' loss between isotropic antennas [dB]."""
    return float(20.0 * np.log10(4.0 * np.pi * distance_m * CARRIER_HZ / SPEED_OF_LIGHT_MPS))


def channel(
    places_m: list[list[float]],
    heights: Heights | list[float],
    path_loss: PathLoss | None = None,
    shadowing: Shadowing | None = None,
    seed: int = 1,
    **more: Any,
) -> Channel:
    """Return the channel between resting devices."""
    at_m = np.array(places_m)
    known = heights if isinstance(heights, Heights) else np.array(heights)
    return Channel(
        Propagation(
            path_loss or FreeSpace(), shadowing or Shadowing(sigma_db=0.0), NoFading()
        ),
        Carrier(CARRIER_HZ),
        Geometry(known, lambda nodes, t_s: np.repeat(at_m[nodes][:, None], t_s.size, 1), 0.0,
                 **more),
        seed,
    )  # fmt: skip


def loss_db(made: Channel, one: int, other: int, t_s: float = 0.0) -> float:
    return -float(made.large_scale_db(np.array([one]), np.array([other]), np.array([t_s]))[0, 0])


def climbing(start_m: list[float], speed_mps: list[float], end_s: float = 100.0) -> Heights:
    """Return heights that change at constant speeds."""
    from_m, rate = np.array(start_m), np.array(speed_mps)
    to_m = from_m + rate * end_s
    return Heights(
        np.minimum(from_m, to_m),
        np.maximum(from_m, to_m),
        lambda nodes, t_s: from_m[nodes][:, None] + rate[nodes][:, None] * np.asarray(t_s),
    )


def test_a_drone_above_a_walker_is_far_away() -> None:
    # Straight above; 30 m aside and 40 m up are 50 m.
    made = channel([[0, 0], [0, 0], [30, 0]], [1.5, 101.5, 41.5])
    assert loss_db(made, 0, 1) == pytest.approx(free_space_db(100.0), abs=1e-9)
    assert loss_db(made, 0, 2) == pytest.approx(free_space_db(50.0), abs=1e-9)
    assert loss_db(made, 2, 0) == loss_db(made, 0, 2)


def test_two_rays_depend_on_both_heights() -> None:
    # Rappaport, section 4.6: 40 lg d - 20 lg(h h') beyond the crossover distance.
    made = channel([[0, 0], [1e5, 0]], [4.0, 9.0], TwoRay())
    expected_db = 40.0 * np.log10(np.hypot(1e5, 5.0)) - 20.0 * np.log10(4.0 * 9.0)
    assert loss_db(made, 0, 1) == pytest.approx(expected_db, abs=1e-9)


def test_antennas_see_the_elevation_over_time() -> None:
    """3 dB beamwidth 65 degrees: 12 (e / 65)^2 dB less at elevation e, TR 38.901 Table 7.3-1."""
    heights = climbing([10.0, 10.0], [0.0, 2.0])
    sector = Sector(boresight_deg=0.0, gain_dbi=0.0, beamwidth_deg=65.0)
    antennas = [sector, Sector(boresight_deg=180.0, gain_dbi=0.0, beamwidth_deg=65.0)]
    made = channel([[0, 0], [100, 0]], heights, antennas=antennas)
    for t_s, elevation_deg in ((0.0, 0.0), (50.0, 45.0)):
        far_m = 100.0 / np.cos(np.radians(elevation_deg))
        expected_db = free_space_db(far_m) + 2.0 * 12.0 * (elevation_deg / 65.0) ** 2
        assert loss_db(made, 0, 1, t_s) == pytest.approx(expected_db, abs=1e-6)


def test_losses_follow_a_climb() -> None:
    made = channel([[0, 0], [60, 0], [60, 0]], climbing([1.5, 1.5, 81.5], [0.0, 4.0, -4.0]))
    t_s = np.arange(0.0, 20.0)
    found_db = -made.large_scale_db(np.array([0, 1]), np.array([1, 2]), t_s)
    assert found_db[0] == pytest.approx([free_space_db(np.hypot(60, 4 * t)) for t in t_s])
    assert found_db[1] == pytest.approx([free_space_db(max(abs(80 - 8 * t), 1.0)) for t in t_s])


@pytest.mark.parametrize("kernel", [EXPONENTIAL, SQUARED_EXPONENTIAL], ids=["exp", "squared"])
def test_fields_decorrelate_over_the_distance_in_space(kernel: Kernel) -> None:
    """Gudmundson's exponential and the squared exponential, of the length of any displacement."""
    draws = np.random.default_rng(3)
    side, fields = 120, 6
    first, second = (
        index.ravel() for index in np.meshgrid(np.arange(side), side + np.arange(side))
    )
    steps_m = [[0, 0, 0], [0, 0, 5.0], [0, 0, 20.0], [8.0, 0, 6.0], [3.0, 4.0, 12.0], [0, 0, 60.0]]
    products = []
    for seed in range(fields):
        field = Field(20.0, 256, streams.generator(seed, "test"), kernel)
        places_m = draws.random((2 * side, 3)) * [1e5, 1e5, 100.0]
        tracks_m = np.repeat(places_m[:, None], len(steps_m), axis=1)
        tracks_m[:side] += np.array(steps_m)
        values = field.between(tracks_m, first, second)
        products.append(np.mean(values[:, :1] * values, axis=0))
    theory = np.exp(-((np.linalg.norm(steps_m, axis=1) / 20.0) ** kernel.power))
    # A field's mean product has a deviation of at most sqrt(2)/120: 0.005 for six, times four.
    assert np.mean(products, axis=0) == pytest.approx(theory, abs=0.02)


def test_shadows_have_unit_variance_below_a_drone() -> None:
    square = []
    for seed in range(400):
        made = channel(
            [[50, 50], [50, 50]], [1.5, 31.5], shadowing=Shadowing(sigma_db=1.0, waves=64),
            seed=seed,
        )  # fmt: skip
        square.append((loss_db(made, 0, 1) - free_space_db(30.0)) ** 2)
    # 4 standard errors of the mean of 400 squared Gaussian values.
    assert np.mean(square) == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / 400.0))


@pytest.mark.filterwarnings("ignore::wnsim.channel.OutOfRangeWarning")
def test_raising_one_device_leaves_the_links_of_the_others() -> None:
    places_m = (np.random.default_rng(5).random((5, 2)) * 300.0).tolist()
    stations = np.array([False, False, False, False, True])
    level = channel(places_m, [1.5] * 4 + [25.0], UmiStreetCanyon(), Shadowing(),
                    stations=stations)  # fmt: skip
    raised = channel(places_m, [1.5] * 3 + [90.0, 25.0], UmiStreetCanyon(), Shadowing(),
                     stations=stations)  # fmt: skip
    t_s = np.zeros(1)
    one, other = np.array([0, 0, 1, 0, 1]), np.array([1, 2, 2, 4, 4])
    assert np.array_equal(
        level.large_scale_db(one, other, t_s), raised.large_scale_db(one, other, t_s)
    )
    assert loss_db(level, 0, 3) != loss_db(raised, 0, 3)


@pytest.mark.filterwarnings("ignore::wnsim.channel.OutOfRangeWarning")
@pytest.mark.parametrize("name", PATH_LOSS)
def test_nobody_is_heard_beyond_reach_at_any_time(name: str) -> None:
    draws = np.random.default_rng(9)
    count = 60
    places_m = (10 ** draws.uniform(0.0, 5.0, (count, 1)) * draws.normal(size=(count, 2))).tolist()
    start_m = (1.2 + 5.0 * draws.random(count)).tolist()
    heights = climbing(start_m, draws.uniform(0.0, 3.0, count).tolist())
    made = channel(places_m, heights, PATH_LOSS[name]())
    high, low = np.tril_indices(count, -1)
    d2d_m = np.linalg.norm(np.array(places_m)[low] - np.array(places_m)[high], axis=-1)
    loss = -made.large_scale_db(low, high, np.array([0.0, 50.0, 99.0])).max(axis=1)
    for limit_db in (60.0, 90.0, 120.0, 150.0):
        within = loss < limit_db
        assert np.max(d2d_m, where=within, initial=0.0) <= made.max_range_m(limit_db)


def moving(*tracks: list[tuple[float, float, float]]) -> TraceMotion:
    names = tuple(str(n) for n in range(len(tracks)))
    return TraceMotion(names, [np.array(track) for track in tracks], np.inf)


def test_contacts_are_in_space() -> None:
    # Closing at 30 m/s, one 60 m above the other, range 100 m: 2 * 80 m around the meeting at 50 s.
    motion = moving(
        [(0.0, 0.0, 0.0), (100.0, 1000.0, 0.0)], [(0.0, 1500.0, 0.0), (100.0, -500.0, 0.0)]
    )
    heights = Heights.constant(np.array([1.5, 61.5]))
    (row,) = contacts(motion, 100.0, 100.0, heights=heights).rows
    assert row["begin_s"] == pytest.approx(50.0 - 80.0 / 30.0, abs=1e-9)
    assert row["end_s"] == pytest.approx(50.0 + 80.0 / 30.0, abs=1e-9)
    higher = Heights.constant(np.array([1.5, 101.6]))
    assert contacts(motion, 100.0, 100.0, heights=higher).rows.size == 0
    # A climb at 4 m/s from 3 m aside at 3 m/s: 5 m/s t away, 100 m at 20 s.
    motion = moving([(0.0, 0.0, 0.0), (100.0, 0.0, 0.0)], [(0.0, 0.0, 0.0), (100.0, 300.0, 0.0)])
    (row,) = contacts(motion, 100.0, 100.0, heights=climbing([1.5, 1.5], [0.0, 4.0])).rows
    assert (row["begin_s"], row["end_s"]) == pytest.approx((0.0, 20.0), abs=1e-9)


def test_topologies_see_distances_in_space(make_network: Callable[..., Network]) -> None:
    network = make_network(
        ((0.0, 0.0), (10.0, 0.0), (0.0, 30.0)), heights=climbing([1.5, 1.5, 1.5], [0.0, 4.0, 0.0])
    )
    view = network._world.snapshot(10.0)
    assert view.distance_m[0] == pytest.approx([0.0, np.hypot(10.0, 40.0), 30.0])
    assert view.nearest(0, 2).tolist() == [2, 1]
    # In range until 5 s, when it is 20 m up and 10 m aside; seen at whole seconds.
    left_s = network._world.snapshot(0.0).contact_s(np.hypot(10.0, 20.0) + 1e-6, 60.0)
    assert left_s[0, 1] == 6.0
    assert left_s[0, 2] == 0.0


def test_heights_of_devices_follow_their_law() -> None:
    law = RandomHeights(between_m=(22.5, 300.0), share=0.25, others_m=1.5)
    found_m = heights_m(law, 4000, 7)
    aerial = found_m[found_m != 1.5]
    # 4 standard deviations of a binomial share.
    assert aerial.size / 4000 == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4000))
    assert stats.kstest(aerial, "uniform", (22.5, 277.5)).pvalue > 1e-4
    assert np.array_equal(heights_m(law, 10, 7), found_m[:10])
    assert not np.array_equal(heights_m(law, 10, 8), found_m[:10])


TEXT = """\
name: heights
area_m: [100, 100]
devices: {{count: 3, height_m: {height}}}
mobility: {{model: static, layout: given, positions_m: [[0, 0], [30, 0], [60, 0]]}}
channel: {{path_loss: {{model: free-space}}, fading: {{model: none}}}}
traffic: {{size_bytes: 1000}}
{more}
"""


def test_a_scenario_gives_each_device_its_height(scenario_of: Callable[[str], Scenario]) -> None:
    world = build_world(scenario_of(TEXT.format(height="[1.5, 41.5, 1.5]", more="")))
    assert loss_db(world.channel, 0, 1) == pytest.approx(free_space_db(50.0))
    assert loss_db(world.channel, 0, 2) == pytest.approx(free_space_db(60.0))
    assert world.snapshot(0.0).distance_m[1].tolist() == pytest.approx([50.0, 0.0, 50.0])
    one = build_world(scenario_of(TEXT.format(height="2.5", more="")))
    same = build_world(scenario_of(TEXT.format(height="[2.5, 2.5, 2.5]", more="")))
    assert loss_db(one.channel, 0, 1) == loss_db(same.channel, 0, 1)
    law = "{between_m: [50, 50], share: 1}"
    drones = build_world(scenario_of(TEXT.format(height=law, more="")))
    assert drones.heights is not None
    assert drones.heights.lowest_m.tolist() == [50.0] * 3


def test_positions_have_heights_if_these_differ(tmp_path: Path) -> None:
    for height, wanted in (("[1.5, 41.5, 1.5]", [1.5, 41.5, 1.5]), ("1.5", None)):
        file = tmp_path / "s.yaml"
        file.write_text(TEXT.format(height=height, more="").replace("1000", "1000, rounds: 1"))
        out = tmp_path / height
        assert main([str(file), "--out", str(out), "--no-figures"]) == 0
        (table,) = out.glob("**/positions.csv")
        header, *rows = [line.split(",") for line in table.read_text().splitlines()]
        assert ("height_m" in header) == (wanted is not None)
        if wanted is not None:
            place = header.index("height_m")
            assert [float(row[place]) for row in rows[:3]] == wanted


@pytest.mark.parametrize(
    ("height", "words"),
    [
        (
            "[1.5, 2.5]",
            "s.yaml:3: devices: height_m must be one for all devices, or one for each of 3, got 2",
        ),
        ("[1.5, -2, 3]", "s.yaml:3: devices.height_m.*greater than 0|s.yaml:3: devices.height_m"),
        ("{between_m: [9, 3]}", "between_m must have the lower height first, got 9, 3"),
        ("{betwen_m: [3, 9]}", "devices.height_m.betwen_m: unknown key"),
        ("tall", "s.yaml:3: devices.height_m"),
    ],
)
def test_wrong_heights_end_in_one_sentence(
    height: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(TEXT.format(height=height, more=""))
    assert main([str(file), "--check"]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert re.search(words, said.replace(str(file), "s.yaml")), said


def test_the_lowest_device_is_checked_and_the_highest_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scenario_of: Callable[[str], Scenario]
) -> None:
    text = TEXT.replace("free-space", "umi")
    file = tmp_path / "s.yaml"
    file.write_text(text.format(height="[1.5, 1.5, 0.5]", more=""))
    assert main([str(file), "--check"]) == 2
    assert "antenna height must be above" in capsys.readouterr().err
    found = notes(scenario_of(text.format(height="[1.5, 1.5, 100]", more="")))
    assert any("terminals at 1.5 to 22.5 m, the terminal's antenna is at 100 m" in n for n in found)
    low = notes(scenario_of(text.format(height="1.5", more="")))
    assert not any("terminals at" in n for n in low)


GPX = """<?xml version="1.0"?><gpx version="1.1"><trk><name>a</name><trkseg>
<trkpt lat="52" lon="13"><ele>135</ele><time>2026-03-01T12:00:00Z</time></trkpt>
<trkpt lat="52" lon="13"><time>2026-03-01T12:00:05Z</time></trkpt>
<trkpt lat="52" lon="13"><ele>185</ele><time>2026-03-01T12:00:10Z</time></trkpt>
</trkseg></trk><trk><name>b</name><trkseg>
<trkpt lat="52" lon="13"><ele>35</ele><time>2026-03-01T12:00:00Z</time></trkpt>
<trkpt lat="52" lon="13"><ele>35</ele><time>2026-03-01T12:00:10Z</time></trkpt>
</trkseg></trk></gpx>"""


def test_altitudes_above_the_sea_are_referred_to_the_ground(tmp_path: Path) -> None:
    file = tmp_path / "t.gpx"
    file.write_text(GPX)
    t_s, devices = np.array([0.0, 2.5, 10.0]), np.array([0, 1])
    for options, ground_m in (
        ({"heights": "above-lowest"}, 35.0),
        ({"heights": "above-ground", "ground_m": 30.0}, 30.0),
        ({"heights": "above-ground"}, 0.0),
    ):
        motion = Trace(file=str(file), **options).motion(2, (1.0, 1.0), 1)
        assert motion.height_m(devices, t_s)[0] == pytest.approx(
            np.array([135.0, 147.5, 185.0]) - ground_m
        )
        assert motion.height_m(devices, t_s)[1] == pytest.approx([35.0 - ground_m] * 3)
        # It climbs 50 m in 10 s, and does not move otherwise.
        assert motion.max_speed_mps == pytest.approx(5.0)
        assert any("1 samples without a height" in note for note in motion.notes)
        sea = any("usually above the sea" in note for note in motion.notes)
        assert sea == (options == {"heights": "above-ground"})
    unused = Trace(file=str(file)).motion(2, (1.0, 1.0), 1)
    assert unused.height_bounds_m is None
    assert unused.max_speed_mps == 0.0


@pytest.mark.parametrize(
    ("name", "text", "heights"),
    [
        ("t.csv", "t_s,id,x_m,y_m,z_m\n0,a,0,0,20\n10,a,30,0,60\n", "above-ground"),
        ("t.csv", "t_s,altitude_m,id,x_m,y_m\n0,20,a,0,0\n10,60,a,30,0\n", "above-ground"),
        ("t.movements", "0 0 0 20 10 30 0 60\n", "above-ground"),
        (
            "t.xml",
            """<fcd-export><timestep time="0"><person id="a" x="0" y="0" z="20"/></timestep>
            <timestep time="10"><person id="a" x="30" y="0" z="60"/></timestep></fcd-export>""",
            "above-ground",
        ),
    ],
)
def test_heights_are_interpolated_in_each_format(
    name: str, text: str, heights: Any, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    layout: Any = "bonnmotion" if name.endswith("movements") else "auto"
    trace = Trace(file=str(tmp_path / name), format=layout, heights=heights, max_gap_s=20.0)
    motion = trace.motion(1, (1.0, 1.0), 1)
    assert motion.height_m(np.array([0]), np.array([0.0, 2.5, 10.0]))[0] == pytest.approx(
        [20.0, 30.0, 60.0]
    )
    # 30 m aside and 40 m up in 10 s.
    assert motion.max_speed_mps == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("name", "start_m"),
    [
        ("gpx/two-walkers.gpx", 400.0),
        ("geolife/one.plt", 400.0),
        ("nmea/walk.nmea", 400.0),
        ("kml/track.kml", 400.0),
        ("csv/dates.csv", 400.0),
        ("ns2/comments.tcl", 1.5),
        ("sumo/fcd.xml", 500.08),
        ("sumo/fcd.csv", 500.08),
    ],
)
def test_recorded_heights_are_used(name: str, start_m: float) -> None:
    motion = Trace(file=str(FILES / name), heights="above-ground").motion(1, (1.0, 1.0), 1)
    # Feet are rounded to whole ones.
    assert motion.height_m(np.array([0]), np.zeros(1))[0, 0] == pytest.approx(start_m, abs=0.16)


def test_ns2_sets_heights_over_time(tmp_path: Path) -> None:
    """As ns-3's Ns2MobilityHelper, a coordinate that is set at an instant places the node."""
    file = tmp_path / "t.tcl"
    file.write_text(
        "$node_(0) set X_ 0\n$node_(0) set Y_ 0\n$node_(0) set Z_ 10\n"
        '$ns_ at 0 "$node_(0) setdest 100 0 10"\n$ns_ at 4 "$node_(0) set Z_ 50"\n'
        '$ns_ at 6 "$node_(0) setdest 100 0 10"\n'
    )
    motion = Trace(file=str(file), heights="above-ground").motion(1, (1.0, 1.0), 1)
    t_s = np.array([0.0, 3.0, 4.0, 5.0, 8.0])
    assert motion.height_m(np.array([0]), t_s)[0] == pytest.approx([10, 10, 50, 50, 50])
    assert motion.position_m(np.array([0]), t_s)[0, :, 0] == pytest.approx([0, 30, 40, 40, 60])
    assert motion.max_speed_mps == pytest.approx(10.0)


def test_antennas_of_a_trace_are_at_least_at_their_height(
    tmp_path: Path, scenario_of: Callable[[str], Scenario]
) -> None:
    rows = ["t_s,id,x_m,y_m,z_m"]
    for id_, first_m, last_m in (("a", 0.0, 0.0), ("b", 0.0, 80.0)):
        rows += [f"{t},{id_},{x},0,{z}" for t, x, z in ((0, 0, first_m), (10, 60, last_m))]
    rows = [rows[0], *sorted(rows[1:], key=lambda row: float(row.split(",")[0]))]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    text = f"""\
name: traced
devices: {{count: 2, height_m: [2.0, 1.0]}}
mobility: {{model: trace, file: {tmp_path / "t.csv"}, heights: above-ground, max_gap_s: 20}}
channel: {{path_loss: {{model: free-space}}, fading: {{model: none}}}}
traffic: {{size_bytes: 1000}}
"""
    world = build_world(scenario_of(text))
    # At the same place: 1 m apart at 0 s, and 80 - 2 m at 10 s; 40 - 2 m on half of the way.
    for t_s, apart_m in ((0.0, 1.0), (5.0, 38.0), (10.0, 78.0)):
        assert loss_db(world.channel, 0, 1, t_s) == pytest.approx(free_space_db(apart_m))
        assert world.snapshot(t_s).distance_m[0, 1] == pytest.approx(apart_m)
    # 6 m/s along and 8 m/s up.
    assert world.motion.max_speed_mps == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("options", "rows", "words"),
    [
        ({"heights": "above-ground"}, "0,a,0,0,\n1,a,1,0,\n", "the trace has no heights"),
        ({"heights": "above-ground"}, "0,a,0,0,5\n0,b,0,0,\n", "got none for 1 of 2: 'b'"),
        (
            {"heights": "above-ground"},
            "0,a,0,0,2e5\n0,b,0,0,1\n",
            "at most 100000 m above the ground, got 200000 m of device 'a'",
        ),
    ],
)
def test_unusable_heights_end_in_one_sentence(
    options: dict[str, Any], rows: str, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "t.csv"
    file.write_text("t_s,id,x_m,y_m,z_m\n" + rows)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        Trace(file=str(file), **options).motion(1 if "b" not in rows else 2, (1.0, 1.0), 1)
    assert str(error.value).startswith(str(file))


def test_a_ground_is_for_heights_above_it() -> None:
    with pytest.raises(ValueError, match="ground_m must be left out unless heights is above"):
        Trace(file="t.gpx", heights="above-lowest", ground_m=30.0)


def test_a_ground_far_above_the_trace_gets_a_note(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("t_s,id,x_m,y_m,z_m\n0,a,0,0,5\n")
    motion = Trace(file=str(file), heights="above-ground", ground_m=100.0).motion(1, (1.0, 1.0), 1)
    assert any("95 m below the ground at 100 m" in note for note in motion.notes)


def test_errors_below_the_ground_are_no_motion(tmp_path: Path) -> None:
    # -32768 is how elevation data say that they have none.
    file = tmp_path / "t.csv"
    file.write_text("t_s,id,x_m,y_m,z_m\n0,a,0,0,3\n1,a,4,0,-32768\n2,a,8,0,-32768\n")
    motion = Trace(file=str(file), heights="above-ground").motion(1, (1.0, 1.0), 1)
    assert motion.max_speed_mps == pytest.approx(5.0)
    assert any("32768 m below the ground" in note for note in motion.notes)
