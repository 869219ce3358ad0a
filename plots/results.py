"""Readers of results folders, shared by the scripts in this folder."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wnsim.core.statistics import mean, paired_difference
from wnsim.metrics import read_table
from wnsim.scenario.summary.latex import MISSING, escape, latex


def folders(description: str) -> list[Path]:
    """Return the results folders named on the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", nargs="+", type=Path, help="folders of results")
    named: list[Path] = parser.parse_args().results
    for folder in named:
        if not (folder / "summary.csv").is_file():
            sys.exit(f"{folder}: no summary.csv, so no complete runs in it")
    return named


def names(folder: Path) -> list[str]:
    """Return the names of the complete runs in a results folder."""
    return list(pd.read_csv(folder / "summary.csv")["run"].unique())


def runs(named: Sequence[Path]) -> pd.DataFrame:
    """Return one row per complete run: folder, variant, seed, and swept values."""
    rows: list[dict[str, Any]] = []
    for folder in named:
        for name in names(folder):
            manifest = json.loads((folder / name / "manifest.json").read_text("utf-8"))
            rows.append(
                {
                    "folder": folder / name,
                    "variant": manifest["variant"],
                    "seed": manifest["seed"],
                    **manifest["swept"],
                }
            )
    return pd.DataFrame(rows)


def summary(named: Sequence[Path]) -> pd.DataFrame:
    """Return the metrics of all runs, one column each."""
    tables = [pd.read_csv(folder / "summary.csv") for folder in named]
    both = pd.concat(tables)
    keys = [column for column in both.columns if column not in ("metric", "value")]
    wide = both.pivot_table(index=keys, columns="metric", values="value", sort=False)
    return wide.reset_index()


def last_evaluation(folder: Path) -> pd.DataFrame:
    """Return the accuracy of every device on every task at the last evaluation."""
    table = read_table(folder / "evaluations.csv")
    return table[table["round"] == table["round"].max()]


def first_evaluation(folder: Path) -> pd.DataFrame:
    """Return the accuracy of every device on every task at the first evaluation."""
    table = read_table(folder / "evaluations.csv")
    return table[table["round"] == table["round"].min()]


def measured(line: pd.DataFrame, metric: str) -> dict[int, float]:
    """Return a metric by seed for the runs of one line of a summary."""
    return dict(zip(line["seed"], line[metric], strict=True))


def by_seed(table: pd.DataFrame, value: Callable[[Any], float]) -> dict[int, float]:
    """Return a number by seed for the runs of one line."""
    return {int(row.seed): value(row) for row in table.itertuples()}


def cell(values: Mapping[int, float], decimals: int = 1, scale: float = 100.0) -> str:
    """Return a mean with the half-width of its 95 % interval as text, in percent by default."""
    found = mean(value * scale for value in values.values())
    return _text(found.mean, found.half, decimals)


def difference(
    values: Mapping[int, float], baseline: Mapping[int, float], decimals: int = 1
) -> str:
    """Return a paired difference in percentage points, with its 95 % half-width, as text."""
    found = paired_difference(
        {seed: 100 * value for seed, value in values.items()},
        {seed: 100 * value for seed, value in baseline.items()},
    )
    return _text(found.mean, found.half, decimals, signed=True)


def _text(center: float, half: float, decimals: int, *, signed: bool = False) -> str:
    if math.isnan(center):
        return MISSING
    shown = f"{center:+.{decimals}f}" if signed else f"{center:.{decimals}f}"
    return shown if math.isnan(half) else f"{shown} ± {half:.{decimals}f}"


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], stem: Path) -> None:
    """Print a table, and write it as CSV and LaTeX.

    Parameters
    ----------
    columns, rows : headings and cells
    stem : path of the files without their endings
    """
    table = pd.DataFrame(rows, columns=list(columns))
    print(table.to_string(index=False))
    stem.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(stem.with_suffix(".csv"), index=False, lineterminator="\n")
    cells = [[_latex(text) for text in row] for row in rows]
    align = "l" + "r" * (len(columns) - 1)
    text = latex([escape(column) for column in columns], cells, align)
    stem.with_suffix(".tex").write_text(text, "utf-8")
    print(f"also in {stem}.csv and .tex")


def _latex(text: str) -> str:
    center, sign, half = text.partition(" ± ")
    return rf"${center} \pm {half}$" if sign else escape(text)
