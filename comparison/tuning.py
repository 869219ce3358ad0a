"""Choice of a method's learning rate on development seeds, with grids that grow at their ends."""

from __future__ import annotations

from .entries import LADDER, Entry, Field, Unit
from .rows import Rows

_MOST_EXTENSIONS = 4


def units(field: Field, entry: Entry, rows: Rows) -> list[Unit]:
    """Return the tuning runs that a method still needs; none: its rate can be chosen."""
    grid = {rate: Unit(field, entry, rate, tuning=True) for rate in entry.grid(field)}
    for _ in range(_MOST_EXTENSIONS + 1):
        missing = [unit for unit in grid.values() if not _complete(unit, rows)]
        if missing:
            return missing
        rate = _beyond(best(list(grid.values()), rows), list(grid))
        if rate is None:
            return []
        grid[rate] = Unit(field, entry, rate, tuning=True)
    return []


def chosen(field: Field, entry: Entry, rows: Rows) -> tuple[float, bool]:
    """Return the chosen rate, and whether it is at an end of the grid nevertheless.

    Raises
    ------
    LookupError
        if tuning runs are missing
    """
    if units(field, entry, rows):
        raise LookupError(entry.name)
    grid = [Unit(field, entry, rate, tuning=True) for rate in (*entry.grid(field), *LADDER)]
    known = {unit.learning_rate: unit for unit in grid if _complete(unit, rows)}
    rate = best(list(known.values()), rows)
    return rate, rate in (min(known), max(known))


def best(grid: list[Unit], rows: Rows) -> float:
    """Return the rate with the highest mean accuracy, the lowest of equal ones.

    The accuracy is that on all tasks, or on own tasks for a method that sends nothing. A run that
    diverged counts as accuracy 0.
    """
    means: dict[float, float] = {}
    for unit in sorted(grid, key=lambda unit: unit.learning_rate):
        runs = rows.of(unit)
        alone = not runs["offered_bytes"].fillna(0).any()
        metric = "accuracy_own_task" if alone else "accuracy_all_tasks"
        means[unit.learning_rate] = float(runs[metric].fillna(0.0).mean())
    return max(means, key=lambda rate: means[rate])


def _complete(unit: Unit, rows: Rows) -> bool:
    return set(unit.field.development) <= set(rows.of(unit)["seed"])


def _beyond(rate: float, grid: list[float]) -> float | None:
    """Return the rate of the ladder beyond an end of a grid; None for a rate inside it."""
    if rate == max(grid):
        return next((each for each in LADDER if each > rate * (1 + 1e-9)), None)
    if rate == min(grid):
        return next((each for each in reversed(LADDER) if each < rate * (1 - 1e-9)), None)
    return None
