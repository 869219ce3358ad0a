"""Reader of KML: tracks with times (gx:Track), and placemarks with a time stamp and a point.

A placemark with tracks is a device, and each of its tracks a segment. Points with time stamps
belong to the device that their folder names, or the file. Geometries without times are ignored.

Sources: OGC 07-147r2, "KML"; Google, "KML reference", gx:Track (elements when and gx:coord, in
equal numbers: longitude, latitude and height, separated by spaces).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wnsim.mobility.trace_files import samples as bounds
from wnsim.mobility.trace_files.clock import date
from wnsim.mobility.trace_files.recorder import Recorder
from wnsim.mobility.trace_files.safe_xml import parse
from wnsim.mobility.trace_files.samples import BadRowError, Samples

_CONTAINERS = ("Document", "Folder")


def read_kml(samples: Samples, content: Iterator[bytes]) -> None:
    """Read tracks, and points with time stamps."""
    samples.degrees = samples.complete = samples.wall_clock = True
    points = _Placemarks(samples)
    parse(samples, content, points, root="kml")
    points.finish()


class _Placemarks:
    """Handler of placemarks."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        # Of points with time stamps, by folder.
        self._recorders: dict[str, Recorder] = {}
        self._tracks = 0
        # Names of the open folders.
        self._folders: list[str] = []
        self._in_placemark = self._in_track = False
        self._name = ""
        self._track: Recorder | None = None
        self._when: list[tuple[str, int]] = []
        self._coordinates: list[tuple[str, int]] = []
        self._untimed = 0
        self._found = False

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        """Begin a folder, a placemark or a track."""
        if tag in _CONTAINERS:
            self._folders.append("")
        elif tag == "Placemark":
            self._in_placemark = True
            self._name, self._track = "", None
        if tag in ("Placemark", "Track"):
            self._in_track = tag == "Track"
            self._when, self._coordinates = [], []

    def end(self, tag: str, text: str, line: int) -> None:
        """Store a name, time or position, or end a placemark or a track."""
        if tag in _CONTAINERS and self._folders:
            self._folders.pop()
        elif tag == "name" and self._in_placemark:
            self._name = self._name or text.strip()
        elif tag == "name" and self._folders:
            self._folders[-1] = text.strip()
        elif tag == "when":
            self._collect(self._when, text, line)
        elif tag == "coord" or (tag == "coordinates" and not self._in_track):
            self._collect(self._coordinates, text, line)
        elif tag == "Track":
            self._end_track(line)
        elif tag == "Placemark":
            self._end_placemark()

    def finish(self) -> None:
        """End all tracks, and note what was ignored."""
        for recorder in self._recorders.values():
            recorder.end()
        if self._untimed and self._found:
            self._samples.note(f"{self._untimed} placemarks without a time were ignored")
        elif self._untimed:
            raise self._samples.error(
                f"none of the {self._untimed} placemarks has a time: a trace needs a gx:Track, or "
                "points with a TimeStamp"
            )

    def _collect(self, found: list[tuple[str, int]], text: str, line: int) -> None:
        """Store a time or position."""
        if len(found) >= bounds.MAX_SAMPLES:
            raise self._samples.error(
                f"a trace may have at most {bounds.MAX_SAMPLES} samples, got more", line
            )
        found.append((text.strip(), line))

    def _end_track(self, line: int) -> None:
        """Pass on the points of a track."""
        self._in_track = False
        if self._track is None:
            self._tracks += 1
            name = self._name or f"track {self._tracks}"
            name = self._samples.free_name(name, self._tracks)
            self._track = Recorder(self._samples, name)
        self._found = True
        if len(self._when) != len(self._coordinates):
            self._samples.skip(
                self._samples.bad_row(
                    "a gx:Track must have as many gx:coord as when, got "
                    f"{len(self._coordinates)} for {len(self._when)}",
                    line,
                )
            )
        else:
            for (when, _), (place, place_line) in zip(self._when, self._coordinates, strict=True):
                # An empty position is that of a receiver without a fix.
                if place:
                    self._add(self._track, when, place.split(), place_line)
        self._track.end()
        self._when, self._coordinates = [], []

    def _end_placemark(self) -> None:
        """Pass on a point with a time stamp."""
        self._in_placemark = False
        if self._track is not None:
            return
        if not self._when or not self._coordinates or " " in self._coordinates[0][0]:
            self._untimed += 1
            return
        name = next((name for name in reversed(self._folders) if name), "")
        name = name or Path(self._samples.file).stem
        if name not in self._recorders:
            self._recorders[name] = Recorder(self._samples, self._samples.free_name(name))
        self._found = True
        place, line = self._coordinates[0]
        self._add(self._recorders[name], self._when[0][0], place.split(","), line)

    def _add(self, recorder: Recorder, when: str, place: list[str], line: int) -> None:
        """Add a point."""
        try:
            if len(place) not in (2, 3):
                raise self._samples.bad_row(
                    f"a position must have 2 or 3 coordinates, got {len(place)}", line
                )
            lon, lat = (
                self._samples.number(text, what, line)
                for text, what in zip(place[:2], ("longitude", "latitude"), strict=True)
            )
            z_m = self._samples.optional(place[2] if len(place) > 2 else None)
            recorder.point(date(self._samples, when, "point", line), lon, lat, line, z_m)
        except BadRowError as problem:
            self._samples.skip(problem)
