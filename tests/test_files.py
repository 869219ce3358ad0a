"""Files as users have them: what is read from each, and the sentence with which others are refused.

The expected values are those of the programs that wrote the files, or of the files' own text.
"""

import importlib.util
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trace_writers import LAT_DEG, LON_DEG, degrees

from wnsim.mobility import Trace
from wnsim.mobility.trace_files import read
from wnsim.mobility.traces import TraceMotion

pytestmark = pytest.mark.quick

FILES = Path(__file__).parent / "files"
ARROW = importlib.util.find_spec("pyarrow") is not None
# Metres of 1e-5 degrees of longitude and latitude, by the radii of curvature there.
EAST_M, NORTH_M = (
    1e-5 * 1000.0 / np.subtract(degrees(1000.0, 1000.0), (LON_DEG, LAT_DEG))
).tolist()


@dataclass
class Read:
    """What must be read from a file.

    Parameters
    ----------
    names : names of the devices
    span_s : first and last instant at which one is present
    places_m : positions by device and instant
    note : part of a note; none: there must not be any
    options : keys of the scenario
    """

    names: tuple[str, ...]
    span_s: tuple[float, float]
    places_m: dict[tuple[str, float], tuple[float, float]]
    note: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


# Vehicle, person, vehicle and container, two of them with the id of the first; from the text of
# sumo/fcd.xml.
SUMO_NAMES = ("0", "0 (2)", "next", "0 (3)")
SUMO_PLACES = {
    ("0", 3.0): (17.38, 7.55),
    ("0 (2)", 5.0): (5.34, -2.58),
    ("next", 11.0): (86.19, 44.63),
    ("0 (3)", 6.0): (13.24, 2.36),
}
SUMO = Read(SUMO_NAMES, (2.0, 11.0), SUMO_PLACES)
EAST = {("ann", 4.0): (4 * EAST_M, 0.0), ("ann", 10.0): (10 * EAST_M, 0.0)}
PAIR = EAST | {("bob", 7.0): (7 * EAST_M, 10 * NORTH_M)}
LASTS = math.inf

READ: dict[str, Read] = {
    "sumo/fcd.xml": SUMO,
    "sumo/fcd.xml.gz": SUMO,
    "sumo/fcd.csv": SUMO,
    "sumo/fcd.parquet": SUMO,
    "sumo/human-time.xml": SUMO,
    "sumo/human-time.csv": SUMO,
    "sumo/human-time.parquet": SUMO,
    "sumo/plain-names.csv": SUMO,
    "sumo/commas.csv": SUMO,
    "sumo/x-y-only.xml": SUMO,
    "sumo/z.xml": SUMO,
    "sumo/days.csv": Read(
        SUMO_NAMES, (90_002.0, 90_011.0),
        {(name, 90_000.0 + t_s): place for (name, t_s), place in SUMO_PLACES.items()},
    ),
    "sumo/days.xml": Read(
        SUMO_NAMES, (0.0, 9.0),
        {(name, t_s - 2.0): place for (name, t_s), place in SUMO_PLACES.items()},
        options={"start": "first"},
    ),
    "sumo/killed.xml": Read(
        ("0",), (2.0, 8.0), {("0", 3.0): (17.38, 7.55)}, "1 row left out: ", {"on_bad_row": "skip"}
    ),
    "sumo/mesoscopic.csv": Read(SUMO_NAMES, (2.0, 11.0), {("0", 2.0): (1.99, -3.70)}),
    "sumo/teleport.xml": Read(
        ("block", "jam"), (0.0, 29.0), {("jam", 11.0): (46.97, 23.49)},
        "1 teleport is an absence: 'jam' before 14 s",
    ),
    "sumo/utm.xml": Read(("0",), (2.0, 11.0), {}),
    "ns2/comments.tcl": Read(
        ("0", "1"), (0.0, LASTS),
        {("0", 5.0): (10, 20), ("0", 7.5): (35, 20), ("0", 99.0): (60, 20), ("1", 12.0): (0, 15)},
    ),
    "ns2/set-inside-at.tcl": Read(
        ("0",), (0.0, LASTS),
        {("0", 0.0): (100, 50), ("0", 3.0): (120, 50), ("0", 7.9): (140, 50),
         ("0", 8.0): (300, 50), ("0", 9.5): (300, 60)},
    ),
    "ns2/ns3-manual.tcl": Read(("0",), (0.0, LASTS), {("0", 6.0): (15, 20), ("0", 11.0): (30, 40)}),
    "ns2/sumo-exporter.tcl": Read(("0", "1"), (0.0, LASTS), {("0", 0.0): (5.25, 1.01)}),
    "bonnmotion/flat.movements": Read(
        ("0", "1"), (0.0, LASTS), {("0", 5.0): (35, 10), ("1", 9.0): (5, 5)}
    ),
    "bonnmotion/solid.movements": Read(
        ("0", "1"), (0.0, LASTS), {("0", 5.0): (35, 10), ("1", 9.0): (5, 5)},
        options={"heights": "drop"},
    ),
    "gpx/two-walkers.gpx": Read(("ann", "bob"), (0.0, 20.0), PAIR),
    "gpx/some-without-time.gpx": Read(
        ("ann",), (0.0, 20.0), EAST, "2 of 21 points without a time ignored"
    ),
    "gpx/whole-seconds.gpx": Read(
        ("ann",), (0.0, 10.0), {("ann", 4.0): (4 * EAST_M, 0), ("ann", 4.5): (4.5 * EAST_M, 0)}
    ),
    "gpx/segments.gpx": Read(("ann",), (0.0, 20.0), {("ann", 16.0): (16 * EAST_M, 0.0)}),
    "gpx/group": Read(("ann", "bob"), (0.0, 20.0), PAIR, "notes.txt: ignored, being no trace"),
    "gpx/without-fix.gpx": Read(
        ("ann",), (0.0, 20.0), EAST, "1 row left out: .*receivers report without a fix",
        {"on_bad_row": "skip"},
    ),
    "geolife/Data": Read(
        ("007", "008"), (0.0, 30.0),
        {("007", 4.0): (4 * EAST_M, 0), ("008", 15.0): (15 * EAST_M, 10 * NORTH_M)},
        "labels.txt: ignored",
    ),
    "geolife/one.plt": Read(("one",), (0.0, 30.0), {("one", 15.0): (15 * EAST_M, 0)}),
    "nmea/walk.nmea": Read(("walk",), (0.0, 15.0), {("walk", 4.0): (4 * EAST_M, 0)}),
    "nmea/gga-over-midnight.log": Read(
        ("gga-over-midnight",), (0.0, 10.0), {("gga-over-midnight", 7.0): (7 * EAST_M, 0)}
    ),
    "nmea/checksum.nmea": Read(
        ("checksum",), (0.0, 5.0), {("checksum", 3.0): (3 * EAST_M, 0)},
        "1 row left out: .*:3: the checksum", {"on_bad_row": "skip"},
    ),
    "kml/track.kml": Read(("ann",), (0.0, 10.0), {("ann", 4.0): (4 * EAST_M, 0)}),
    "kml/time-stamps.kml": Read(("bob",), (0.0, 10.0), {("bob", 4.0): (4 * EAST_M, 0)}),
    "cabspotting": Read(
        ("abcdef", "ghijkl"), (0.0, 540.0),
        {("abcdef", 60.0): (60 * EAST_M, 0), ("ghijkl", 150.0): (150 * EAST_M, 100 * NORTH_M)},
    ),
    "cabspotting/new_abcdef.txt": Read(
        ("abcdef",), (0.0, 540.0), {("abcdef", 60.0): (60 * EAST_M, 0)}
    ),
    "csv/by-user.csv": Read(
        ("ann", "bob"), (0.0, 5.0), {("ann", 2.5): (25, 0), ("bob", 5.0): (51, 1)}
    ),
    "csv/dates.csv": Read(
        ("ann", "bob"), (0.0, 5.0),
        {("ann", 4.0): (4 * EAST_M, 0), ("bob", 5.0): (5 * EAST_M, 10 * NORTH_M)},
    ),
    "csv/unix-times.csv": Read(
        ("ann",), (0.0, 3.0), {("ann", 1.0): (3, 0)}, options={"start": "2026-03-01T12:00:02Z"}
    ),
    "csv/bad-rows.csv": Read(
        ("ann",), (0.0, 4.0), {("ann", 4.0): (4, 0)},
        "3 rows left out: .*:3: x_m must be .*:4: a line must have 4 .*:6: time must not run",
        {"on_bad_row": "skip", "max_gap_s": 5.0},
    ),
    "csv/come-and-go.csv": Read(
        ("car 2", "car 3", "car 4"), (2.0, 10.0), {("car 3", 6.0): (3, 6)},
        options={"present_at": 6.0},
    ),
}  # fmt: skip

REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "sumo/killed.xml": ("the XML is not well-formed: unclosed token", {}),
    "sumo/nobody.csv": ("a trace must have at least one sample, got none", {}),
    "sumo/no-names.csv": ("the first line must be t_s,id,x_m,y_m", {}),
    "sumo/x-y-only.csv": (
        ":5: an id may occur once at an instant, got '0' twice at 2 s; vehicles and persons with",
        {},
    ),
    "sumo/road.net.xml": ("this is a SUMO road network; the trace is written by sumo", {}),
    "sumo/routes.rou.xml": ("this is a SUMO file of routes", {}),
    "sumo/tripinfo.xml": ("this is SUMO tripinfo output, which has no positions", {}),
    "sumo/netstate.xml": ("this is SUMO netstate output, which has no coordinates", {}),
    "ns2/packets.tr": ("this is a packet trace of ns-2, which has no motion", {}),
    "bonnmotion/solid.movements": (
        ":1: a line must have 3 values for each waypoint, or 4 with the option heights: drop", {}),
    "gpx/planned.gpx": ("none of the 5 points has a time: this is a planned route", {}),
    "gpx/two-walkers.gpx": ("this is a GPX file, and not a trace with the root element fcd-export",
                            {"format": "sumo-fcd"}),
    "gpx/without-fix.gpx": ("a place must not be at 0, 0", {}),
    "nmea/checksum.nmea": (":3: the checksum must be that of the sentence", {}),
    "kml/places.kml": ("none of the 1 placemarks has a time", {}),
    "cabspotting/new_abcdef.txt": ("a device without motion must have its only waypoint at 0 s",
                                   {"format": "bonnmotion", "heights": "drop"}),
    "csv/bad-rows.csv": (":3: x_m must be a finite number, got ''", {}),
    "csv/rides.csv": ("the first line must be t_s,id,x_m,y_m", {}),
    "csv/matrix.txt": ("a device without motion must have its only waypoint at 0 s", {}),
    "csv/by-user.csv": ("start must be seconds or first, since the trace has no dates",
                        {"start": "2026-03-01"}),
    "other/raster.tif": ("this is a TIFF image, such as a GeoTIFF", {}),
    "other/traces.zip": ("this is a zip archive .*unpack", {}),
    "other/city.osm": ("this is an OpenStreetMap file, which has roads and no devices", {}),
    "other/points.geojson": ("this is GeoJSON", {}),
    "other/login.html": ("this is a web page", {}),
    "other/run.tcx": ("this is a Garmin TCX recording: convert it to GPX", {}),
    "other/run.fit": ("this is a Garmin FIT recording: convert it to GPX", {}),
    "other/positions.pkl": ("this is a Python pickle, which is never read", {}),
    "other/positions.npy": ("this is a NumPy array", {"format": "csv"}),
    "other/export.h5": ("this is an HDF5 file", {}),
    "other/flight.igc": ("this is an IGC flight log: convert it to GPX", {}),
    "links/gains.csv": ("this is a table of measured links: it belongs to channel.replay", {}),
}  # fmt: skip


def motion(name: str, count: int, **options: Any) -> TraceMotion:
    if name.endswith("parquet") and not ARROW:
        pytest.skip("pyarrow is not installed")
    return Trace(file=str(FILES / name), **options).motion(count, (1.0, 1.0), 1)


def span_s(made: TraceMotion) -> tuple[float, float]:
    """Return the first and the last instant at which a device is present."""
    changes_s, t_s = [], -1.0
    while not math.isinf(t_s := made.next_change_s(t_s)):
        changes_s.append(t_s)
    if made.present(np.arange(len(made.names)), np.array([1e9])).any():
        changes_s.append(math.inf)
    return changes_s[0], changes_s[-1]


@pytest.mark.parametrize("name", READ)
def test_files_that_are_read(name: str) -> None:
    want = READ[name]
    made = motion(name, len(want.names), **want.options)
    assert made.names == want.names
    assert span_s(made) == want.span_s
    # Coordinates in files in degrees have 6 decimals, 0.06 m; NMEA and cabspotting 5, 0.6 m.
    rounding_m = 0.6 if name.startswith("cab") else 0.06
    for (device, t_s), place_m in want.places_m.items():
        number = np.array([made.names.index(device)])
        assert made.present(number, np.array([t_s]))[0, 0]
        found_m = made.position_m(number, np.array([t_s]))[0, 0]
        assert found_m == pytest.approx(place_m, abs=rounding_m), (device, t_s)
    assert bool(made.notes) == (want.note is not None), made.notes
    if want.note is not None:
        assert any(re.search(want.note, note) for note in made.notes), made.notes


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_refused(name: str) -> None:
    sentence, options = REFUSED[name]
    with pytest.raises(ValueError, match=f"{name}.*{sentence}") as caught:
        motion(name, 1, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["sumo/geo.xml", "sumo/geo.csv"])
def test_geographic_output_of_sumo_has_the_distances_of_plain_output(name: str) -> None:
    """SUMO's plain positions are UTM; its scale is 0.9996 to 1.0004 near the middle of a zone."""
    geographic, plain = motion(name, 4), motion("sumo/fcd.xml", 4)
    assert geographic.names == plain.names
    assert any("taken for longitude and latitude" in note for note in geographic.notes)
    found, wanted = (
        np.diff(made.position_m(np.array([0, 1]), np.array([5.0, 11.0])), axis=1)[:, 0]
        for made in (geographic, plain)
    )
    # 6 decimals of a degree, 0.06 m, at both ends.
    assert np.hypot(*found.T) == pytest.approx(np.hypot(*wanted.T), rel=1e-3, abs=0.2)
    meters = motion(name, 1, coordinates="meters")
    assert meters.position_m(np.array([0]), np.array([5.0]))[0, 0] == pytest.approx(
        [11.50, 48.10], abs=0.01
    )


def test_plain_output_of_sumo_is_taken_for_meters() -> None:
    assert motion("sumo/fcd.xml", 4, coordinates="auto").notes == ()


def test_a_teleport_is_an_absence_of_its_device() -> None:
    """The text of the file has 46.97, 23.49 at 13 s and 224.30, 120.94 a second later."""
    made = motion("sumo/teleport.xml", 2)
    at_s = np.array([13.0, 13.5, 14.0])
    assert made.present(np.arange(2), at_s).tolist() == [[True] * 3, [True, False, True]]
    # SUMO's car has 13 m/s there, and none of its moves is faster than 1.1 of that.
    assert made.max_speed_mps < 14.3


def test_segments_of_a_recording_end_presence() -> None:
    made = motion("gpx/segments.gpx", 1)
    at_s = np.array([4.9, 5.1, 14.9, 15.1])
    assert made.present(np.array([0]), at_s)[0].tolist() == [True, False, False, True]
    assert made.presence_end_s(0, 1.0) == 5.0


def test_equal_whole_seconds_are_spread_over_the_second() -> None:
    """Two points a second, 0.5e-5 degrees apart: a steady walk, and no jump of both at once."""
    made = motion("gpx/whole-seconds.gpx", 1)
    assert made.max_speed_mps == pytest.approx(EAST_M, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "heights_m"),
    [
        # Feet are rounded to whole ones.
        ("gpx/two-walkers.gpx", {0: 400.0, 10: 401.0}),
        ("geolife/one.plt", {0: 400.0, 10: 401.0}),
        ("nmea/walk.nmea", {0: 400.0, 10: 401.0}),
        ("kml/track.kml", {0: 400.0, 10: 401.0}),
        ("csv/dates.csv", {0: 400.0, 5: 400.5}),
        ("bonnmotion/solid.movements", {0: 1.0, 1: 2.0}),
        ("ns2/comments.tcl", {0: 1.5}),
        ("sumo/fcd.xml", {0: 500.08, 1: 500.30}),
        ("sumo/fcd.csv", {0: 500.08, 1: 500.30}),
        ("sumo/z.xml", {0: 500.08, 1: 500.30}),
        ("sumo/x-y-only.xml", None),
        ("csv/by-user.csv", None),
    ],
)
def test_heights_are_kept_where_a_format_has_them(
    name: str, heights_m: dict[int, float] | None
) -> None:
    tracks, _ = read(str(FILES / name), "auto", heights=name.startswith("bonn"))
    found_m = next(iter(tracks.by_name.values())).heights_m
    assert (found_m is None) == (heights_m is None)
    if found_m is not None and heights_m is not None:
        assert [found_m[at] for at in heights_m] == pytest.approx(
            list(heights_m.values()), abs=0.16
        )


@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_end_in_one_sentence(tmp_path: Path, seed: int, on_bad_row: str) -> None:
    draws = np.random.default_rng(seed)
    for name in [*READ, *REFUSED]:
        source = FILES / name
        if source.is_dir() or name.endswith(("parquet", "gz")):
            continue
        data = bytearray(source.read_bytes())
        for place in draws.integers(len(data), size=5):
            data[place] = draws.integers(256)
        damaged = tmp_path / source.name
        damaged.write_bytes(data[: draws.integers(1, len(data) + 1)])
        options = {**(READ[name].options if name in READ else {}), "on_bad_row": on_bad_row}
        for key in ("present_at", "start"):
            options.pop(key, None)
        problem = ""
        try:
            Trace(file=str(damaged), **options).motion(1, (1.0, 1.0), 1)
        except ValueError as error:
            problem = str(error)
        assert problem == "" or problem.startswith(str(damaged))
        assert "\n" not in problem
