"""Tables of a page: key numbers of each line, and all metrics with their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from wnsim.core.statistics import Interval
from wnsim.figures import Line
from wnsim.metrics import definition, interval
from wnsim.metrics.targets import targets_of, to_target

MOST_ROWS = 100
MOST_CELLS = 4000
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
# Heading and unit of the columns; shares are shown in percent.
_MAIN = {
    "accuracy_all_tasks": ("Accuracy, all tasks", "%"),
    "accuracy_own_task": ("Accuracy, own task", "%"),
    "on_air_bytes": ("Bytes on the air", "B"),
    "latency_median_s": ("Median latency", "s"),
    "delivery_ratio": ("Delivered", "%"),
    "late_ratio": ("Late", "%"),
    "loss_ratio": ("Lost", "%"),
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
    every = {metric: [_interval(line, metric) for line in shown] for metric in _MAIN}
    known = {metric: found for metric, found in every.items() if any(each.n for each in found)}
    counts = len({each.n for found in known.values() for each in found if each.n}) > 1
    for metric, found in known.items():
        head, unit = _MAIN[metric]
        factor, unit = _scale(found, unit)
        heads.append(f"{head} [{unit}]")
        columns.append([_counted(each, _cell(each, factor), counts) for each in found])
    for target in targets_of([run for line in shown for run in line.metrics]):
        heads.append(f"Median time to {target} [s]")
        columns.append([_median(line, target) for line in shown])
    differences, baseline = _differences(results, shown)
    if any(differences):
        heads.append(f"Accuracy, all tasks, minus {baseline} [points]")
        columns.append(differences)
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Table(heads, rows, len(lines) - len(shown))


def _counted(found: Interval, cell: str, counts: bool) -> str:
    """Return a cell with the number of runs of its mean, if asked for."""
    return f"{cell} (n = {found.n})" if counts and found.n else cell


def _median(line: Line, target: str) -> str:
    """Return the median time to a target, and how many runs have reached it."""
    found = to_target(line.metrics, target, "time_s")
    median = found.median()
    if not found.n:
        return "-"
    beyond = f"> {_number(found.until)}"
    text = beyond if math.isinf(median.mean) else _number(median.mean)
    if not math.isnan(median.low):
        ends = (beyond if math.isinf(end) else _number(end) for end in (median.low, median.high))
        text += " [{}, {}]".format(*ends)
    return f"{text} ({found.events} of {found.n})"


def all_numbers(lines: Sequence[Line]) -> Table:
    """Return every metric, one row each, with its definition and its mean for each line."""
    metrics = list(dict.fromkeys(name for line in lines for run in line.metrics for name in run))
    shown = lines[: max(1, MOST_CELLS // max(1, len(metrics)))]
    rows = [
        [metric, _defined(metric), *_cells([_interval(line, metric) for line in shown])]
        for metric in metrics
    ]
    heads = ["Metric", "What it is", *(line.name for line in shown)]
    return Table(heads, rows, len(lines) - len(shown))


def _cells(found: Sequence[Interval]) -> list[str]:
    """Return the means of lines, with their numbers of runs if these are unequal."""
    counts = len({each.n for each in found if each.n}) > 1
    return [_counted(each, _cell(each, whole=True), counts) for each in found]


def _interval(line: Line, metric: str) -> Interval:
    return interval(metric, line.metrics)


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
    """Return a mean and its interval, to three significant digits of the mean.

    The interval is its half-width, or its ends in brackets if the mean is not in its middle.

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
    if not found.is_centered:
        low, high = found.low / factor, found.high / factor
        return f"{text} [{low:.{max(decimals, 1)}f}, {high:.{max(decimals, 1)}f}]"
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
    return [found.get(_in_table(line), "") for line in lines], baseline


def _in_table(line: Line) -> str:
    """Return the name of a line by its values as tables have them."""
    values = [f"{key}={value}" for key, value in line.swept.items() if value not in (None, "")]
    return ", ".join([part for part in (line.variant, *values) if part])


def _signed(found: Interval) -> str:
    if not found.n or math.isnan(found.mean):
        return ""
    text = f"{100 * found.mean:+.1f}"
    return text if math.isnan(found.half) else f"{text} ± {100 * found.half:.1f}"
