"""What the options ask for, carried out: where, how many at once, and who is told of it."""

from __future__ import annotations

import argparse
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from wnsim.channel import OutOfRangeWarning
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.execution.execute import Outcome, Way, execute
from wnsim.scenario.execution.local_jobs import Reporter
from wnsim.scenario.options import command
from wnsim.scenario.progress import Display
from wnsim.scenario.simulation.build import notes
from wnsim.scenario.simulation.learning import Keeping, place

if TYPE_CHECKING:
    from wnsim.scenario.execution.cluster_jobs import Launcher
    from wnsim.scenario.spec.plan import Run


def carry_out(
    options: argparse.Namespace, runs: Sequence[Run], out: Path, stream: TextIO
) -> Outcome:
    """Run what is not complete of a plan.

    Parameters
    ----------
    options : of the command line
    runs : the runs of one scenario file that they ask for
    out : folder of results
    stream : where progress is shown, if this process speaks

    Raises
    ------
    ScenarioError
        as `execute`, or if the options do not go with how this process was started
    """
    # Of several processes that work together, the first one alone speaks.
    mine = place()
    if mine is not None and (options.jobs > 1 or options.launcher is not None):
        raise ScenarioError(
            "--jobs and --launcher: must not be used under torchrun or srun, whose processes share "
            "every run; leave out the one or the other"
        )
    if not speaks():
        stream = io.StringIO()
    json_wanted = options.progress == "json"
    with (
        warnings.catch_warnings(),
        Reporter(stream) if json_wanted else Display(stream) as watcher,
    ):
        for note in dict.fromkeys(note for run in runs for note in notes(run.scenario)):
            watcher.say(f"note: {note}")
        warnings.simplefilter("always", OutOfRangeWarning)
        warnings.showwarning = lambda message, *_: watcher.say(f"note: {message}")
        folder = Path(options.store) if options.store else out / "store"
        keeping = Keeping(folder, int(options.store_gib * 2**30))
        return execute(runs, out, keeping, _way(options, out), watcher)


def speaks() -> bool:
    """Return whether this process is the one of several that is to be heard."""
    mine = place()
    return mine is None or mine.rank == 0


def _way(options: argparse.Namespace, out: Path) -> Way:
    """Return how the options want the runs to be computed."""

    def launcher() -> Launcher:
        from wnsim.scenario.execution.cluster_jobs import Launcher

        kind = options.launcher
        return Launcher(kind, out / kind, out.resolve().name, options.launcher_option)

    return Way(
        lambda run: command(options, run),
        jobs=options.jobs,
        launcher=None if options.launcher is None else launcher,
        waits=options.launcher == "local",
        gathers=not options.only,
    )
