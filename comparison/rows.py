"""Rows of the comparison, one per run, kept as a CSV file for each field.

Fields with real text have a second file, with the accuracy on each task by each scoring rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fl.config import SCORING_RULES

from .entries import Field, Unit

METRICS = (
    "accuracy_all_tasks", "accuracy_own_task", "accuracy_worst_task", "routing_accuracy",
    "uplink_bytes", "downlink_bytes", "offered_bytes", "payload_bytes_per_message",
    "delivery_ratio", "simulated_s", "energy_total_j",
)  # fmt: skip
TO_TARGET = ("reached", "seconds_to_target", "bytes_to_target", "joules_to_target")
COLUMNS = (
    "method", "phase", "learning_rate", "seed", "key", "commit", "state", "wall_s", *METRICS,
    *TO_TARGET,
)  # fmt: skip
RULES = ("accuracy", *(f"accuracy_{rule.replace('-', '_')}" for rule in SCORING_RULES))
TASK_COLUMNS = (
    "method", "phase", "learning_rate", "seed", "key", "task", "majority_accuracy",
    *(f"{part}{rule}" for part in ("", "own_", "untrained_") for rule in RULES),
)  # fmt: skip
"""Accuracies over all devices, over those that train on the task, and of the untrained model."""
_SAME = ("method", "phase", "learning_rate", "seed")
_DIGITS = 7


class Rows:
    """Finished runs of a field.

    Parameters
    ----------
    path : CSV file; made when the first row is added
    columns : of the file
    same : columns that identify a row
    """

    def __init__(
        self, path: Path, columns: Sequence[str] = COLUMNS, same: Sequence[str] = _SAME
    ) -> None:
        self.path = path
        self._columns = list(columns)
        self._same = list(same)
        self.table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=self._columns)

    def of(self, unit: Unit) -> pd.DataFrame:
        """Return the rows of a unit, in order of their seeds."""
        key = unit.key()
        return self.table[self.table["key"] == key].sort_values("seed")

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows and write the file; older rows of the same runs are replaced."""
        new = pd.DataFrame(list(rows), columns=self._columns)
        if new.empty:
            return
        table = pd.concat([self.table, new], ignore_index=True) if len(self.table) else new
        table = table.drop_duplicates(self._same, keep="last")
        self.table = table.sort_values(self._same, ignore_index=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        self.table.to_csv(part, index=False, lineterminator="\n", float_format=f"%.{_DIGITS}g")
        part.replace(self.path)


def row(unit: Unit, metrics: Mapping[str, float], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a finished run.

    Parameters
    ----------
    unit : what was run
    metrics : its metrics by name
    facts : its manifest
    """
    target = f"{unit.field.target:g}"
    costs = ("reached_{}", "time_to_{}_s", "bytes_to_{}", "energy_to_{}_j")
    own = {name: metrics.get(name, math.nan) for name in METRICS}
    to_target = (metrics.get(name.format(target), math.nan) for name in costs)
    return {
        **_head(unit, facts["seed"]), "commit": facts.get("commit", ""), "state": "finished",
        "wall_s": facts["wall_s"], **own, **dict(zip(TO_TARGET, to_target, strict=True)),
    }  # fmt: skip


def by_task(unit: Unit, seed: int, evaluations: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a row for each task: accuracies at the end of a run, and before its first round."""
    first, last = (
        evaluations[evaluations["round"] == number]
        for number in (evaluations["round"].min(), evaluations["round"].max())
    )
    rules = [rule for rule in RULES if rule in evaluations]
    for task, of_task in last.groupby("task", sort=False):
        parts = {
            "": of_task, "own_": of_task[of_task["own_task"]],
            "untrained_": first[first["task"] == task],
        }  # fmt: skip
        means = {
            f"{part}{rule}": tested[rule].mean() for part, tested in parts.items() for rule in rules
        }
        majority = of_task["majority_accuracy"].mean()
        yield {**_head(unit, seed), "task": task, "majority_accuracy": majority, **means}


def diverged(unit: Unit, seed: int) -> dict[str, Any]:
    """Return the row of a run whose training diverged."""
    return {**_head(unit, seed), "state": "diverged"}


def _head(unit: Unit, seed: int) -> dict[str, Any]:
    return {
        "method": unit.entry.name, "phase": unit.phase, "learning_rate": unit.learning_rate,
        "seed": seed, "key": unit.key(),
    }  # fmt: skip


def of_field(field: Field, folder: Path) -> Rows:
    """Return the finished runs of a field."""
    return Rows(folder / "results" / f"{field.table}.csv")


def tasks_of_field(field: Field, folder: Path) -> Rows:
    """Return the accuracies on each task of the finished runs of a field."""
    return Rows(folder / "results" / f"{field.table}-tasks.csv", TASK_COLUMNS, (*_SAME, "task"))
