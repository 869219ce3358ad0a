"""Reader of GeoLife trajectories (.plt): one device per user, one segment per file.

Six lines of header are followed by latitude, longitude, 0, height [ft], days since 1899, date and
time, in UTC. Files in a folder `Trajectory` belong to the user that its parent folder names.

Sources: Zheng et al., "GeoLife GPS trajectories", user guide 1.3, Microsoft Research.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from wnsim.mobility.trace_files.clock import date
from wnsim.mobility.trace_files.content import lines
from wnsim.mobility.trace_files.recorder import Recorder
from wnsim.mobility.trace_files.samples import BadRowError, Samples

_HEADER_LINES = 6
_WIDTH = 7
_METERS_PER_FOOT = 0.3048
# The height of a point of which it is unknown [ft].
_UNKNOWN_FT = -777.0


def read_geolife(samples: Samples, content: Iterator[bytes]) -> None:
    """Read a trajectory."""
    samples.degrees = samples.complete = samples.wall_clock = True
    recorder = Recorder(samples, _user(Path(samples.file)))
    for line, text in enumerate(lines(samples, content), start=1):
        if line <= _HEADER_LINES or not text or text.isspace():
            continue
        values = text.split(",")
        try:
            if len(values) != _WIDTH:
                raise samples.bad_row(f"a line must have {_WIDTH} values, got {len(values)}", line)
            lat, lon = (
                samples.number(values[n], what, line)
                for n, what in enumerate(("latitude", "longitude"))
            )
            height_ft = samples.optional(values[3])
            z_m = math.nan if height_ft == _UNKNOWN_FT else height_ft * _METERS_PER_FOOT
            when = date(samples, f"{values[5]} {values[6]}", "point", line)
            recorder.point(when, lon, lat, line, z_m)
        except BadRowError as problem:
            samples.skip(problem)
    recorder.end()


def _user(path: Path) -> str:
    """Return the name of the device that recorded a file."""
    return path.parent.parent.name if path.parent.name == "Trajectory" else path.stem
