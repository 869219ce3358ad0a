"""Table of a run's faults in the report, in order of time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from wnsim.figures import Line
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
            path = folder / "faults.csv"
            if path.is_file():
                table = pd.read_csv(path)
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
