"""Reader of GPX tracks of satellite navigation devices, one device per track.

Time starts at the earliest point of the file. A device is named by its track, or numbered if the
name is missing or taken. Waypoints, routes and heights are ignored. Times without an offset are
UTC.

Sources: GPX 1.1 schema documentation, Topografix (elements trk, trkseg, trkpt, time, name).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from wnsim.mobility.trace_files.safe_xml import attribute, parse
from wnsim.mobility.trace_files.samples import Samples


def read_gpx(samples: Samples, content: Iterator[bytes]) -> None:
    """Read tracks."""
    samples.degrees = samples.complete = True
    parse(samples, content, _Points(samples))


class _Points:
    """Handler of tracks and their points."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._tracks = 0
        self._taken: set[str] = set()
        self._in_track = False
        self._given = ""
        self._name = ""
        self._point: tuple[float, float] | None = None
        self._time = ""
        self._first: datetime | None = None

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        """Start a track, or store the position of a point."""
        if tag == "trk":
            self._tracks += 1
            self._in_track, self._given, self._name = True, "", ""
        elif tag == "trkpt" and self._in_track:
            lon, lat = (
                self._samples.number(
                    attribute(self._samples, tag, attributes, name, line), name, line
                )
                for name in ("lon", "lat")
            )
            self._point, self._time = (lon, lat), ""

    def end(self, tag: str, text: str, line: int) -> None:
        """Store a name or a time, or end a point or a track."""
        if tag == "trk":
            self._in_track = False
        elif tag == "name" and self._in_track and self._point is None:
            self._given = text.strip()
        elif tag == "time" and self._point is not None:
            self._time = text.strip()
        elif tag == "trkpt" and self._point is not None:
            if not self._name:
                self._name = self._choose_name()
            self._samples.add_at(self._name, self._elapsed_s(line), *self._point, line)
            self._point = None

    def _choose_name(self) -> str:
        """Return a name that no other track has."""
        name = self._given or f"track {self._tracks}"
        while name in self._taken:
            name += f" ({self._tracks})"
        self._taken.add(name)
        return name

    def _elapsed_s(self, line: int) -> float:
        """Return a point's time since the first point read [s]."""
        try:
            when = datetime.fromisoformat(self._time)
        except ValueError:
            raise self._samples.error(
                f"a trkpt must have a time in ISO 8601, got {self._time[:40]!r}", line
            ) from None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        self._first = self._first or when
        return (when - self._first).total_seconds()
