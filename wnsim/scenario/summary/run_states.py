"""States of the planned runs: which have finished, failed or diverged, and which are pending."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from wnsim.scenario.execution.failures import FAILED, failure_of
from wnsim.scenario.spec.plan import Run
from wnsim.storage.records import Table

FINISHED, PENDING = "finished", "pending"


def run_states(
    runs: Sequence[Run], out: Path, finished: Collection[str], failures: Mapping[str, str]
) -> Table:
    """Return the state of each planned run: a row of `runs.csv` each.

    Parameters
    ----------
    runs : runs of a scenario
    out : results folder
    finished : names of the complete runs
    failures : error messages of runs that have just failed, by name
    """
    swept = list(dict.fromkeys(key for run in runs for key in run.swept))
    rows: list[list[Any]] = []
    for run in runs:
        state, why = _state(run, out, finished, failures)
        values = [run.swept.get(key, "") for key in swept]
        rows.append([run.folder, run.scenario.label, run.scenario.seed, *values, state, why])
    return Table(("run", "variant", "seed", *swept, "state", "error"), rows)


def said(table: Table) -> str:
    """Return the number of runs in each state as text, from the rows of `run_states`."""
    rows = list(table.rows)
    states = Counter(row[-2] for row in rows)
    parts = [f"{count} {state}" for state, count in states.most_common()]
    return f"{len(rows)} planned: " + ", ".join(parts)


def _state(
    run: Run, out: Path, finished: Collection[str], failures: Mapping[str, str]
) -> tuple[str, str]:
    """Return the state of a run, and the error of a failed one."""
    if run.folder in finished:
        return FINISHED, ""
    failure = failure_of(out / run.folder)
    if failure is not None:
        return failure.status, failure.error
    if run.folder in failures:
        # It ended before it could record its error.
        lines = failures[run.folder].strip().splitlines()
        return FAILED, lines[-1] if lines else ""
    return PENDING, ""
