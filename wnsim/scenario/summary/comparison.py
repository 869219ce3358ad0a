"""Comparison of variants over seeds: means and paired differences with confidence intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wnsim import metrics
from wnsim.core.statistics import Difference, Interval, paired_difference
from wnsim.metrics.value_names import value_names
from wnsim.scenario.summary.latex import MISSING, escape, latex, plus_minus
from wnsim.storage.records import Table

_COLUMNS = (
    "metric", "n", "mean", "low", "high",
    "baseline", "pairs", "difference", "difference_low", "difference_high",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """Runs that differ in their seeds only.

    Parameters
    ----------
    variant, swept : variant and swept values that identify the line
    metrics : values by metric, then by seed
    """

    variant: str
    swept: Mapping[str, Any]
    metrics: dict[str, dict[int, float]] = field(default_factory=dict)

    def runs(self) -> list[dict[str, float]]:
        """Return the metrics of each run by name."""
        seeds = dict.fromkeys(seed for values in self.metrics.values() for seed in values)
        return [
            {name: values[seed] for name, values in self.metrics.items() if seed in values}
            for seed in seeds
        ]

    def interval(self, metric: str) -> Interval:
        """Return the mean of a metric over seeds, with its confidence interval."""
        return metrics.interval(metric, self.runs())


@dataclass(frozen=True)
class _Column:
    """Column of the LaTeX table.

    Parameters
    ----------
    text : heading
    units : names and sizes of units, largest first; the first that fits the values is used
    decimals : decimal places; None: see `_decimals`
    """

    text: str
    units: tuple[tuple[str, float], ...] = (("", 1.0),)
    decimals: int | None = None

    def source(self, intervals: Sequence[Interval], *, counts: bool) -> tuple[str, list[str]]:
        """Return heading and cells of the column as LaTeX source.

        Parameters
        ----------
        intervals : means of the lines
        counts : whether the number of runs is shown beside each mean
        """
        means = [abs(each.mean) for each in intervals if each.n]
        fitting = [unit for unit in self.units if max(means) >= unit[1]]
        unit, size = (fitting or self.units[-1:])[0]
        decimals = self.decimals
        if decimals is None:
            decimals = _decimals([mean / size for mean in means if mean])
        return (
            f"{self.text} [{unit}]" if unit else self.text,
            [_counted(each, plus_minus(each, decimals, size), counts) for each in intervals],
        )


MAIN_METRICS = {
    "accuracy_all_tasks": _Column("Accuracy, all tasks", decimals=3),
    "accuracy_own_task": _Column("Accuracy, own task", decimals=3),
    "offered_bytes": _Column("Offered", (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))),
    "latency_median_s": _Column("Median latency", (("s", 1.0), ("ms", 1e-3))),
    "simulated_s": _Column("Simulated time", (("s", 1.0),)),
}
_COMPARED = "accuracy_all_tasks"
_NOTES = (
    "Means over seeds with Student-t intervals at 95 %, or, for shares of a single run, Wilson",
    "intervals in brackets; the difference is that of the accuracy on all tasks, within pairs of",
    "equal seeds. Numbers of runs, or of pairs, are beside the means if they are unequal.",
)


def lines(
    manifests: Mapping[str, Mapping[str, Any]], measured: Mapping[str, Mapping[str, float]]
) -> list[Line]:
    """Group complete runs into lines that differ in their seeds only.

    Parameters
    ----------
    manifests : manifests of the runs by name
    measured : their metrics
    """
    found: dict[tuple[str, str], Line] = {}
    for run, manifest in manifests.items():
        key = (manifest["variant"], json.dumps(manifest["swept"]))
        line = found.setdefault(key, Line(manifest["variant"], manifest["swept"]))
        for metric, value in measured[run].items():
            line.metrics.setdefault(metric, {})[manifest["seed"]] = float(value)
    return list(found.values())


def aggregate(compared: Sequence[Line], baseline: str) -> Table:
    """Return one row per line and metric: mean over seeds, and paired difference to the baseline.

    Parameters
    ----------
    compared : lines to compare
    baseline : label of the variant that others are compared with, at the same swept values
    """
    swept = swept_keys(compared)
    rows: list[list[Any]] = []
    for line in compared:
        for metric in line.metrics:
            found = line.interval(metric)
            row = [line.variant, *(line.swept.get(key, "") for key in swept), metric]
            row += [found.n, found.mean, found.low, found.high]
            difference = _difference(compared, line, baseline, metric)
            if difference is None:
                row += [""] * 5
            else:
                row += [baseline, difference.n, difference.mean, difference.low, difference.high]
            rows.append(row)
    return Table(("variant", *swept, *_COLUMNS), rows)


def table(
    compared: Sequence[Line], baseline: str, planned: Mapping[tuple[str, str], int], states: str
) -> str:
    """Return the table of the main metrics as LaTeX source, one row per line; see `aggregate`.

    Parameters
    ----------
    compared : lines to compare
    baseline : label of the variant that others are compared with
    planned : number of planned runs by variant and swept values as JSON
    states : number of runs in each state, as text
    """
    swept = swept_keys(compared)
    texts = {
        key: value_names([line.swept[key] for line in compared if key in line.swept])
        for key in swept
    }
    heads = ["Variant", *(escape(key) for key in swept)]
    rows = [
        [
            escape(line.variant) or MISSING,
            *(escape(texts[key].get(json.dumps(line.swept.get(key)), "")) for key in swept),
        ]
        for line in compared
    ]
    align = "l" * len(heads)
    heads.append("Runs")
    runs = [_runs(line, planned) for line in compared]
    rows = [[*row, cell] for row, cell in zip(rows, runs, strict=True)]
    every = {metric: [line.interval(metric) for line in compared] for metric in MAIN_METRICS}
    found = {name: intervals for name, intervals in every.items() if any(i.n for i in intervals)}
    counts = len({each.n for intervals in found.values() for each in intervals if each.n}) > 1
    for metric, intervals in found.items():
        text, cells = MAIN_METRICS[metric].source(intervals, counts=counts)
        heads.append(text)
        rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
    differences = [_difference(compared, line, baseline, _COMPARED) for line in compared]
    pairs = {each.n for each in differences if each is not None and each.n}
    if pairs:
        heads.append(f"Difference to {escape(baseline)}")
        counts = counts or len(pairs) > 1
        cells = [
            MISSING if each is None else _counted(each, plus_minus(each, 3), counts)
            for each in differences
        ]
        rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
    notes = "".join(f"% {note}\n" for note in (*_NOTES, f"Runs {states}."))
    return notes + latex(heads, rows, align + "r" * (len(heads) - len(align)))


def _runs(line: Line, planned: Mapping[tuple[str, str], int]) -> str:
    """Return the number of finished runs of a line, with that of planned ones if they differ."""
    finished, all_runs = len(line.runs()), planned.get((line.variant, json.dumps(line.swept)), 0)
    return f"{finished} of {all_runs}" if all_runs > finished else str(finished)


def _counted(found: Interval, cell: str, counts: bool) -> str:
    """Return a cell with the number of runs of its mean, if asked for."""
    return f"{cell} ($n = {found.n}$)" if counts and cell != MISSING else cell


def _difference(
    compared: Sequence[Line], line: Line, baseline: str, metric: str
) -> Difference | None:
    """Return a metric's difference to the baseline; None for the baseline itself."""
    if line.variant == baseline:
        return None
    against: dict[int, float] = {}
    for other in compared:
        if other.variant == baseline and other.swept == line.swept:
            against = other.metrics.get(metric, {})
    return paired_difference(line.metrics.get(metric, {}), against)


def _decimals(values: Sequence[float]) -> int:
    """Return the decimal places that show three significant digits of the largest value.

    The smallest value gets at least two significant digits.
    """
    if not values:
        return 0
    three, two = 2 - math.floor(math.log10(max(values))), 1 - math.floor(math.log10(min(values)))
    return max(0, three, two)


def swept_keys(compared: Sequence[Line]) -> list[str]:
    """Return the keys that are swept, in the order of their first use."""
    return list(dict.fromkeys(key for line in compared for key in line.swept))
