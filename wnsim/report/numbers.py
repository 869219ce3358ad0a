"""Tables of a page: key numbers of each line, and all metrics with their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from wnsim.core.statistics import Interval, mean
from wnsim.figures import Line
from wnsim.metrics import definition

MOST_ROWS = 100
MOST_CELLS = 4000
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
# Heading and unit of the columns; shares are shown in percent.
_MAIN = {
    "accuracy_all_tasks": ("Accuracy, all tasks", "%"),
    "accuracy_own_task": ("Accuracy, own task", "%"),
    "on_air_bytes": ("Bytes on the air", "B"),
    "latency_median_s": ("Median latency", "s"),
    "deadline_miss_ratio": ("Deadline misses", "%"),
    "goodput_bps": ("Goodput", "bit/s"),
    "energy_total_j": ("Energy", "J"),
    "simulated_s": ("Simulated", "s"),
}
_COMPARED = "accuracy_all_tasks"


@dataclass(frozen=True)
class Table:
    """Table of texts.

    Parameters
    ----------
    heads : headings of the columns; the first one names rows
    rows : cells of each row
    left_out : number of omitted rows
    """

    heads: list[str]
    rows: list[list[str]]
    left_out: int = 0


def key_numbers(results: Path, lines: Sequence[Line]) -> Table:
    """Return the main metrics, one row per line.

    Parameters
    ----------
    results : results folder; differences to the baseline are read from aggregate.csv
    lines : lines with their metrics
    """
    shown = lines[:MOST_ROWS]
    heads, columns = ["Variant", "Runs"], [[line.name for line in shown]]
    columns.append([str(len(line.folders)) for line in shown])
    for metric, (head, unit) in _MAIN.items():
        found = [_interval(line, metric) for line in shown]
        if not any(each.n for each in found):
            continue
        factor, unit = _scale(found, unit)
        heads.append(f"{head} [{unit}]")
        columns.append([_cell(each, factor) for each in found])
    differences, baseline = _differences(results, shown)
    if any(differences):
        heads.append(f"Accuracy, all tasks, minus {baseline} [points]")
        columns.append(differences)
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Table(heads, rows, len(lines) - len(shown))


def all_numbers(lines: Sequence[Line]) -> Table:
    """Return every metric, one row each, with its definition and its mean for each line."""
    metrics = list(dict.fromkeys(name for line in lines for run in line.metrics for name in run))
    shown = lines[: max(1, MOST_CELLS // max(1, len(metrics)))]
    rows = [
        [metric, _defined(metric), *(_cell(_interval(line, metric), whole=True) for line in shown)]
        for metric in metrics
    ]
    heads = ["Metric", "What it is", *(line.name for line in shown)]
    return Table(heads, rows, len(lines) - len(shown))


def _interval(line: Line, metric: str) -> Interval:
    return mean(run[metric] for run in line.metrics if metric in run)


def _defined(metric: str) -> str:
    try:
        return definition(metric)
    # Results may come from another version.
    except KeyError:
        return ""


def _scale(found: Sequence[Interval], unit: str) -> tuple[float, str]:
    """Return the divisor and the unit of a column."""
    if unit == "%":
        return 0.01, "%"
    largest = max((abs(each.mean) for each in found if each.n), default=0.0)
    least = 1e-6 if unit == "s" else 1.0
    for factor, prefix in _PREFIXES:
        # Seconds take no prefix above one.
        if largest >= factor >= least and not (unit == "s" and factor > 1.0):
            return factor, prefix + unit
    return 1.0, unit


def _cell(found: Interval, factor: float = 1.0, *, whole: bool = False) -> str:
    """Return a mean and the half-width of its interval, to three significant digits of the mean.

    Parameters
    ----------
    found : mean with its interval
    factor : divisor of both
    whole : whether a whole number may be a count, shown without decimals
    """
    if not found.n or math.isnan(found.mean):
        return "-"
    value = found.mean / factor
    if math.isnan(found.half):
        count = whole and value.is_integer() and abs(value) < 1e6
        return f"{value:.0f}" if count else _number(value)
    text = _number(value)
    decimals = len(text.partition(".")[2])
    half = found.half / factor
    return f"{text} ± {half:.2e}" if "e" in text else f"{text} ± {half:.{decimals}f}"


def _number(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}" if decimals <= 6 else f"{value:.2e}"


def _differences(results: Path, lines: Sequence[Line]) -> tuple[list[str], str]:
    """Return each line's difference in accuracy to the baseline, and the baseline."""
    path = results / "aggregate.csv"
    if not path.is_file():
        return [], ""
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    if not {"metric", "baseline", "difference"} <= set(table):
        return [], ""
    rows = table[(table["metric"] == _COMPARED) & (table["baseline"] != "")]
    swept = list(table.columns[1 : list(table.columns).index("metric")])
    found = {}
    for row in rows.to_dict("records"):
        values = [f"{key}={row[key]}" for key in swept if row[key]]
        ends = (row[f"difference{end}"] for end in ("", "_low", "_high"))
        difference = Interval(int(row["pairs"] or 0), *(float(end or "nan") for end in ends))
        found[", ".join([part for part in (row["variant"], *values) if part])] = _signed(difference)
    baseline = str(rows["baseline"].iloc[0]) if len(rows) else ""
    return [found.get(line.name, "") for line in lines], baseline


def _signed(found: Interval) -> str:
    if not found.n or math.isnan(found.mean):
        return ""
    text = f"{100 * found.mean:+.1f}"
    return text if math.isnan(found.half) else f"{text} ± {100 * found.half:.1f}"
