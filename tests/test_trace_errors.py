"""Trace formats: one clear sentence for each bad file."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from trace_writers import WRITERS, as_bonnmotion, as_gpx, as_ns2, as_sumo_csv, made_tracks, motion

NS2 = as_ns2(made_tracks())
GPX = as_gpx(made_tracks())
BONN = as_bonnmotion(made_tracks())
TABLE = as_sumo_csv(made_tracks())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NS2.replace("set X_ 0.0", "set X_ nan", 1), ":3: X_ must be a finite number, got 'nan'"),
        (NS2.replace("$node_(0) set Y_", "$node_(3) set Y_", 1), "node 0 must have a place"),
        (NS2.replace("at 0.0 ", "at -1.0 ", 1), ":6: time and speed must be at least 0"),
        (NS2.replace(" 10.0\"", " -1.0\"", 1), ":6: time and speed must be at least 0"),
        (NS2.replace("setdest 10.0", "setdest", 1), r":6: a line about motion must be "),
        (
            NS2.replace(" 10.0\"", " 1e-300\"", 1),
            ":6: speed must be 0 or reach the destination, got 1e-300",
        ),
        (NS2.encode().replace(b"God", b"G\xf6d"), ":2: text must be UTF-8"),
        (BONN.replace("1.0 10.0", "1.0 ten", 1), ":1: x must be a finite number, got 'ten'"),
        (BONN.replace("2.0 20.0", "0.5 20.0", 1), ":1: time must not run backwards, got 0.5 s"),
        (BONN.replace("2.0 20.0", "1.0 20.0", 1), ":1: an id may occur once at an instant"),
        (BONN.replace("\n", " 1\n", 1), ":1: a line must have 3 values for each waypoint, got 64"),
        ("0 1 2 3 4 5 6 7\n",
         ":1: a line must have 3 values for each waypoint, or 4 with the option heights.*got 8"),
        ("10 52.1 13.4 30\n", ":1: a line must have 3 values for each waypoint, got 4"),
        ("52.1 13.4 30\n52.2 13.5 31\n", ":1: a device without motion must have its only waypoint"),
        (BONN + "1 2", ":4: a line must have 3 values for each waypoint, got 2"),
        (BONN + "1 nan 2", ":4: x must be a finite number"),
        (gzip.compress(BONN.encode())[:-15], "the compressed file is truncated"),
        (GPX.replace("Z</time>", "</time>", 1).replace("12:00:01", "noon", 1),
         "a trkpt must have a time in ISO 8601, got '2026-03-01Tnoon"),
        (GPX.replace("12:00:03", "12:00:01", 1), "time must not run backwards, got 1 s after 2 s"),
        (GPX.replace("12:00:03", "12:00:02", 1), "an id may occur once at an instant, got '0'"),
        (GPX.replace(' lon="', ' long="'), ":[45]: a trkpt must have the attribute 'lon'"),
        (GPX.replace('lat="47.4', 'lat="97.4', 1), "latitudes must be from -90 to 90, got 97.4"),
        (GPX.replace('lat="47.4', 'lat="57.4', 1), "places must lie within 500 km of their middle"),
        (GPX.replace('lon="8.5', 'lon="400.5', 1), "longitudes must be from -180 to 360, got 400"),
        ('<!DOCTYPE gpx [<!ENTITY a "b">]>\n<gpx><trk>&a;</trk></gpx>',
         "document types and entities are refused in XML"),
        ("<gpx/>", "a trace must have at least one sample, got none"),
        (GPX[:1000], "the XML is not well-formed"),
        (TABLE.replace("vehicle_x", "vehicle_z"), ":1: the columns must include timestep_time, "),
        (TABLE.replace("1.00;12.5;0;", "1.00;0;", 1), ":5: a line must have 6 values, got 5"),
        (TABLE.replace("1.00;12.5;0;", "1.00;12.5;;", 1), ":5: an id must have 1 to 200 "),
        (TABLE.replace("1.00;12.5;1;", "1.00;12.5;0;", 1), ":6: an id may occur once at an "),
        (TABLE.replace("1.00;12.5;0;", "-1;12.5;0;", 1), ":5: time must not run backwards"),
        (TABLE.replace("1.00;12.5;0;", "00:61:01;12.5;0;", 1),
         ":5: timestep_time must be seconds, H:M:S or D:H:M:S, got '00:61:01'"),
        (TABLE.replace(";lane;10;", ";lane;inf;", 1), ":5: vehicle_x must be a finite number"),
        (TABLE.replace(";lane;10;", ';"lane;10;', 1), ":[0-9]+: the line is not comma-separated"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "bad.trace"
    with pytest.raises(ValueError, match="^" + re.escape(str(path)) + ".*" + message) as caught:
        motion(path, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "unit"), [("gpx", "meters"), ("ns-2", "degrees"), ("csv", "degrees")]
)
def test_coordinates_that_contradict_the_format(tmp_path: Path, name: str, unit: str) -> None:
    with pytest.raises(ValueError, match=f"coordinates must be (meters|degrees) here, got {unit}"):
        motion(tmp_path / "t", WRITERS[name](made_tracks()), coordinates=unit)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_files_never_escape(tmp_path: Path, seed: int) -> None:
    draws = np.random.default_rng(seed)
    for name, writer in WRITERS.items():
        data = bytearray(writer(made_tracks()).encode())
        for place in draws.integers(len(data), size=3):
            data[place] = draws.integers(256)
        options = {"format": name.split(" ")[0]}
        problem = ""
        try:
            motion(tmp_path / "t", bytes(data[: draws.integers(1, len(data))]), count=1, **options)
        except ValueError as error:
            problem = str(error)
        assert problem == "" or problem.startswith(str(tmp_path))
        assert "\n" not in problem
