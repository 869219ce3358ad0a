"""Records of faults."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A fault: a row of `faults.csv`.

    Parameters
    ----------
    time_s : start [s]
    kind : `crash`, `churn`, `link-outage`, `jamming`, `station-failure`, `straggler`, `byzantine`,
        or `corruption` of an update that arrived
    location : device, base station, link or area
    description : effect of the fault
    until_s : end [s]; NaN: never
    """

    time_s: float
    kind: str
    location: str
    description: str
    until_s: float


def by_time(rows: Iterable[Row]) -> list[Row]:
    """Return rows sorted as in the table."""
    return sorted(rows, key=lambda row: (row.time_s, row.kind, row.location, row.description))
