"""Execution of a plan: pending runs are computed here or elsewhere, then summarized."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wnsim.scenario.errors import ScenarioError, error_message
from wnsim.scenario.execution.cluster_jobs import Launcher
from wnsim.scenario.execution.dask_jobs import DaskLauncher
from wnsim.scenario.execution.failures import recorded
from wnsim.scenario.execution.local_jobs import run_at_once
from wnsim.scenario.execution.resume import locked, pending_runs, prepare_folder
from wnsim.scenario.progress import Watcher
from wnsim.scenario.simulation.identity import plugin_sources
from wnsim.scenario.simulation.learning import StoreConfig, join_ranks
from wnsim.scenario.simulation.simulate import run_one
from wnsim.scenario.spec.plan import Run
from wnsim.scenario.summary.summarize import summarize

if TYPE_CHECKING:
    from fl.engine.ranks import Ranks


@dataclass(frozen=True)
class ExecutionOptions:
    """Options of the execution of a plan.

    Parameters
    ----------
    command : returns the command line that computes a run
    jobs : number of concurrent runs on this machine
    launcher : makes what computes runs elsewhere and waits for them; None: this machine computes
    submitter : makes what submits runs and does not wait; None: they are waited for
    summarizes : whether this process writes the summary
    draws : whether the figures belong to the summary
    tables : format of the tables of runs, `csv` or `parquet`
    """

    command: Callable[[str], Sequence[str]]
    jobs: int = 1
    launcher: Callable[[], Launcher | DaskLauncher] | None = None
    submitter: Callable[[], Launcher] | None = None
    summarizes: bool = True
    draws: bool = True
    tables: str = "csv"


@dataclass
class Outcome:
    """Outcome of the runs of a plan.

    Parameters
    ----------
    skipped : names of the runs that were complete before
    sent : ids of submitted jobs that were not waited for, by run
    failures : error message by run
    """

    skipped: list[str] = field(default_factory=list)
    sent: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def execute(
    runs: Sequence[Run],
    out: Path,
    store_config: StoreConfig,
    options: ExecutionOptions,
    watcher: Watcher,
) -> Outcome:
    """Compute the pending runs of a plan and summarize all complete ones.

    If a launcher such as torchrun has started several processes, each of them simulates every run
    and they share the training; only the first one reads and writes files.

    Parameters
    ----------
    runs : runs of one scenario file
    out : results folder
    store_config : training cache
    options : execution options
    watcher : receives the progress

    Raises
    ------
    ScenarioError
        if a folder holds the results of another scenario or is in use; also if a run fails that is
        the only one or is shared by several processes
    """
    outcome = Outcome()
    with contextlib.ExitStack() as stack:
        with join_ranks(runs) as ranks:
            first = ranks is None or ranks.rank == 0
            todo: list[Run] = []
            if first:
                if options.summarizes:
                    stack.enter_context(locked(out))
                todo, outcome.skipped = pending_runs(runs, out)
            todo = _agreed(runs, todo, ranks)
            watcher.expect([run.folder for run in todo])
            if ranks is not None:
                for run in todo:
                    _one(run, out, store_config, options, watcher, ranks)
            elif todo and (options.launcher or options.submitter or options.jobs > 1):
                _run_in_subprocesses(todo, options, watcher, outcome)
            else:
                for run in todo:
                    with _continue_on_error(run, len(runs), outcome.failures, watcher):
                        _one(run, out, store_config, options, watcher, None)
        if first and options.summarizes and not outcome.sent:
            summarize(runs, out, outcome.failures, draws=options.draws)
    return outcome


def _agreed(runs: Sequence[Run], todo: list[Run], ranks: Ranks | None) -> list[Run]:
    """Return the pending runs found by the first of several processes."""
    if ranks is None:
        return todo
    names = json.loads(ranks.broadcast(json.dumps([run.folder for run in todo]).encode()))
    return [run for run in runs if run.folder in names]


def _one(
    run: Run,
    out: Path,
    store_config: StoreConfig,
    options: ExecutionOptions,
    watcher: Watcher,
    ranks: Ranks | None,
) -> None:
    """Compute one run in its folder, which is locked meanwhile."""
    folder = out / run.folder
    if ranks is not None and ranks.rank > 0:
        if ranks.broadcast(b""):
            run_one(run, folder, watcher, store_config, ranks, options.tables)
        return
    with locked(folder):
        ready = prepare_folder(run, out)
        if ranks is not None:
            ranks.broadcast(b"ready" if ready else b"")
        if ready:
            with recorded(folder, list(map(str, plugin_sources(run.scenario)))):
                run_one(run, folder, watcher, store_config, ranks, options.tables)


@contextlib.contextmanager
def _continue_on_error(
    run: Run, count: int, failures: dict[str, str], watcher: Watcher
) -> Iterator[None]:
    """Record the error of one of several runs, and continue with the others."""
    try:
        yield
    except Exception as error:
        if count == 1:
            raise
        # A traceback for errors in the program, one line for errors of input and machine.
        wrong = traceback.format_exc()
        if isinstance(error, ScenarioError | OSError | MemoryError):
            wrong = error_message(error)
        failures[run.folder] = wrong
        watcher.say(f"{run.folder}: failed: {wrong}")
    finally:
        watcher.over(run.folder)


def _run_in_subprocesses(
    todo: Sequence[Run], options: ExecutionOptions, watcher: Watcher, outcome: Outcome
) -> None:
    """Compute runs in other processes."""
    commands = {run.folder: options.command(run.folder) for run in todo}
    if options.submitter is not None:
        outcome.sent = options.submitter().submit(commands)
    elif options.launcher is not None:
        outcome.failures = options.launcher().finish(commands, options.jobs, watcher)
    else:
        outcome.failures = run_at_once(commands, options.jobs, watcher)
