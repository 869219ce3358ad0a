"""Metrics of a run, computed from its tables alone.

Each module covers one table and defines its metrics in `DEFINITIONS`: name, definition, and the
unit in brackets if there is one. An asterisk in a name stands for a value set in the scenario.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from wnsim.metrics import classes, clusters, delivery, devices, learning, queries, rounds
from wnsim.metrics.classes import of_classes
from wnsim.metrics.clusters import of_clusters
from wnsim.metrics.delivery import of_transfers
from wnsim.metrics.devices import of_devices
from wnsim.metrics.intervals import interval
from wnsim.metrics.learning import of_evaluations, of_targets
from wnsim.metrics.queries import of_queries
from wnsim.metrics.rounds import of_rounds
from wnsim.metrics.tables import columns_of, read_table, read_transfers, table_file
from wnsim.metrics.user_defined import RunTables, own_definition, own_metrics

__all__ = [
    "DEFINITIONS",
    "RunTables",
    "columns_of",
    "definition",
    "interval",
    "of_run",
    "own_metrics",
    "read_table",
    "read_transfers",
    "table_file",
]

DEFINITIONS: dict[str, str] = {
    "simulated_s": "simulated time [s]",
    **delivery.DEFINITIONS,
    **learning.DEFINITIONS,
    **rounds.DEFINITIONS,
    **devices.DEFINITIONS,
    **classes.DEFINITIONS,
    **clusters.DEFINITIONS,
    **queries.DEFINITIONS,
}


def definition(metric: str) -> str:
    """Return the definition of a metric.

    Raises
    ------
    KeyError
        if there is no such metric, or it is user-defined and its module is not imported here
    """
    if ":" in metric:
        try:
            return own_definition(metric)
        except ValueError:
            raise KeyError(metric) from None
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
    transfers = read_transfers(folder, delivery.COLUMNS)
    delivered = transfers["delivered"] == True  # noqa: E712  (an empty table has no type)
    delivered_bytes = transfers.loc[delivered, "size_bytes"].sum()
    metrics: dict[str, Any] = {"simulated_s": simulated_s, **of_transfers(transfers, simulated_s)}
    del transfers, delivered
    metrics |= of_devices(read_table(folder / "devices.csv"), delivered_bytes)
    if table_file(folder / "evaluations.csv"):
        evaluations = read_table(folder / "evaluations.csv")
        metrics |= of_evaluations(evaluations)
        updates = read_transfers(folder, rounds.COLUMNS)
        metrics |= of_rounds(read_table(folder / "rounds.csv"), updates)
        if table_file(folder / "targets.csv"):
            targets = read_table(folder / "targets.csv")
            spent = table_file(folder / "energy.csv")
            energy = None if spent is None else read_table(spent)
            metrics |= of_targets(evaluations, updates, targets, energy)
    if table_file(folder / "classes.csv"):
        metrics |= of_classes(read_table(folder / "classes.csv"))
    if table_file(folder / "clusters.csv"):
        metrics |= of_clusters(read_table(folder / "clusters.csv"))
    if table_file(folder / "queries.csv"):
        metrics |= of_queries(read_table(folder / "queries.csv"))
    return {
        name: value if isinstance(value, int) else float(value) for name, value in metrics.items()
    }
