"""Runs of the comparison that are missing: tuning first, then the report at the chosen rate."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wnsim import Results, load, run
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.execution.parent import PARENT, end_with_parent

from . import rows as table
from . import tuning
from .entries import Entry, Field, Unit
from .rows import Rows


@dataclass
class Finished:
    """Rows of finished runs.

    Parameters
    ----------
    runs : one for each run
    by_task : one for each run and task, in fields with real text
    """

    runs: list[dict[str, Any]]
    by_task: list[dict[str, Any]]


def complete(
    field: Field,
    chosen: Sequence[Entry],
    rows: Rows,
    tasks_rows: Rows,
    scratch: Path,
    *,
    jobs: int,
    only_tune: bool,
    tasks: Path | None = None,
) -> None:
    """Run what a field's table lacks, and add it to the table as it is finished.

    Parameters
    ----------
    field, chosen : what is run, and where
    rows, tasks_rows : tables of the field, by run and by task
    scratch : folder of the results folders; an interrupted run goes on from there
    jobs : number of processes
    only_tune : whether to leave out the runs of the report
    tasks : folder of the tasks, for a field that needs one

    Raises
    ------
    ScenarioError
        if a run failed for another reason than divergence, or the folder of tasks is missing
    """
    if field.needs_tasks and tasks is None:
        raise ScenarioError(
            f"{field.path.name}: fl.tasks: the tasks of this field are files of yours; "
            "name their folder with --tasks FOLDER"
        )
    began, done = time.perf_counter(), 0
    with workers(jobs) as pool:
        pending: dict[Future[Finished], Unit] = {}
        started: set[tuple[str, int]] = set()
        while True:
            # One method after another, so that an interrupted command leaves whole ones.
            to_do = [
                (unit, seed)
                for entry in chosen
                for unit, seed in missing(field, entry, rows, only_tune=only_tune)
                if (unit.key(), seed) not in started
            ]
            for unit, seed in to_do[: jobs - len(pending)]:
                started.add((unit.key(), seed))
                pending[pool.submit(results, unit, seed, scratch, tasks)] = unit
            if not pending:
                return
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                unit = pending.pop(future)
                found = future.result()
                tasks_rows.add(found.by_task)
                rows.add(found.runs)
                done += 1
                accuracy = 100 * rows.of(unit)["accuracy_all_tasks"].fillna(0.0).mean()
                minutes = (time.perf_counter() - began) / 60
                print(
                    f"{field.name}: {unit.entry.name} {unit.phase} {unit.learning_rate:g}: "
                    f"{accuracy:.1f} %; {done} done, {minutes:.1f} min",
                    flush=True,
                )


@contextlib.contextmanager
def workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Yield processes for runs, which end with this one even if it is killed."""
    os.environ[PARENT] = str(os.getpid())
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, context, initializer=end_with_parent) as pool:
            yield pool
    finally:
        os.environ.pop(PARENT, None)


def missing(
    field: Field, entry: Entry, rows: Rows, *, only_tune: bool = False
) -> list[tuple[Unit, int]]:
    """Return the runs and seeds of a method that are next: those of tuning, or of the report."""
    units = tuning.units(field.tuned, entry, rows)
    if not units and not only_tune:
        units = [report(field, entry, rows)]
    return [
        (unit, seed)
        for unit in units
        for seed in unit.seeds
        if seed not in set(rows.of(unit)["seed"])
    ]


def report(field: Field, entry: Entry, rows: Rows) -> Unit:
    """Return the reported runs of a method, at its chosen rate."""
    rate, _ = tuning.chosen(field.tuned, entry, rows)
    return Unit(field, entry, rate, tuning=False)


def results(unit: Unit, seed: int, scratch: Path, tasks: Path | None = None) -> Finished:
    """Run a unit with a seed, and return its rows.

    Parameters
    ----------
    unit, seed : what is run
    scratch : folder of the results folders
    tasks : folder of the tasks, for a field that needs one

    Raises
    ------
    ScenarioError
        if a run failed for another reason than divergence
    """
    settings = unit.settings() | {"seed": seed, "repeat": 1}
    if unit.field.needs_tasks:
        settings["fl.tasks.folder"] = str(tasks)
    folder = scratch / unit.field.name / f"{unit.entry.name}-{unit.key()}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.log").open("w") as log, contextlib.redirect_stderr(log):
        plan = load(unit.field.path, settings=settings)
        failure: ScenarioError | None = None
        try:
            run(plan, folder, figures=False)
        except ScenarioError as error:
            failure = error
    found = _finished(unit, folder)
    if failure is not None and not found.runs:
        states = folder / "runs.csv"
        if not states.is_file() or "diverged" not in set(pd.read_csv(states)["state"]):
            raise failure
        found.runs.append(table.diverged(unit, seed))
    shutil.rmtree(folder)
    return found


def _finished(unit: Unit, folder: Path) -> Finished:
    """Return the rows of the runs in a results folder."""
    found = Finished([], [])
    if not (folder / "summary.csv").is_file():
        return found
    kept = Results(folder)
    metrics = kept.summary.pivot_table(index="run", columns="metric", values="value")
    for name, facts in kept.manifests.items():
        found.runs.append(table.row(unit, metrics.loc[name].to_dict(), facts))
        if unit.field.needs_tasks:
            evaluations = pd.read_csv(folder / name / "evaluations.csv")
            found.by_task += table.by_task(unit, facts["seed"], evaluations)
    return found
