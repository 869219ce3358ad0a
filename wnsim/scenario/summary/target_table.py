"""Table of the time, bytes and energy to target accuracies, with runs that never reach them.

Medians and restricted means are those of Kaplan and Meier; see `wnsim.core.survival`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wnsim.metrics.targets import QUANTITIES, targets_of, to_target
from wnsim.scenario.summary.comparison import Line, swept_keys
from wnsim.storage import records
from wnsim.storage.records import Table

NAME = "targets.csv"
_COLUMNS = (
    "target", "quantity", "n", "reached", "median", "median_low", "median_high",
    "restricted_mean", "restricted_low", "restricted_high", "restricted_to",
)  # fmt: skip


def write(out: Path, lines: Sequence[Line]) -> None:
    """Write the table into a results folder; without targets, remove one from before.

    Parameters
    ----------
    out : results folder
    lines : lines with their metrics
    """
    found = table(lines)
    if found is None:
        (out / NAME).unlink(missing_ok=True)
    else:
        records.write_table(out / NAME, found)


def table(lines: Sequence[Line]) -> Table | None:
    """Return one row per line, target and quantity; None without targets.

    The mean of a target is restricted to what all lines have observed, so that lines compare. A
    median beyond the end of the observation is empty.
    """
    swept = swept_keys(lines)
    targets = targets_of([run for line in lines for run in line.runs()])
    rows: list[list[Any]] = []
    for target in targets:
        for quantity in QUANTITIES:
            found = [to_target(line.runs(), target, quantity) for line in lines]
            until = min((each.until for each in found if each.n), default=math.nan)
            for line, each in zip(lines, found, strict=True):
                if not each.n:
                    continue
                median, mean = each.median(), each.restricted_mean(until)
                numbers = [median.mean, median.low, median.high, mean.mean, mean.low, mean.high]
                known = [value if math.isfinite(value) else math.nan for value in numbers]
                row = [line.variant, *(line.swept.get(key, "") for key in swept), target, quantity]
                rows.append([*row, each.n, each.events, *known, until])
    return Table(("variant", *swept, *_COLUMNS), rows) if rows else None
