"""Accuracy metrics: by task, forgetting, fairness, time to a target (`evaluations.csv`).

Values "at the end" are those of the last evaluation.

Sources: forgetting after Chaudhry et al., "Riemannian walk for incremental learning", ECCV 2018,
per task on the mean over devices; the others are defined here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from wnsim.metrics.delivery import OTHERS
from wnsim.metrics.devices import jain

DEFINITIONS = {
    "accuracy_all_tasks": "accuracy at the end, mean over devices and tasks",
    "accuracy_own_task": "accuracy at the end on the tasks that a device trains, mean over devices",
    "accuracy_worst_task": "accuracy at the end on the task with the lowest mean over devices",
    "best_accuracy": "highest mean over devices and tasks among all evaluations",
    "forgetting": "best earlier accuracy on a task minus that at the end; mean over tasks",
    "task_interference": (
        "accuracy on own tasks before aggregation minus that after it; mean over devices and "
        "evaluations, with fl.evaluate_before_aggregation"
    ),
    "jain_accuracy": "Jain's fairness index of the devices' accuracy on own tasks at the end",
    "routing_accuracy": (
        "share of answers whose expert of largest weight trains the task; mean over devices at "
        "the end"
    ),
    "expert_usage_entropy": (
        "normalized entropy of the experts' shares of answers; mean over devices at the end"
    ),
    "reached_*": "whether an accuracy of fl.target_accuracies was reached, 0 or 1",
    "time_to_*_s": (
        "time at which the accuracy on all tasks, averaged over the last three evaluations (fewer "
        "at first), first reached the target; empty if never [s]"
    ),
    "bytes_to_*": "size of all messages submitted until then; empty if never [byte]",
}

_EVALUATION = ["time_s", "round"]
_SMOOTHED = 3


def of_evaluations(evaluations: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of accuracy by name."""
    by_task = evaluations.groupby([*_EVALUATION, "task"])["accuracy"].mean().unstack("task")
    time_s, number = by_task.index[-1]
    last = evaluations[(evaluations["time_s"] == time_s) & (evaluations["round"] == number)]
    own = last[last["own_task"]]
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
    before = "accuracy_before_aggregation"
    both = evaluations[evaluations["own_task"] & evaluations[before].notna()]
    if len(both):
        metrics["task_interference"] = (both[before] - both["accuracy"]).mean()
    for name in ("routing_accuracy", "expert_usage_entropy"):
        if last[name].notna().any():
            metrics[name] = last[name].mean()
    return metrics


def of_targets(
    evaluations: pd.DataFrame, transfers: pd.DataFrame, targets: Sequence[float]
) -> dict[str, Any]:
    """Return the time and bytes to each target accuracy by name.

    Parameters
    ----------
    evaluations, transfers : tables of a run
    targets : target accuracies
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
    """Return the mean over devices and tasks of each evaluation, in order of time."""
    return evaluations.groupby(_EVALUATION)["accuracy"].mean()
