"""Execution as requested by command-line options."""

from __future__ import annotations

import argparse
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from wnsim.channel import OutOfRangeWarning
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.execution.cluster_jobs import Launcher
from wnsim.scenario.execution.dask_jobs import DaskLauncher
from wnsim.scenario.execution.execute import ExecutionOptions, Outcome, execute
from wnsim.scenario.execution.live_page import LivePage
from wnsim.scenario.execution.local_jobs import Reporter
from wnsim.scenario.options import command
from wnsim.scenario.progress import Display, Followed, Progress, Watcher
from wnsim.scenario.simulation.advice import notes
from wnsim.scenario.simulation.learning import StoreConfig, launcher_rank
from wnsim.scenario.summary.summarize import summarize
from wnsim.storage.parquet import pyarrow_parquet

if TYPE_CHECKING:
    from wnsim.scenario.spec.plan import Run


def run_from_options(
    options: argparse.Namespace,
    runs: Sequence[Run],
    out: Path,
    stream: TextIO,
    follow: Callable[[Progress], object] | None = None,
) -> Outcome:
    """Execute the pending runs of a plan as requested by command-line options.

    Parameters
    ----------
    options : parsed command line
    runs : selected runs of one scenario file
    out : results folder
    stream : stream of the progress display, if this process reports it
    follow : is called with the progress of each run; an exception that it raises ends all

    Raises
    ------
    ScenarioError
        as `execute`, or if the options conflict with the launcher that started this process
    Interrupted
        if `follow` raised an exception
    """
    # Only the first of several cooperating processes reports.
    mine = launcher_rank()
    if mine is not None and (options.jobs > 1 or options.launcher is not None):
        raise ScenarioError(
            "--jobs and --launcher: must not be used under torchrun or srun, whose processes share "
            "every run; leave out the one or the other"
        )
    if options.tables == "parquet":
        try:
            pyarrow_parquet("--tables parquet")
        except ValueError as error:
            raise ScenarioError(str(error)) from error
    if not reports_progress():
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
        store_config = StoreConfig(folder, int(options.store_gib * 2**30))
        watched: Watcher = watcher if follow is None else Followed(watcher, follow)
        execution = _execution_options(options, out)
        if not options.watch or not reports_progress():
            return execute(runs, out, store_config, execution, watched)

        def renew() -> None:
            if execution.summarizes:
                summarize(runs, out, draws=execution.draws)

        with LivePage(watched, out, options.watch_port, renew) as page:
            return execute(runs, out, store_config, execution, page)


def reports_progress() -> bool:
    """Return whether this process reports progress; one of several does."""
    mine = launcher_rank()
    return mine is None or mine.rank == 0


def _execution_options(options: argparse.Namespace, out: Path) -> ExecutionOptions:
    """Return the execution options that the command line requests."""
    kind = options.launcher

    def cluster() -> Launcher:
        return Launcher(kind, out / kind, out.resolve().name, options.launcher_option)

    def dask() -> DaskLauncher:
        return DaskLauncher(out, options.launcher_option)

    waiting: dict[str, Callable[[], Launcher | DaskLauncher]] = {"local": cluster, "dask": dask}
    return ExecutionOptions(
        lambda run: command(options, run),
        jobs=options.jobs,
        launcher=waiting.get(kind),
        submitter=cluster if kind == "slurm" else None,
        summarizes=not options.only,
        draws=not options.no_figures,
        tables=options.tables,
    )
