"""From a plan to its results: what is not complete is run, one way or another, then gathered."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wnsim.scenario.errors import ScenarioError, sentence
from wnsim.scenario.execution.cluster_jobs import Launcher
from wnsim.scenario.execution.local_jobs import run_at_once
from wnsim.scenario.execution.resume import locked, make_ready, unfinished
from wnsim.scenario.progress import Watcher
from wnsim.scenario.simulation.learning import Keeping, together
from wnsim.scenario.simulation.simulate import run_one
from wnsim.scenario.spec.plan import Run
from wnsim.scenario.summary.summarize import gather

if TYPE_CHECKING:
    from fl.engine.ranks import Ranks


@dataclass(frozen=True)
class Way:
    """How the runs of a plan are computed.

    Parameters
    ----------
    command : returns the command line that computes a run
    jobs : how many at once on this machine
    launcher : makes what hands them to a cluster; none: they are computed here
    waits : whether to wait for what is handed over
    gathers : whether this process writes the summary and the figures
    """

    command: Callable[[str], Sequence[str]]
    jobs: int = 1
    launcher: Callable[[], Launcher] | None = None
    waits: bool = False
    gathers: bool = True


@dataclass
class Outcome:
    """What became of the runs of a plan.

    Parameters
    ----------
    skipped : names of those that were complete already
    sent : ids of the jobs that were handed over and not waited for, by run
    failures : what went wrong, by run
    """

    skipped: list[str] = field(default_factory=list)
    sent: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def execute(
    runs: Sequence[Run], out: Path, keeping: Keeping, way: Way, watcher: Watcher
) -> Outcome:
    """Run what is not complete yet, and write what all of it comes to.

    If a launcher has started several processes, all of them run everything and share the training;
    the first one alone reads and writes files.

    Parameters
    ----------
    runs : the runs of one scenario file
    out : folder of results
    keeping : where results of training are kept
    way : how they are computed
    watcher : is told of progress

    Raises
    ------
    ScenarioError
        if a folder holds the results of another scenario or is in use, or if there is one run only
        or several processes share them, and one cannot be run
    """
    outcome = Outcome()
    with contextlib.ExitStack() as stack:
        with together(runs) as ranks:
            first = ranks is None or ranks.rank == 0
            todo: list[Run] = []
            if first:
                if way.gathers:
                    stack.enter_context(locked(out))
                todo, outcome.skipped = unfinished(runs, out)
            todo = _agreed(runs, todo, ranks)
            watcher.expect([run.folder for run in todo])
            if ranks is not None:
                for run in todo:
                    _one(run, out, keeping, watcher, ranks)
            elif todo and (way.launcher is not None or way.jobs > 1):
                _elsewhere(todo, way, watcher, outcome)
            else:
                for run in todo:
                    with _survived(run, len(runs), outcome.failures, watcher):
                        _one(run, out, keeping, watcher, None)
        if first and way.gathers and not outcome.sent:
            gather(runs, out)
    return outcome


def _agreed(runs: Sequence[Run], todo: list[Run], ranks: Ranks | None) -> list[Run]:
    """Return what the first of several processes has found to do."""
    if ranks is None:
        return todo
    names = json.loads(ranks.broadcast(json.dumps([run.folder for run in todo]).encode()))
    return [run for run in runs if run.folder in names]


def _one(run: Run, out: Path, keeping: Keeping, watcher: Watcher, ranks: Ranks | None) -> None:
    """Run one run, in its folder that nobody else may write in meanwhile."""
    folder = out / run.folder
    if ranks is not None and ranks.rank > 0:
        if ranks.broadcast(b""):
            run_one(run, folder, watcher, keeping, ranks)
        return
    with locked(folder):
        ready = make_ready(run, out)
        if ranks is not None:
            ranks.broadcast(b"ready" if ready else b"")
        if ready:
            run_one(run, folder, watcher, keeping, ranks)


@contextlib.contextmanager
def _survived(run: Run, count: int, failures: dict[str, str], watcher: Watcher) -> Iterator[None]:
    """Note what goes wrong in a run of several, so that the others are not stopped by it."""
    try:
        yield
    except Exception as error:
        if count == 1:
            raise
        # A mistake in the program is told in full; what may be wrong around it in a sentence.
        wrong = traceback.format_exc()
        if isinstance(error, ScenarioError | OSError | MemoryError):
            wrong = sentence(error)
        failures[run.folder] = wrong
        watcher.say(f"{run.folder}: failed: {wrong}")
    finally:
        watcher.over(run.folder)


def _elsewhere(todo: Sequence[Run], way: Way, watcher: Watcher, outcome: Outcome) -> None:
    """Let other processes run runs."""
    commands = {run.folder: way.command(run.folder) for run in todo}
    if way.launcher is None:
        outcome.failures = run_at_once(commands, way.jobs, watcher)
    elif way.waits:
        outcome.failures = way.launcher().finish(commands, way.jobs, watcher)
    else:
        outcome.sent = way.launcher().submit(commands)
