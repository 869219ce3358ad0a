"""How well devices do on the tasks: `evaluations.csv`.

Sources: forgetting after Chaudhry et al., "Riemannian walk for incremental learning", ECCV 2018,
by task and mean over devices; the others as they are defined here. What is said of the end is said
of the last evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from wnsim.metrics.delivery import OTHERS
from wnsim.metrics.devices import jain

DEFINITIONS = {
    "accuracy_all_tasks": "mean over devices and tasks at the end",
    "accuracy_own_task": "mean over devices of that on the tasks that they train, at the end",
    "accuracy_worst_task": "mean over devices on the task on which it is lowest, at the end",
    "best_accuracy": "highest mean over devices and tasks of all evaluations",
    "forgetting": "best earlier mean over devices on a task minus that at the end; mean over tasks",
    "interference": (
        "accuracy on own tasks after local steps minus that after merging; mean over devices and "
        "evaluations, if fl.evaluate_before_merging"
    ),
    "jain_accuracy": "Jain's index of the accuracy on own tasks over devices, at the end",
    "routing": "share of answers whose heaviest expert has the task; mean over devices at the end",
    "load_entropy": (
        "entropy of the experts' shares of answers over its largest value; mean over devices at "
        "the end"
    ),
    "reached_*": "whether an accuracy of fl.target_accuracies was reached, 0 or 1",
    "time_to_*_s": (
        "when the mean of the last three evaluations (fewer at first) of accuracy on all tasks was "
        "first as high; empty if never [s]"
    ),
    "bytes_to_*": "sizes of all messages handed over by then; empty if never [byte]",
}

_EVALUATION = ["time_s", "round"]
_SMOOTHED = 3


def of_evaluations(evaluations: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of accuracy by name."""
    by_task = evaluations.groupby([*_EVALUATION, "task"])["accuracy"].mean().unstack("task")
    time_s, number = by_task.index[-1]
    last = evaluations[(evaluations["time_s"] == time_s) & (evaluations["round"] == number)]
    own = last[last["own"]]
    metrics = {
        "accuracy_all_tasks": last["accuracy"].mean(),
        "accuracy_own_task": own["accuracy"].mean(),
        "accuracy_worst_task": by_task.iloc[-1].min(),
        "best_accuracy": _overall(evaluations).max(),
        "forgetting": math.nan,
        "jain_accuracy": jain(own.groupby("device")["accuracy"].mean()),
    }
    if len(by_task) > 1:
        metrics["forgetting"] = (by_task.iloc[:-1].max() - by_task.iloc[-1]).mean()
    before = evaluations[evaluations["own"] & evaluations["trained_accuracy"].notna()]
    if len(before):
        metrics["interference"] = (before["trained_accuracy"] - before["accuracy"]).mean()
    for name in ("routing", "load_entropy"):
        if last[name].notna().any():
            metrics[name] = last[name].mean()
    return metrics


def of_targets(
    evaluations: pd.DataFrame, transfers: pd.DataFrame, targets: Sequence[float]
) -> dict[str, Any]:
    """Return by name when accuracies on all tasks were reached, and after how many bytes.

    Parameters
    ----------
    evaluations, transfers : of a run
    targets : the accuracies
    """
    smoothed = _overall(evaluations).rolling(_SMOOTHED, min_periods=1).mean()
    ours = transfers[~transfers["kind"].isin(OTHERS)]
    metrics: dict[str, Any] = {}
    for target in targets:
        there = smoothed[smoothed >= target]
        time_s = offered = math.nan
        if len(there):
            time_s = there.index[0][0]
            offered = float(ours.loc[ours["sent_s"] <= time_s, "size_bytes"].sum())
        metrics[f"reached_{target:g}"] = int(len(there) > 0)
        metrics[f"time_to_{target:g}_s"] = time_s
        metrics[f"bytes_to_{target:g}"] = offered
    return metrics


def _overall(evaluations: pd.DataFrame) -> pd.Series:
    """Return the mean over devices and tasks by instant and round, in the order of time."""
    return evaluations.groupby(_EVALUATION)["accuracy"].mean()
