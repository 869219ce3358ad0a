"""Runs of the comparison that are missing: tuning first, then the report at the chosen rate."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import pandas as pd

from wnsim import Results, load, run
from wnsim.scenario.errors import ScenarioError

from . import rows as table
from . import tuning
from .entries import DEVELOPMENT, Entry, Field, Unit
from .rows import Rows


def complete(
    field: Field, chosen: Sequence[Entry], rows: Rows, scratch: Path, *, jobs: int, only_tune: bool
) -> None:
    """Run what a field's table lacks, and add it to the table as it is finished.

    Parameters
    ----------
    field, chosen : what is run, and where
    rows : table of the field
    scratch : folder of the results folders; an interrupted run goes on from there
    jobs : number of processes
    only_tune : whether to leave out the runs of the report
    """
    began, done = time.perf_counter(), 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        pending: dict[Future[list[dict[str, Any]]], Unit] = {}
        started: set[str] = set()
        while True:
            # One method after another, so that an interrupted command leaves whole ones.
            to_do = [
                unit
                for entry in chosen
                for unit in missing(field, entry, rows, only_tune=only_tune)
                if unit.key() not in started
            ]
            for unit in to_do[: jobs - len(pending)]:
                started.add(unit.key())
                pending[pool.submit(results, unit, _seeds(unit), scratch)] = unit
            if not pending:
                return
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                unit = pending.pop(future)
                rows.add(future.result())
                done += 1
                accuracy = 100 * rows.of(unit)["accuracy_all_tasks"].fillna(0.0).mean()
                minutes = (time.perf_counter() - began) / 60
                print(
                    f"{field.name}: {unit.entry.name} {unit.phase} {unit.learning_rate:g}: "
                    f"{accuracy:.1f} %; {done} done, {minutes:.1f} min",
                    flush=True,
                )


def missing(field: Field, entry: Entry, rows: Rows, *, only_tune: bool = False) -> list[Unit]:
    """Return what of a method is to be run next: tuning runs, or else those of the report."""
    if to_tune := tuning.units(field, entry, rows):
        return to_tune
    unit = report(field, entry, rows)
    known = set(rows.of(unit)["seed"])
    return [] if only_tune or set(field.seeds) <= known else [unit]


def report(field: Field, entry: Entry, rows: Rows) -> Unit:
    """Return the reported runs of a method, at its chosen rate."""
    rate, _ = tuning.chosen(field, entry, rows)
    return Unit(field, entry, rate, tuning=False)


def results(unit: Unit, seeds: Sequence[int], scratch: Path) -> list[dict[str, Any]]:
    """Run a unit with consecutive seeds, and return its rows.

    Raises
    ------
    ScenarioError
        if a run failed for another reason than divergence
    """
    settings = unit.settings() | {"seed": seeds[0], "repeat": len(seeds)}
    folder = scratch / unit.field.name / f"{unit.entry.name}-{unit.key()}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.log").open("w") as log, contextlib.redirect_stderr(log):
        plan = load(unit.field.path, settings=settings)
        failure: ScenarioError | None = None
        try:
            run(plan, folder, figures=False)
        except ScenarioError as error:
            failure = error
    states = pd.read_csv(folder / "runs.csv") if (folder / "runs.csv").is_file() else None
    lost = [] if states is None else states.loc[states["state"] == "diverged", "seed"].tolist()
    found = [*_finished(unit, folder), *(table.diverged(unit, seed) for seed in lost)]
    if failure is not None and len(found) < len(seeds):
        raise failure
    shutil.rmtree(folder)
    return found


def _finished(unit: Unit, folder: Path) -> Iterator[dict[str, Any]]:
    if not (folder / "summary.csv").is_file():
        return
    kept = Results(folder)
    metrics = kept.summary.pivot_table(index="run", columns="metric", values="value")
    for name, facts in kept.manifests.items():
        yield table.row(unit, metrics.loc[name].to_dict(), facts)


def _seeds(unit: Unit) -> Sequence[int]:
    return DEVELOPMENT if unit.tuning else unit.field.seeds
