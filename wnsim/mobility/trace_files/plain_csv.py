"""Reader of comma-separated samples, in order of time or device by device.

The header has t_s [s] or time (dates in ISO 8601), id, and x_m and y_m [m] or lon_deg and lat_deg
[degrees], in any order; a height [m], z_m or altitude_m, is optional and other columns are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator

from wnsim.mobility.trace_files.clock import date
from wnsim.mobility.trace_files.samples import BadRowError, Samples
from wnsim.mobility.trace_files.table import table

_METERS = ("x_m", "y_m")
_DEGREES = ("lon_deg", "lat_deg")
_HEIGHTS = ("z_m", "altitude_m", "z", "altitude")


def read_csv(samples: Samples, content: Iterator[bytes]) -> None:
    """Read samples, which are in order of time for each device."""
    header, rows = table(samples, content)
    time = next((name for name in ("t_s", "time") if name in header), None)
    axes = next((names for names in (_METERS, _DEGREES) if set(names) <= set(header)), None)
    if time is None or axes is None or "id" not in header or len(set(header)) < len(header):
        raise samples.error(
            "the first line must be t_s,id,x_m,y_m, or t_s,id,lon_deg,lat_deg, "
            f"got {','.join(header)[:60]!r}",
            1,
        )
    samples.degrees = axes == _DEGREES
    samples.wall_clock = time == "time"
    place = {name: number for number, name in enumerate(header)}
    height = next((place[name] for name in _HEIGHTS if name in place), None)
    for line, row in rows:
        try:
            text = row[place[time]]
            if time == "t_s":
                time_s = samples.number(text, time, line)
            else:
                time_s = samples.elapsed_s(date(samples, text, "row", line))
            x, y = (samples.number(row[place[name]], name, line) for name in axes)
            if samples.degrees:
                samples.place_deg(x, y, line)
            z_m = samples.optional(None if height is None else row[height])
            samples.add_at(row[place["id"]], time_s, x, y, line, z_m=z_m)
        except BadRowError as problem:
            samples.skip(problem)
