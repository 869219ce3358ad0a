"""The faults of a run, for the page: rows of its faults.csv, earliest first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from wnsim.figures import Line
from wnsim.report.numbers import MOST_ROWS, Table

_HEADS = ["Fault", "Where", "What", "From [s]", "Until [s]"]


def faults(lines: Sequence[Line]) -> tuple[str, Table] | None:
    """Return a run and what went wrong in it; none if no run tells of faults.

    Faults are a function of scenario and seed, and so the same for all variants of a seed, but for
    updates that are corrupted: of the runs with faults the first one is shown.

    Parameters
    ----------
    lines : with their runs
    """
    for line in lines:
        for folder in line.folders:
            path = folder / "faults.csv"
            if path.is_file():
                table = pd.read_csv(path)
                rows = [
                    [
                        str(row.kind),
                        str(row.where),
                        str(row.what),
                        *map(_time, (row.time_s, row.until_s)),
                    ]
                    for row in table.head(MOST_ROWS).itertuples()
                ]
                return folder.name, Table(_HEADS, rows, len(table) - len(rows))
    return None


def _time(time_s: float) -> str:
    return "the end" if math.isnan(time_s) else f"{time_s:.1f}"
