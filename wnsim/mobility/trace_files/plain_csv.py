"""Reader of comma-separated samples with the header t_s,id,x_m,y_m or t_s,id,lon_deg,lat_deg."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from wnsim.mobility.trace_files.content import lines
from wnsim.mobility.trace_files.samples import Samples

_METRES = ["t_s", "id", "x_m", "y_m"]
_DEGREES = ["t_s", "id", "lon_deg", "lat_deg"]


def read_csv(samples: Samples, content: Iterator[bytes]) -> None:
    """Read samples in order of time."""
    rows = csv.reader(lines(samples, content), strict=True)
    try:
        header = next(rows, [])
        if header not in (_METRES, _DEGREES):
            raise samples.error(
                f"the first line must be {','.join(_METRES)}, or {','.join(_DEGREES)}, "
                f"got {','.join(header)[:60]!r}",
                1,
            )
        samples.degrees = header == _DEGREES
        for row in rows:
            line = rows.line_num
            if len(row) != len(header):
                raise samples.error(f"a line must have {len(header)} values, got {len(row)}", line)
            samples.advance(samples.number(row[0], header[0], line), line)
            x, y = (samples.number(row[n], header[n], line) for n in (2, 3))
            samples.add(row[1], x, y, line)
    except csv.Error as problem:
        raise samples.error(f"the line is not comma-separated: {problem}", rows.line_num) from None
