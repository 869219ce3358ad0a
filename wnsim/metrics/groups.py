"""How devices group, collide and agree: `groups.csv`.

Numbers and sizes are those of all evaluations; the others those of the last one, weighted by the
sizes of groups.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

DEFINITIONS = {
    "clusters": "groups that aggregate inside, mean over evaluations",
    "cluster_size_mean": "devices of a group, mean over groups and evaluations",
    "cluster_size_max": "devices of the largest group of all evaluations",
    "expected_collisions": "share of entries of B that two members have active, masks independent",
    "collisions": "share of entries of B that two members have active",
    "collisions_of_used": "the same, of the entries that any member has active",
    "sign_conflicts": "share of the colliding entries whose last updates differ in sign",
    "consensus_error": "mean over members of ||B_i - B||^2 / ||B||^2 after merging, B their mean",
    "spectral_gap": "1 - |lambda_2| of the last round's mixing matrix inside a group",
}

_WEIGHTED = (
    "expected_collisions", "collisions", "collisions_of_used", "sign_conflicts", "consensus_error",
    "spectral_gap",
)  # fmt: skip


def of_groups(groups: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of groups by name, NaN where no group has a value."""
    each = groups.groupby(["time_s", "round"])
    metrics = {
        "clusters": each.size().mean(),
        "cluster_size_mean": groups["devices"].mean(),
        "cluster_size_max": int(groups["devices"].max()),
    }
    last = each.get_group(max(each.groups))
    for name in _WEIGHTED:
        there = last[last[name].notna()]
        known = len(there) > 0
        metrics[name] = np.average(there[name], weights=there["devices"]) if known else np.nan
    return metrics
