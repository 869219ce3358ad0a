"""Metrics of collaborative inference (`queries.csv`)."""

from __future__ import annotations

from typing import Any

import pandas as pd

DEFINITIONS = {
    "queries": "queries of devices that cannot train, each of their tasks counted",
    "query_answered_ratio": "share of the queries whose answers arrived in time",
    "query_latency_median_s": "median time from a query to its answers [s]",
    "query_latency_p95_s": "95th percentile of the same time [s]",
    "query_accuracy": (
        "accuracy of answers to the last queries, mean over devices and tasks; a query without "
        "answers has that of the device alone"
    ),
    "query_accuracy_alone": "what these devices would reach alone, with the untrained model",
}


def of_queries(queries: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of queries by name; none without a query."""
    if queries.empty:
        return {}
    answered = queries["answered"].astype(bool)
    latency_s = queries.loc[answered, "latency_s"].dropna()
    last = queries[queries["round"] == queries["round"].max()]
    return {
        "queries": len(queries),
        "query_answered_ratio": answered.mean(),
        "query_latency_median_s": latency_s.median(),
        "query_latency_p95_s": latency_s.quantile(0.95),
        "query_accuracy": last["accuracy"].where(last["answered"], last["accuracy_alone"]).mean(),
        "query_accuracy_alone": last["accuracy_alone"].mean(),
    }
