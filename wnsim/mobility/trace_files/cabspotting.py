"""Reader of taxi traces in the form of cabspotting: one file per cab, newest line first.

A line has latitude, longitude, occupancy (0 or 1) and Unix time [s]. A device has the name of its
file without `new_`.

Sources: Piorkowski, Sarafijanovic-Djukic, Grossglauser, "CRAWDAD dataset epfl/mobility", 2009.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from wnsim.mobility.trace_files import samples as bounds
from wnsim.mobility.trace_files.content import lines
from wnsim.mobility.trace_files.recorder import Recorder
from wnsim.mobility.trace_files.samples import BadRowError, Samples

_WIDTH = 4
# Unix times from 1970 to 2100 [s].
_LATEST_S = 4_102_444_800.0


def read_cabspotting(samples: Samples, content: Iterator[bytes]) -> None:
    """Read the positions of a cab, in either order of time."""
    samples.degrees = samples.complete = samples.wall_clock = True
    # Positions: time, longitude, latitude, line.
    found: array[float] = array("d")
    for line, text in enumerate(lines(samples, content), start=1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            found.extend(_position(samples, words, line))
        except BadRowError as problem:
            samples.skip(problem)
        if len(found) > _WIDTH * bounds.MAX_SAMPLES:
            raise samples.error(
                f"a trace may have at most {bounds.MAX_SAMPLES} samples, got more", line
            )
    newest_first = len(found) > _WIDTH and found[0] > found[-_WIDTH]
    name = Path(samples.file).stem.removeprefix("new_")
    recorder = Recorder(samples, samples.free_name(name))
    places = range(0, len(found), _WIDTH)
    for place in reversed(places) if newest_first else places:
        time_s, lon, lat, number = found[place : place + _WIDTH]
        try:
            recorder.point(datetime.fromtimestamp(time_s, UTC), lon, lat, int(number))
        except BadRowError as problem:
            samples.skip(problem)
    recorder.end()


def _position(samples: Samples, words: list[str], line: int) -> tuple[float, float, float, float]:
    """Return time, longitude, latitude and line."""
    if len(words) != _WIDTH:
        raise samples.bad_row(
            f"a line must have latitude, longitude, occupancy and time, got {len(words)} values",
            line,
        )
    lat, lon, _, time_s = (
        samples.number(word, what, line)
        for word, what in zip(words, ("latitude", "longitude", "occupancy", "time"), strict=True)
    )
    if not 0.0 <= time_s <= _LATEST_S:
        raise samples.bad_row(f"time must be a Unix time until 2100, got {words[3][:40]!r}", line)
    return time_s, lon, lat, float(line)
