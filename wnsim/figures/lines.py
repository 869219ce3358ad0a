"""Lines of a figure: runs that differ in their seeds only, read from a results folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from wnsim.core.figure_options import USUAL, FigureOptions
from wnsim.core.statistics import mean
from wnsim.figures.style import line_style
from wnsim.metrics import columns_of, read_table, read_transfers
from wnsim.metrics.value_names import value_names


@dataclass(frozen=True)
class Line:
    """Runs that differ in their seeds only.

    Parameters
    ----------
    name : variant and swept values
    variant, swept : variant, and swept values by key
    folders : folders of the runs
    metrics : metrics of the runs by name, if there is a summary
    sizes : `actual`, or the architecture whose sizes are emulated
    style : color, dashes and marker
    shown : swept values by key, as they are shown
    """

    name: str
    variant: str
    swept: Mapping[str, Any]
    folders: tuple[Path, ...]
    metrics: tuple[dict[str, float], ...]
    sizes: str
    style: dict[str, Any]
    shown: Mapping[str, str] = field(default_factory=dict)

    def tables(self, name: str, columns: Collection[str]) -> list[pd.DataFrame]:
        """Return columns of a table of all runs; nothing if a run lacks the table or a column."""
        paths = [folder / name for folder in self.folders]
        there = all(set(columns) <= set(columns_of(path)) for path in paths)
        return [read_table(path, columns) for path in paths] if there else []

    def transfers(self, columns: Collection[str]) -> list[pd.DataFrame]:
        """Return columns of all runs' messages, and their kind if it is known; see `tables`."""
        there = [set(columns_of(folder / "transfers.csv")) for folder in self.folders]
        if not all(set(columns) <= names for names in there):
            return []
        return [
            read_transfers(folder, dict.fromkeys(("kind", *columns))) for folder in self.folders
        ]

    def measured(self, names: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
        """Return a row of metrics for each run that has all of them.

        Parameters
        ----------
        names : the metrics
        optional : those among them that are zero where a run has none
        """
        rows = pd.DataFrame(list(self.metrics), columns=list(names), dtype=float)
        return rows.fillna(dict.fromkeys(optional, 0.0)).dropna()


def read_lines(results: Path, runs: Sequence[str], options: FigureOptions = USUAL) -> list[Line]:
    """Return the lines of a scenario in the order of their first runs.

    Parameters
    ----------
    results : results folder of a scenario
    runs : names of the run folders
    options : names to show
    """
    measured = _summary(results / "summary.csv")
    groups: dict[str, list[str]] = {}
    first: dict[str, dict[str, Any]] = {}
    manifests = {
        run: json.loads((results / run / "manifest.json").read_text("utf-8")) for run in runs
    }
    texts = _texts([manifest["swept"] for manifest in manifests.values()])
    for run, manifest in manifests.items():
        swept = {key: str(value) for key, value in manifest["swept"].items()}
        name = options.named(manifest["variant"], swept, _shown(manifest["swept"], texts))
        groups.setdefault(name or manifest["scenario"], []).append(run)
        first.setdefault(name or manifest["scenario"], manifest)
    return [
        Line(
            name,
            first[name]["variant"],
            first[name]["swept"],
            tuple(results / run for run in members),
            tuple(measured.get(run, {}) for run in members),
            first[name]["sizes"],
            line_style(index),
            _shown(first[name]["swept"], texts),
        )
        for index, (name, members) in enumerate(groups.items())
    ]


def mean_curve(runs: Sequence[pd.DataFrame], x: str, y: str) -> pd.DataFrame:
    """Return the mean over runs of two columns by round, and the 95 % interval of the second.

    Parameters
    ----------
    runs : one row per round each, indexed by `round`
    x, y : columns; `x` may be `round`
    """
    columns = [y] if x == "round" else [x, y]
    grouped = pd.concat([run[columns] for run in runs]).groupby("round")
    curve = grouped[columns].mean()
    if len(runs) > 1:
        # Runs may end in different rounds: each point averages those that reached it.
        intervals = [mean(values) for _, values in grouped[y]]
        curve["low"] = [interval.low for interval in intervals]
        curve["high"] = [interval.high for interval in intervals]
    return curve.reset_index()


def _texts(swept: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return the texts of all swept values by key, then by value as JSON."""
    keys = dict.fromkeys(key for values in swept for key in values)
    return {key: value_names([values[key] for values in swept if key in values]) for key in keys}


def _shown(swept: Mapping[str, Any], texts: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {key: texts[key][json.dumps(value)] for key, value in swept.items()}


def _summary(path: Path) -> dict[str, dict[str, float]]:
    """Return the metrics of each run by name; nothing if there is no summary."""
    if not path.is_file():
        return {}
    return {
        str(run): dict(zip(rows["metric"], rows["value"].astype(float), strict=True))
        for run, rows in read_table(path).groupby("run")
    }
