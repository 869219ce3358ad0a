"""Trace formats: the same movement from each of them."""

import gzip
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trace_writers import (
    LAT_DEG,
    LON_DEG,
    WRITERS,
    Tracks,
    as_sumo_csv,
    as_sumo_xml,
    by_time,
    degrees,
    made_tracks,
    motion,
)

from wnsim.mobility import Motion, Trace

ARROW = importlib.util.find_spec("pyarrow") is not None
T_S = np.linspace(0.0, 20.0, 81)


def assert_same(made: Motion, tracks: Tracks, *, rounding_m: float) -> None:
    """Check positions; those in degrees begin at the lowest x and y of all."""
    assert made.names == tuple(tracks)
    found_m = made.position_m(np.arange(len(tracks)), T_S)
    for row, track in enumerate(tracks.values()):
        for axis in range(2):
            expected_m = np.interp(T_S, track[:, 0], track[:, 1 + axis])
            assert np.max(np.abs(found_m[row, :, axis] - expected_m)) < rounding_m
    assert np.all(made.present(np.arange(len(tracks)), T_S))
    steps = [np.diff(track, axis=0) for track in tracks.values()]
    fastest_mps = max(np.max(np.hypot(step[:, 1], step[:, 2]) / step[:, 0]) for step in steps)
    assert made.max_speed_mps == pytest.approx(fastest_mps, rel=1e-4)


@pytest.mark.parametrize("named", [False, True], ids=["auto", "named"])
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", sorted(WRITERS))
def test_same_movement(tmp_path: Path, name: str, compressed: bool, named: bool) -> None:
    tracks = made_tracks()
    content = WRITERS[name](tracks).encode()
    options = {"format": name.split(" ")[0]} if named else {}
    if "heights" in name:
        options["heights"] = "drop"
    made = motion(tmp_path / "t", gzip.compress(content) if compressed else content, **options)
    in_degrees = name in ("gpx", "csv in degrees")
    if in_degrees:
        lowest_m = np.min([np.min(track[:, 1:], axis=0) for track in tracks.values()], axis=0)
        tracks = {key: track - [0.0, *lowest_m] for key, track in tracks.items()}
    assert_same(made, tracks, rounding_m=0.01 if in_degrees else 1e-6)
    lasting = name.split(" ")[0] in ("ns-2", "bonnmotion")
    assert made.presence_end_s(0, 5.0) == (np.inf if lasting else 20.0)
    assert made.next_change_s(5.0) == made.presence_end_s(0, 5.0)


@pytest.mark.parametrize("writer", [as_sumo_xml, as_sumo_csv])
def test_sumo_in_degrees(tmp_path: Path, writer: Callable[[Tracks], str]) -> None:
    tracks = {"0": np.array([[0.0, 8.5, 47.4], [1.0, 8.501, 47.401]])}
    named = motion(tmp_path / "t", writer(tracks), count=1, coordinates="degrees")
    east_m, north_m = (
        np.subtract(degrees_to, degrees_from)
        for degrees_to, degrees_from in zip((8.501, 47.401), (8.5, 47.4), strict=True)
    )
    # A thousandth of a degree there: 75.5 m east, 111.2 m north.
    lon_m, lat_m = (1000.0 / np.subtract(degrees(1000.0, 1000.0), (LON_DEG, LAT_DEG))).tolist()
    at_m = named.position_m(np.array([0]), np.array([0.0, 1.0]))[0]
    assert at_m[0].tolist() == [0.0, 0.0]
    assert at_m[1] == pytest.approx([east_m * lon_m, north_m * lat_m], rel=1e-4)
    guessed = motion(tmp_path / "t", writer(tracks), count=1)
    assert np.array_equal(guessed.position_m(np.array([0]), np.array([0.0, 1.0]))[0], at_m)
    plain = motion(tmp_path / "t", writer(tracks), count=1, coordinates="meters")
    assert plain.position_m(np.array([0]), np.zeros(1))[0, 0].tolist() == [8.5, 47.4]


def test_persons_and_other_headers(tmp_path: Path) -> None:
    table = (
        "timestep_time;person_id;person_x;person_y;vehicle_id;vehicle_x;vehicle_y\n"
        "0.00;;;;car;1;2\n0.00;walker;3;4;;;\n1.00;walker;4;4;;;\n1.00;;;;car;11;2\n2.00;;;;;;\n"
    )
    made = motion(tmp_path / "t", table, count=2)
    assert made.names == ("car", "walker")
    assert made.position_m(np.arange(2), np.ones(1))[:, 0].tolist() == [[11.0, 2.0], [4.0, 4.0]]
    made = motion(tmp_path / "t", "time,id,x,y\n0,a,1,2\n1,a,3,2\n", count=1)
    assert made.max_speed_mps == 2.0


def test_ns2_commands_override_one_another(tmp_path: Path) -> None:
    made = motion(
        tmp_path / "t",
        "$node_(7) set X_ 0.0\n$node_(7) set Y_ 0.0\n"
        '$ns_ at 30.0 "$node_(7) setdest 200.0 5.0 10.0"\n'
        '$ns_ at 10.0 "$node_(7) setdest 100.0 0.0 10.0"\n'
        '$ns_ at 15.0 "$node_(7) setdest 50.0 40.0 8.0"\n'
        '$ns_ at 25.0 "$node_(7) setdest 50.0 5.0 5.0"\n'
        '$ns_ at 27.0 "$node_(7) setdest 90.0 90.0 0.0"\n',
        count=1,
    )
    at_s = np.array([0.0, 10.0, 12.0, 15.0, 20.0, 22.0, 25.0, 26.0, 27.0, 29.0, 30.0, 1e6])
    expected = [
        [0, 0], [0, 0], [20, 0], [50, 0], [50, 40], [50, 40], [50, 40],
        [50, 35], [50, 30], [50, 30], [50, 30], [200, 5],
    ]  # fmt: skip
    assert made.position_m(np.array([0]), at_s)[0] == pytest.approx(np.array(expected))
    assert made.names == ("7",)
    assert made.max_speed_mps == pytest.approx(10.0)
    assert made.presence_end_s(0, 1e9) == np.inf


def test_gpx_names_and_segments(tmp_path: Path) -> None:
    point = '<trkpt lat="{}" lon="8"><time>2026-01-01T00:00:{:02d}{}</time></trkpt>'
    tracks = [
        ("<name>a</name>", [(47.0, 30, "Z"), (47.001, 40, "Z")]),
        ("<name>a</name>", [(47.0, 10, "+00:00"), (47.001, 20, "")]),
        ("", [(47.0, 50, "Z")]),
    ]
    text = "".join(
        f"<trk>{name}<trkseg>" + "".join(point.format(*one) for one in points) + "</trkseg></trk>"
        for name, points in tracks
    )
    made = motion(tmp_path / "t", f"<gpx>{text}<rte><rtept lat='1' lon='1'/></rte></gpx>")
    assert made.names == ("a", "a (2)", "track 3")
    there = made.present(np.arange(3), np.array([0.0, 15.0, 25.0, 40.0]))
    assert there.tolist() == [
        [False, False, True, False], [True, False, False, False], [False, False, False, True],
    ]  # fmt: skip
    # A minute of latitude is a nautical mile, nearly: 0.001 degrees are 111.2 m at 47 degrees.
    assert made.max_speed_mps == pytest.approx(11.12, rel=1e-3)


def test_parquet_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"needs the package pyarrow: .* 'wnsim\[parquet\]'"):
        motion(tmp_path / "t", b"PAR1" + b"\x00" * 100)


@pytest.mark.skipif(not ARROW, reason="pyarrow is not installed")
def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    tracks = made_tracks()
    rows = [(t, n, x, y) for t, devices in by_time(tracks) for n, x, y in devices]
    table = pd.DataFrame(rows, columns=["timestep_time", "vehicle_id", "vehicle_x", "vehicle_y"])
    path = tmp_path / "t.parquet"
    table.to_parquet(path, engine="pyarrow")
    assert_same(Trace(file=str(path)).motion(3, (1.0, 1.0), 1), tracks, rounding_m=1e-9)
    data = path.read_bytes()
    for bad in (data[:-40], data[:200] + b"\xff" * 300 + data[500:], b"PAR1junk"):
        with pytest.raises(ValueError, match=r"Parquet file is damaged") as caught:
            motion(path, bad)
        assert "\n" not in str(caught.value)
    table["vehicle_x"] = np.nan
    table.to_parquet(path, engine="pyarrow")
    with pytest.raises(ValueError, match=":1: vehicle_x must be a finite number, got ''"):
        Trace(file=str(path)).motion(3, (1.0, 1.0), 1)
    table.drop(columns="vehicle_id").to_parquet(path, engine="pyarrow")
    with pytest.raises(ValueError, match="the columns must include timestep_time, vehicle_id"):
        Trace(file=str(path)).motion(3, (1.0, 1.0), 1)
    monkeypatch.setattr("wnsim.mobility.trace_files.samples.MAX_SAMPLES", 5)
    with pytest.raises(ValueError, match="at most 5 samples, got more"):
        Trace(file=str(path)).motion(3, (1.0, 1.0), 1)
