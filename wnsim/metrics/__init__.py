"""Metrics of a run, computed from its tables alone.

Each module covers one table and defines its metrics in `DEFINITIONS`: name, definition, and the
unit in brackets if there is one. An asterisk in a name stands for a value set in the scenario.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from wnsim.metrics import clusters, delivery, devices, learning, rounds
from wnsim.metrics.clusters import of_clusters
from wnsim.metrics.delivery import of_transfers
from wnsim.metrics.devices import of_devices
from wnsim.metrics.intervals import interval
from wnsim.metrics.learning import of_evaluations, of_targets
from wnsim.metrics.rounds import of_rounds

__all__ = ["DEFINITIONS", "definition", "interval", "of_run", "read_table"]

DEFINITIONS: dict[str, str] = {
    "simulated_s": "simulated time [s]",
    **delivery.DEFINITIONS,
    **learning.DEFINITIONS,
    **rounds.DEFINITIONS,
    **devices.DEFINITIONS,
    **clusters.DEFINITIONS,
}

# Names of devices and tasks are strings, even if they look like numbers.
_TEXTS = dict.fromkeys(("source", "target", "device", "task", "run"), str)


def definition(metric: str) -> str:
    """Return the definition of a metric.

    Raises
    ------
    KeyError
        if there is no such metric
    """
    for name, text in DEFINITIONS.items():
        if fnmatchcase(metric, name):
            return text
    raise KeyError(metric)


def of_run(folder: Path, manifest: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the metrics of a complete run by name, as far as it has tables for them.

    Parameters
    ----------
    folder : of the run
    manifest : of the run
    """
    simulated_s = manifest["simulated_s"]
    transfers = read_table(folder / "transfers.csv")
    delivered = transfers[transfers["delivered"] == True]  # noqa: E712  (an empty table has no type)
    metrics: dict[str, Any] = {"simulated_s": simulated_s, **of_transfers(transfers, simulated_s)}
    metrics |= of_devices(read_table(folder / "devices.csv"), delivered["size_bytes"].sum())
    if (folder / "evaluations.csv").is_file():
        evaluations = read_table(folder / "evaluations.csv")
        metrics |= of_evaluations(evaluations)
        metrics |= of_rounds(read_table(folder / "rounds.csv"), transfers)
        if (folder / "targets.csv").is_file():
            targets = read_table(folder / "targets.csv")
            metrics |= of_targets(evaluations, transfers, targets)
    if (folder / "clusters.csv").is_file():
        metrics |= of_clusters(read_table(folder / "clusters.csv"))
    return {
        name: value if isinstance(value, int) else float(value) for name, value in metrics.items()
    }


def read_table(table: Path) -> pd.DataFrame:
    """Read a table; empty cells, and no others, are missing values."""
    return pd.read_csv(table, keep_default_na=False, na_values=[""], dtype=_TEXTS)
