"""Cluster metrics: sizes, collision rates and consensus (`clusters.csv`).

The number and size of clusters are taken over all evaluations; the other metrics over the last
one, weighted by cluster size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

DEFINITIONS = {
    "clusters": "number of clusters, mean over evaluations",
    "cluster_size_mean": "devices per cluster, mean over clusters and evaluations",
    "cluster_size_max": "devices in the largest cluster of all evaluations",
    "expected_collision_rate": "the collision rate to be expected for independent masks",
    "collision_rate": "share of the entries of B active in two or more members",
    "collision_rate_active": "the same among the entries that are active in any member",
    "sign_conflict_rate": "share of the colliding entries whose last updates differ in sign",
    "consensus_error": "mean over members of ||B_i - B||^2 / ||B||^2, B the mean after aggregation",
    "spectral_gap": "1 - |lambda_2| of the last round's mixing matrix within a cluster",
}

_WEIGHTED = (
    "expected_collision_rate", "collision_rate", "collision_rate_active", "sign_conflict_rate",
    "consensus_error", "spectral_gap",
)  # fmt: skip


def of_clusters(clusters: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of clusters by name; NaN where no cluster has a value."""
    if clusters.empty:
        return {}
    each = clusters.groupby(["time_s", "round"])
    metrics = {
        "clusters": each.size().mean(),
        "cluster_size_mean": clusters["devices"].mean(),
        "cluster_size_max": int(clusters["devices"].max()),
    }
    last = each.get_group(max(each.groups))
    for name in _WEIGHTED:
        there = last[last[name].notna()]
        known = len(there) > 0
        metrics[name] = np.average(there[name], weights=there["devices"]) if known else np.nan
    return metrics
