"""What is recorded of faults."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A fault: a row of `faults.csv`.

    Parameters
    ----------
    time_s : when it begins [s]
    kind : `crash`, `churn`, `blackout`, `jamming`, `station`, `straggler`, `byzantine`, or
        `corruption` of an update that arrived
    where : the device or station, the link, or the area
    what : what it does
    until_s : when it ends [s]; NaN: never
    """

    time_s: float
    kind: str
    where: str
    what: str
    until_s: float


def by_time(rows: Iterable[Row]) -> list[Row]:
    """Return rows in the order of a table."""
    return sorted(rows, key=lambda row: (row.time_s, row.kind, row.where, row.what))
