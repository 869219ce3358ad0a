"""Accuracy metrics: by task, forgetting, fairness, costs of a target (`evaluations.csv`).

Values "at the end" are those of the last evaluation. Means over devices are over those tested:
with `fl.evaluate_devices: present`, over the devices present at the evaluation.

Sources: forgetting after Chaudhry et al., "Riemannian walk for incremental learning", ECCV 2018,
per task on the mean over devices; the others are defined here.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from wnsim.metrics.delivery import of_workload
from wnsim.metrics.devices import ENERGIES, jain

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
    "devices_tested": "devices tested at the end",
    "devices_present": "devices tested at the end that were present",
    "test_examples": "distinct test examples at the end",
    "test_examples_own": "distinct test examples at the end of tasks that a tested device trains",
    "reached_*": "whether an accuracy of fl.target_accuracies was reached, 0 or 1",
    "time_to_*_s": (
        "time of the evaluation at which the accuracy on all tasks first reached the target, by "
        "fl.target_crossing; empty if never [s]"
    ),
    "bytes_to_*": "size of all messages submitted until then; empty if never [byte]",
    "energy_to_*_j": "energy spent by all devices until then, with `energy`; empty if never [J]",
    "targets_observed_s": "time of the last evaluation, beyond which no target can be reached [s]",
    "targets_observed_bytes": "size of all messages submitted until then [byte]",
    "targets_observed_j": "energy spent by all devices until then [J]",
}

_EVALUATION = ["time_s", "round"]
_SMOOTHED = 3


def of_evaluations(evaluations: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of accuracy by name; none without a tested device."""
    if evaluations.empty:
        return {}
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
        "devices_tested": last["device"].nunique(),
        "devices_present": last.loc[last["present"], "device"].nunique(),
        "test_examples": int(last.groupby("task")["examples"].first().sum()),
        "test_examples_own": int(own.groupby("task")["examples"].first().sum()),
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
    evaluations: pd.DataFrame,
    transfers: pd.DataFrame,
    targets: pd.DataFrame,
    energy: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Return the time, bytes and energy to each target accuracy; none without a tested device.

    Parameters
    ----------
    evaluations, transfers, targets : tables of a run
    energy : likewise; None for a run that records no energy
    """
    if evaluations.empty:
        return {}
    overall = _overall(evaluations)
    smoothed = overall.rolling(_SMOOTHED, min_periods=1).mean()
    ours = of_workload(transfers)

    def submitted_by(time_s: float) -> float:
        return float(ours.loc[ours["sent_s"] <= time_s, "size_bytes"].sum())

    spent_j = None if energy is None else energy.groupby("time_s")[ENERGIES].sum().sum(axis=1)

    def spent_by(time_s: float) -> float:
        if spent_j is None or not len(spent_j[:time_s]):
            return math.nan
        return float(spent_j[:time_s].iloc[-1])

    metrics: dict[str, Any] = {}
    for row in targets.itertuples():
        curve = overall if row.crossing == "first" else smoothed
        there = curve[curve >= row.accuracy]
        time_s = there.index[0][0] if len(there) else math.nan
        metrics[f"reached_{row.accuracy:g}"] = int(len(there) > 0)
        metrics[f"time_to_{row.accuracy:g}_s"] = time_s
        metrics[f"bytes_to_{row.accuracy:g}"] = submitted_by(time_s) if len(there) else math.nan
        if spent_j is not None:
            metrics[f"energy_to_{row.accuracy:g}_j"] = spent_by(time_s) if len(there) else math.nan
    last_s = overall.index[-1][0]
    metrics["targets_observed_s"] = last_s
    metrics["targets_observed_bytes"] = submitted_by(last_s)
    if spent_j is not None:
        metrics["targets_observed_j"] = spent_by(last_s)
    return metrics


def _overall(evaluations: pd.DataFrame) -> pd.Series:
    """Return the mean over devices and tasks of each evaluation, in order of time."""
    return evaluations.groupby(_EVALUATION)["accuracy"].mean()
