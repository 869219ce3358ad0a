"""Reader of SUMO floating-car data as a table: CSV or Parquet, one row per device and step.

A step without devices is a row with a time alone. SUMO writes vehicles, persons and containers to
the same columns: a row with a lane is that of a vehicle; the others are told apart by their type.

Sources: SUMO documentation, "Tabular Output" (columns such as timestep_time, vehicle_id,
vehicle_x, vehicle_y, in any order, or without the element's name; separated by semicolons).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from wnsim.mobility.trace_files import content as limits
from wnsim.mobility.trace_files import samples as bounds
from wnsim.mobility.trace_files.clock import clock_s
from wnsim.mobility.trace_files.samples import BadRowError, Samples
from wnsim.mobility.trace_files.table import table

_TIMES = ("timestep_time", "time")
_ELEMENTS = ("vehicle_", "person_", "container_", "")
_OPTIONAL = ("z", "speed", "lane", "type")
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class _Columns:
    """Relevant columns: the time, and the prefixes of each kind of device.

    Parameters
    ----------
    time : name of the column of times
    elements : prefixes of the columns of each kind of device
    present : relevant columns that the table has
    """

    time: str
    elements: tuple[str, ...]
    present: tuple[str, ...]


def _columns(samples: Samples, header: Sequence[str], line: int | None) -> _Columns:
    """Find the relevant columns."""
    time = next((name for name in _TIMES if name in header), None)
    elements = tuple(
        each for each in _ELEMENTS if {f"{each}id", f"{each}x", f"{each}y"} <= set(header)
    )
    # A simulation without any device has steps alone.
    if time is None or (not elements and list(header) != [time]):
        raise samples.error(
            "the columns must include timestep_time, vehicle_id, vehicle_x and vehicle_y, "
            f"got {','.join(header)[:80]!r}",
            line,
        )
    names = [f"{each}{name}" for each in elements for name in ("id", "x", "y", *_OPTIONAL)]
    if not any(f"{each}{name}" in header for each in elements for name in ("lane", "type")):
        samples.duplicates = (
            "; vehicles and persons with equal ids are told apart by the columns lane and type, "
            "which SUMO omits with --fcd-output.attributes, or in XML"
        )
    samples.teleporting = not any(f"{each}lane" in header for each in elements)
    return _Columns(time, elements, tuple(name for name in [time, *names] if name in header))


def _add(samples: Samples, columns: _Columns, row: Mapping[str, str], line: int) -> None:
    """Add the device of a row, if it has one."""
    samples.advance(clock_s(samples, row[columns.time], columns.time, line), line)
    for each in columns.elements:
        name, x, y = (row[f"{each}{column}"] for column in ("id", "x", "y"))
        # A row belongs to one kind of device; the columns of the others are empty.
        if not (name or x or y):
            continue
        z, speed, lane, kind = (row.get(f"{each}{column}", "") for column in _OPTIONAL)
        # Vehicles of the mesoscopic model have no lane, and move in hops.
        samples.teleporting |= bool(lane)
        if each in ("person_", "container_") or lane:
            kind = "vehicle" if lane else each
        samples.add(
            name,
            samples.number(x, f"{each}x", line),
            samples.number(y, f"{each}y", line),
            line,
            kind=kind,
            z_m=samples.optional(z),
            speed_mps=samples.optional(speed),
        )


def read_sumo_csv(samples: Samples, content: Iterator[bytes]) -> None:
    """Read a table whose first line names the columns."""
    samples.degrees = None
    header, rows = table(samples, content)
    columns = _columns(samples, header, 1)
    places = {name: header.index(name) for name in columns.present}
    for line, row in rows:
        try:
            _add(samples, columns, {name: row[place] for name, place in places.items()}, line)
        except BadRowError as problem:
            samples.skip(problem)


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
        with parquet.ParquetFile(samples.file) as file:
            groups = range(file.metadata.num_row_groups)
            size = max(size, sum(file.metadata.row_group(n).total_byte_size for n in groups))
            if size > limits.MAX_BYTES:
                raise samples.error(f"a trace may have at most {limits.MAX_BYTES} bytes, got more")
            if file.metadata.num_rows > bounds.MAX_SAMPLES:
                raise samples.error(
                    f"a trace may have at most {bounds.MAX_SAMPLES} samples, got more"
                )
            columns = _columns(samples, file.schema_arrow.names, None)
            wanted = list(columns.present)
            _add_batches(
                samples, columns, file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted)
            )
    except (arrow.ArrowException, OSError) as problem:
        what = str(problem).splitlines() or ["unknown"]
        raise samples.error(f"the Parquet file is damaged: {what[0][:200]}") from None


def _add_batches(samples: Samples, columns: _Columns, batches: Iterator[Any]) -> None:
    """Add batches of rows."""
    line = 0
    for batch in batches:
        values = {name: batch.column(name).to_pylist() for name in columns.present}
        for place in range(batch.num_rows):
            line += 1
            row = {name: _text(column[place]) for name, column in values.items()}
            try:
                _add(samples, columns, row, line)
            except BadRowError as problem:
                samples.skip(problem)


def _text(value: object) -> str:
    """Return a value as text, empty if missing."""
    return "" if value is None else str(value)
