"""`wnsim compare FOLDER FOLDER ...`: metrics of results folders side by side."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wnsim.core.statistics import paired_difference
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import shown
from wnsim.scenario.summary.comparison import MAIN_METRICS, Line, lines
from wnsim.storage import records
from wnsim.storage.results_folder import read_rows

_COLUMNS = (
    "metric", "results", "line", "n", "mean", "low", "high",
    "baseline", "pairs", "difference", "difference_low", "difference_high",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after the verb."""
    made = argparse.ArgumentParser(
        prog="wnsim compare",
        description="Print metrics of results folders: means over seeds with 95 %% intervals, and "
        "differences paired by seed, to the same line of the first folder, or else to its first "
        "one.",
    )
    made.add_argument("results", nargs="+", type=Path, help="folders of results")
    made.add_argument(
        "--metric", action="append", default=[], help="metric to compare (repeatable; default: "
        "accuracies, bytes, median latency and simulated time)",
    )  # fmt: skip
    made.add_argument("--all", action="store_true", help="compare all metrics")
    made.add_argument("--csv", type=Path, metavar="FILE", help="write the table there too")
    return made


def main(arguments: Sequence[str]) -> int:
    """Print a comparison of results folders; return 0.

    Raises
    ------
    ScenarioError
        if a folder has no complete run, or no run has a metric
    """
    options = parser().parse_args(arguments)
    found = [(folder, line) for folder in options.results for line in _lines(folder)]
    known = list(dict.fromkeys(metric for _, line in found for metric in line.metrics))
    for metric in options.metric:
        if metric not in known:
            raise ScenarioError(f"--metric {metric}: no run has it; known: {', '.join(known)}")
    wanted = options.metric or [each for each in MAIN_METRICS if each in known]
    rows = [row for metric in (known if options.all else wanted) for row in _rows(metric, found)]
    if options.csv is not None:
        with options.csv.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows(rows)
    _show(rows, sys.stdout.write)
    return 0


def _lines(folder: Path) -> list[Line]:
    """Return the lines of a results folder.

    Raises
    ------
    ScenarioError
        if it has no complete run
    """
    manifests = {each.name: manifest for each, manifest in records.ended_runs(folder).items()}
    if not manifests:
        raise ScenarioError(f"{folder}: must be a results folder with a complete run")
    # In the order of the summary, which lacks runs that `--only` has added.
    measured: dict[str, dict[str, float]] = {}
    for row in read_rows(folder / "summary.csv"):
        if row["run"] in manifests:
            number = float(row["value"]) if row["value"] else float("nan")
            measured.setdefault(row["run"], {})[row["metric"]] = number
    for name in manifests:
        if name not in measured:
            measured[name] = _metrics(folder / name, manifests[name])
    return lines({name: manifests[name] for name in measured}, measured)


def _metrics(folder: Path, manifest: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of a run.

    Raises
    ------
    ScenarioError
        if a file of it was altered
    """
    # Imported late: slow to import.
    from wnsim.metrics import of_run

    spoilt = records.spoilt(folder, manifest)
    if spoilt is not None:
        raise ScenarioError(f"{spoilt}: was altered or cut short since its run ended")
    # As the summary has them.
    return {name: round(value, 9) for name, value in of_run(folder, manifest).items()}


def _rows(metric: str, found: Sequence[tuple[Path, Line]]) -> list[list[object]]:
    """Return one row for each line that has a metric; see `_COLUMNS`."""
    first = found[0][0]
    own = [line for folder, line in found if folder == first]
    rows: list[list[object]] = []
    for folder, line in found:
        if metric not in line.metrics:
            continue
        alike = [each for each in own if (each.variant, each.swept) == (line.variant, line.swept)]
        baseline = (alike if alike and folder != first else own)[0]
        mean = line.interval(metric)
        row: list[object] = [metric, str(folder), _name(line), mean.n, mean.mean, mean.low]
        row.append(mean.high)
        values = baseline.metrics.get(metric)
        if baseline is line or values is None:
            rows.append([*row, "", "", "", "", ""])
            continue
        apart = paired_difference(line.metrics[metric], values)
        rows.append([*row, _name(baseline), apart.n, apart.mean, apart.low, apart.high])
    return rows


def _name(line: Line) -> str:
    """Return variant and swept values of a line."""
    return ", ".join([line.variant, *(f"{key}={shown(each)}" for key, each in line.swept.items())])


def _show(rows: Sequence[Sequence[object]], write: Callable[[str], object]) -> None:
    """Print rows, a block for each metric."""
    cells = [
        [str(row[1]), str(row[2]), str(row[3]), *(_number(each) for each in row[4:7]),
         str(row[7]), str(row[8]), *(_number(each) for each in row[9:])]
        for row in rows
    ]  # fmt: skip
    heads = [
        "results",
        "line",
        "n",
        "mean",
        "low",
        "high",
        "to",
        "pairs",
        "difference",
        "low",
        "high",
    ]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    metric = ""
    for row, cell in zip(rows, cells, strict=True):
        if row[0] != metric:
            metric = str(row[0])
            write(f"\n{metric}\n" if cell is not cells[0] else f"{metric}\n")
            write(_line(heads, widths))
        write(_line(cell, widths))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return a line of cells: names to the left, numbers to the right."""
    texts = (0, 1, 6)
    parts = [
        cell.ljust(width) if place in texts else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(["", *parts]).rstrip() + "\n"


def _number(value: object) -> str:
    """Return a number in four digits; nothing for none."""
    return "" if not isinstance(value, float) or value != value else f"{value:.4g}"
