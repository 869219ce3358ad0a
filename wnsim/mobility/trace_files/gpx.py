"""Reader of GPX tracks of satellite navigation devices, one device per track.

A device is absent between the segments of its track. It is named by its track, or numbered if the
name is missing or taken. Waypoints, routes and points without a time are ignored. Times without an
offset are UTC.

Sources: GPX 1.1 schema documentation, Topografix (elements trk, trkseg, trkpt, ele, time, name).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from wnsim.mobility.trace_files.clock import date
from wnsim.mobility.trace_files.recorder import Recorder
from wnsim.mobility.trace_files.safe_xml import attribute, parse
from wnsim.mobility.trace_files.samples import BadRowError, Samples


def read_gpx(samples: Samples, content: Iterator[bytes]) -> None:
    """Read tracks."""
    samples.degrees = samples.complete = samples.wall_clock = True
    points = _Points(samples)
    parse(samples, content, points, root="gpx")
    points.finish()


class _Points:
    """Handler of tracks and their points."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._tracks = 0
        self._points = self._untimed = 0
        self._in_track = False
        self._given = ""
        self._recorder: Recorder | None = None
        self._point: tuple[float, float] | None = None
        self._time = ""
        self._z_m = math.nan

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        """Start a track, or store the position of a point."""
        if tag == "trk":
            self._tracks += 1
            self._in_track, self._given, self._recorder = True, "", None
        elif tag == "trkpt" and self._in_track:
            self._point, self._time, self._z_m = None, "", math.nan
            try:
                lon, lat = (
                    self._samples.number(
                        attribute(self._samples, tag, attributes, name, line), name, line
                    )
                    for name in ("lon", "lat")
                )
                self._point = self._samples.place_deg(lon, lat, line)
            except BadRowError as problem:
                self._samples.skip(problem)

    def end(self, tag: str, text: str, line: int) -> None:
        """Store a name, height or time, or end a point, a segment or a track."""
        if tag == "trk":
            self._in_track = False
        elif tag == "trkseg" and self._recorder is not None:
            self._recorder.end()
        elif tag == "name" and self._in_track and self._point is None:
            self._given = text.strip()
        elif tag == "time" and self._point is not None:
            self._time = text.strip()
        elif tag == "ele" and self._point is not None:
            self._z_m = self._samples.optional(text)
        elif tag == "trkpt" and self._point is not None:
            self._add(self._point, line)
            self._point = None

    def finish(self) -> None:
        """Note the points without a time, of which a trace may not consist."""
        if self._untimed and self._untimed == self._points:
            raise self._samples.error(
                f"none of the {self._points} points has a time: this is a planned route and no "
                "recording"
            )
        if self._untimed:
            self._samples.note(f"{self._untimed} of {self._points} points without a time ignored")

    def _add(self, point: tuple[float, float], line: int) -> None:
        """Add a point, if it has a time."""
        self._points += 1
        if not self._time:
            self._untimed += 1
            return
        try:
            when = date(self._samples, self._time, "trkpt", line)
            if self._recorder is None:
                self._recorder = Recorder(self._samples, self._name())
            self._recorder.point(when, *point, line, self._z_m)
        except BadRowError as problem:
            self._samples.skip(problem)

    def _name(self) -> str:
        """Return a name that no other track has."""
        unnamed = f"track {self._tracks}"
        if self._samples.several:
            unnamed = Path(self._samples.file).stem
        return self._samples.free_name(self._given or unnamed, self._tracks)
