"""What is said of a run in one number each, from its tables alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd


def of_run(folder: Path, manifest: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the metrics of a complete run by name.

    Parameters
    ----------
    folder : of the run
    manifest : of the run
    """
    metrics: dict[str, Any] = {"simulated_s": manifest["simulated_s"]}
    transfers = pd.read_csv(folder / "transfers.csv", keep_default_na=False, na_values=[""])
    metrics |= _delivery(transfers)
    if (folder / "evaluations.csv").is_file():
        metrics |= _learning(pd.read_csv(folder / "evaluations.csv"))
    return {
        name: value if isinstance(value, int) else float(value) for name, value in metrics.items()
    }


def _delivery(transfers: pd.DataFrame) -> dict[str, Any]:
    """Return what the network made of the messages of learning, or of the traffic."""
    sent = transfers["capacity_bytes"].sum()
    metrics = {"of_shannon_bound": transfers["carried_bytes"].sum() / sent if sent else math.nan}
    transfers = transfers[~transfers["kind"].isin(["background", "probe"])]
    metrics["messages"] = len(transfers)
    metrics["offered_bytes"] = int(transfers["size_bytes"].sum())
    metrics["acked_bytes"] = int(transfers["acked_bytes"].sum())
    transfers = transfers[transfers["kind"] != "control"]
    if len(transfers):
        delivered = transfers[transfers["delivered"]]
        metrics["delivered_share"] = len(delivered) / len(transfers)
        metrics["latency_median_s"] = delivered["latency_s"].median()
        metrics["latency_p95_s"] = delivered["latency_s"].quantile(0.95)
    return metrics


def _learning(evaluations: pd.DataFrame) -> dict[str, Any]:
    """Return how well everybody does in the end."""
    last = evaluations[evaluations["round"] == evaluations["round"].max()]
    return {
        "accuracy_all_tasks": last["accuracy"].mean(),
        "accuracy_own_task": last[last["own"]]["accuracy"].mean(),
    }
