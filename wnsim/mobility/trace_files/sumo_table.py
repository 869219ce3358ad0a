"""Reader of SUMO floating-car data as a table: CSV or Parquet, one row per device and step.

Sources: SUMO documentation, "Tabular Output" (columns such as timestep_time, vehicle_id,
vehicle_x, vehicle_y, in any order, or without the element's name; separated by semicolons).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from wnsim.mobility.trace_files import content as limits
from wnsim.mobility.trace_files import samples as bounds
from wnsim.mobility.trace_files.content import lines
from wnsim.mobility.trace_files.samples import Samples

_TIMES = ("timestep_time", "time")
_ELEMENTS = ("vehicle_", "person_", "")
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class _Columns:
    """Relevant columns: the time, and id, x and y of each kind of device."""

    time: str
    devices: tuple[tuple[str, str, str], ...]

    def names(self) -> list[str]:
        """Return the names of all columns."""
        return [self.time, *(name for names in self.devices for name in names)]


def _columns(samples: Samples, header: Sequence[str], line: int | None) -> _Columns:
    """Find the relevant columns."""
    time = next((name for name in _TIMES if name in header), None)
    kinds = [(f"{kind}id", f"{kind}x", f"{kind}y") for kind in _ELEMENTS]
    devices = tuple(names for names in kinds if set(names) <= set(header))
    if time is None or not devices:
        raise samples.error(
            "the columns must include timestep_time, vehicle_id, vehicle_x and vehicle_y, "
            f"got {','.join(header)[:80]!r}",
            line,
        )
    return _Columns(time, devices)


def read_sumo_csv(samples: Samples, content: Iterator[bytes]) -> None:
    """Read a table whose first line names the columns."""
    samples.degrees = None
    text = lines(samples, content)
    first = next(text, "")
    separator = max(";,\t", key=first.count)
    rows = csv.reader(text, delimiter=separator, strict=True)
    header = [name.strip('"') for name in first.split(separator)]
    columns = _columns(samples, header, 1)
    time = header.index(columns.time)
    places = [tuple(header.index(name) for name in names) for names in columns.devices]
    try:
        for row in rows:
            line = rows.line_num + 1
            if len(row) != len(header):
                raise samples.error(f"a line must have {len(header)} values, got {len(row)}", line)
            samples.advance(samples.number(row[time], header[time], line), line)
            for name, x, y in places:
                # A row belongs to one kind of device; the columns of the others are empty.
                if row[name] or len(places) == 1:
                    samples.add(
                        row[name],
                        samples.number(row[x], header[x], line),
                        samples.number(row[y], header[y], line),
                        line,
                    )
    except csv.Error as problem:
        raise samples.error(
            f"the line is not comma-separated: {problem}", rows.line_num + 1
        ) from None


def read_sumo_parquet(samples: Samples) -> None:
    """Read a Parquet file, row group by row group; lines in errors are rows."""
    samples.degrees = None
    try:
        parquet: Any = import_module("pyarrow.parquet")
        arrow: Any = import_module("pyarrow")
    except ImportError:
        raise samples.error(
            "reading Parquet needs the package pyarrow: pip install 'wnsim[parquet]'"
        ) from None
    try:
        size = Path(samples.file).stat().st_size
        with parquet.ParquetFile(samples.file) as table:
            groups = range(table.metadata.num_row_groups)
            size = max(size, sum(table.metadata.row_group(n).total_byte_size for n in groups))
            if size > limits.MAX_BYTES:
                raise samples.error(f"a trace may have at most {limits.MAX_BYTES} bytes, got more")
            if table.metadata.num_rows > bounds.MAX_SAMPLES:
                raise samples.error(
                    f"a trace may have at most {bounds.MAX_SAMPLES} samples, got more"
                )
            columns = _columns(samples, table.schema_arrow.names, None)
            _add_batches(
                samples,
                columns,
                table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns.names()),
            )
    except (arrow.ArrowException, OSError) as problem:
        what = str(problem).splitlines() or ["unknown"]
        raise samples.error(f"the Parquet file is damaged: {what[0][:200]}") from None


def _add_batches(samples: Samples, columns: _Columns, batches: Iterator[Any]) -> None:
    """Add batches of rows."""
    row = 0
    for batch in batches:
        values = {name: batch.column(name).to_pylist() for name in columns.names()}
        for place in range(batch.num_rows):
            row += 1
            line = {name: _text(column[place]) for name, column in values.items()}
            samples.advance(samples.number(line[columns.time], columns.time, row), row)
            for name, x, y in columns.devices:
                if line[name] or len(columns.devices) == 1:
                    samples.add(
                        line[name],
                        samples.number(line[x], x, row),
                        samples.number(line[y], y, row),
                        row,
                    )


def _text(value: object) -> str:
    """Return a value as text, empty if missing."""
    return "" if value is None else str(value)
