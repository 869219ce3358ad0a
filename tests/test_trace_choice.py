"""What a run uses of a trace: its origin of time, its duration, and its devices."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from trace_writers import motion

from wnsim.mobility import Trace, first_presence_s
from wnsim.scenario.__main__ import main

pytestmark = pytest.mark.quick

# Presence: a 0-3 s, b 2-10 s, c 5-6 s and 9-10 s, d 8-20 s.
TABLE = "t_s,id,x_m,y_m\n" + "".join(
    f"{t},{name},{t},0\n"
    for name, spans in {
        "a": [(0, 3)], "b": [(2, 10)], "c": [(5, 6), (9, 10)], "d": [(8, 20)],
    }.items()
    for begin, end in spans
    for t in range(begin, end + 1)
)  # fmt: skip
DATED = "time,id,lon_deg,lat_deg\n" + "".join(
    f"2026-03-01T12:00:{second:02d}+01:00,a,8.5,47.4\n" for second in range(10, 20)
)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ("a", "b")),
        ({"start": 4.0}, ("b", "c")),
        ({"start": 4.0, "duration_s": 3.0}, ("b", "c")),
        ({"start": 7.0, "duration_s": 0.5}, ("b",)),
        ({"start": 11}, ("d",)),
        ({"present_at": 2.5}, ("a", "b")),
        ({"present_at": 5.5}, ("b", "c")),
        ({"start": 5.0, "present_at": 4.0}, ("b", "c", "d")),
        ({"choose": "longest"}, ("b", "d")),
        ({"choose": "longest", "duration_s": 9.0}, ("a", "b")),
        ({"ids": ["d", "a"]}, ("d", "a")),
    ],
)
def test_devices(tmp_path: Path, options: dict[str, object], names: tuple[str, ...]) -> None:
    if "ids" in options:
        options = options | {"ids": ("d", "a")}
    made = motion(tmp_path / "t.csv", TABLE, count=len(names), **options)
    assert made.names == names


def test_start_is_the_origin_of_time(tmp_path: Path) -> None:
    made = motion(tmp_path / "t.csv", TABLE, count=2, start=4.0)
    at_s = np.array([0.0, 1.5, 7.0])
    assert made.position_m(np.array([0]), at_s)[0, :, 0].tolist() == [4.0, 5.5, 10.0]
    # Before 0 s a position is that at 0 s, although the trace is longer.
    assert made.position_m(np.array([0]), np.array([-2.0]))[0, 0, 0] == 4.0
    assert made.present(np.arange(2), np.array([0.0, 1.0, 2.5, 6.0])).tolist() == [
        [True] * 4,
        [False, True, False, True],
    ]


def test_duration_ends_presence(tmp_path: Path) -> None:
    made = motion(tmp_path / "t.csv", TABLE, count=2, start=4.0, duration_s=2.5)
    assert made.presence_end_s(0, 0.0) == 2.5
    assert made.next_change_s(2.5) == math.inf
    forever = motion(
        tmp_path / "t.tcl", "$node_(0) set X_ 1\n$node_(0) set Y_ 1\n", count=1, duration_s=2.5
    )
    assert forever.presence_end_s(0, 0.0) == 2.5


def test_dates(tmp_path: Path) -> None:
    made = motion(tmp_path / "t.csv", DATED, count=1, start="2026-03-01T11:00:05Z")
    # The first sample is at 12:00:10 in Zurich, 11:00:10 UTC.
    assert first_presence_s(made) == 5.0
    assert motion(tmp_path / "t.csv", DATED, count=1, start=-5.0).next_change_s(0.0) == 5.0
    assert motion(tmp_path / "t.csv", DATED, count=1).presence_end_s(0, 0.0) == 9.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "noon"}, "start must be auto, first, seconds or a date in ISO 8601, got 'noon'"),
        ({"start": 21.0}, "must be present between 0 s and inf s, got a trace from -21 s to -1 s"),
        ({"start": 12.0}, "as many devices as the scenario, got 1 for 2"),
        ({"present_at": 3.5}, "got 1 for 2 at 3.5 s"),
        ({"ids": ("a", "e")}, r"ids must be devices of the trace \(a, b, c, d\), got 'e'"),
        ({"ids": ("a",)}, "ids must name each device of the scenario once, got 1 names for 2"),
        ({"ids": ("a", "a")}, "ids must name each device of the scenario once, got 1 names for 2"),
    ],
)
def test_errors(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"t\.csv: .*{message}"):
        motion(tmp_path / "t.csv", TABLE, count=2, **options)


def test_options_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="ids name the devices: leave out present_at and choose"):
        Trace(file="t", ids=("a",), choose="longest")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    assert motion(tmp_path / "t.csv", TABLE, count=1).names == ("a",)
    assert motion(tmp_path / "t.csv", TABLE.replace(",a,", ",first,"), count=1).names == ("first",)


def test_several_files(tmp_path: Path) -> None:
    text = "<gpx><trk><trkseg><trkpt lat='47' lon='8'><time>{}</time></trkpt></trkseg></trk></gpx>"
    for name, when in (("b", "2026-01-01T00:00:05Z"), ("a", "2026-01-01T00:00:00Z")):
        (tmp_path / f"{name}.gpx").write_text(text.format(when), "utf-8")
    files = [str(tmp_path / "b.gpx"), str(tmp_path / "a.gpx")]
    made = Trace(file=tuple(files)).motion(2, (1.0, 1.0), 1)
    assert made.names == ("b", "a")
    assert made.present(np.arange(2), np.array([0.0, 5.0])).tolist() == [
        [False, True],
        [True, False],
    ]
    (tmp_path / "t.csv").write_text(TABLE, "utf-8")
    with pytest.raises(ValueError, match=r"t\.csv: several files must be recordings with dates"):
        Trace(file=(str(tmp_path / "t.csv"), files[0])).motion(1, (1.0, 1.0), 1)
    with pytest.raises(ValueError, match="a file must be named once, got it twice"):
        Trace(file=(files[0], files[0])).motion(1, (1.0, 1.0), 1)


def test_a_run_without_any_device_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("t_s,id,x_m,y_m\n500,a,0,0\n500,b,9,0\n510,a,0,9\n510,b,9,9\n")
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: s\ndevices: {count: 2}\nmobility: {model: trace, file: t.csv}\n"
        "traffic: {size_bytes: 1000, neighbors: 1, rounds: 1}\n"
    )
    out = tmp_path / "out"
    assert main([str(path), "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "note: no device is present before 500 s" in said
    assert "note: seed=1: no device was present from 0 s to the end of the run at " in said
    (note,) = json.loads((out / "seed=1" / "manifest.json").read_text("utf-8"))["notes"]
    assert note.startswith("no device was present")
    assert main([str(path), "--out", str(tmp_path / "b"), "--set", "mobility.start=first"]) == 0
    assert "no device" not in capsys.readouterr().err
