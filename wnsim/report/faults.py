"""Table of a run's faults in the report, in order of time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wnsim.figures import Line
from wnsim.metrics import read_table, table_file
from wnsim.report.numbers import MOST_ROWS, Table

_HEADS = ["Fault", "Location", "Effect", "From [s]", "Until [s]"]


def faults(lines: Sequence[Line]) -> tuple[str, Table] | None:
    """Return the name and the faults of the first run that has any; None if there is none.

    Faults are a function of scenario and seed, hence the same for all variants of a seed, except
    for corrupted updates.

    Parameters
    ----------
    lines : lines with their runs
    """
    for line in lines:
        for folder in line.folders:
            if table_file(folder / "faults.csv"):
                table = read_table(folder / "faults.csv")
                rows = [
                    [
                        str(row.kind),
                        str(row.location),
                        str(row.description),
                        *map(_time, (row.time_s, row.until_s)),
                    ]
                    for row in table.head(MOST_ROWS).itertuples()
                ]
                return folder.name, Table(_HEADS, rows, len(table) - len(rows))
    return None


def _time(time_s: float) -> str:
    return "the end" if math.isnan(time_s) else f"{time_s:.1f}"
