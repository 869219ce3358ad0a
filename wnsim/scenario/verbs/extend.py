"""`wnsim extend FOLDER --rounds N`: the runs of a results folder with more rounds.

Results end as those of a run that has had this number of rounds from the start. The rounds that
are there are simulated again, which takes seconds, but not trained again: the training cache has
them, unless the learning rate depends on the number of rounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fl.config.computing import schedule_of
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.options import add_overrides, add_results, add_traceback, add_where
from wnsim.scenario.spec.learning_package import check_learning_package
from wnsim.scenario.spec.plan import Run, only
from wnsim.scenario.spec.validation import allow
from wnsim.scenario.verbs.kept_runs import kept_presentation, kept_runs


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after the verb."""
    made = argparse.ArgumentParser(
        prog="wnsim extend",
        description="Run the complete runs of a results folder with more rounds. Rounds that are "
        "there are simulated again, but not trained again.",
    )
    made.add_argument("scenario", metavar="results", help="folder of a scenario's results")
    made.add_argument("--rounds", type=int, required=True, metavar="N", help="rounds in all")
    add_overrides(made)
    add_traceback(made)
    add_results(made, "<results>-<rounds>", "that of the extended results")
    add_where(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Extend the runs of a results folder; return the exit code.

    Raises
    ------
    ScenarioError
        if there is nothing to extend
    """
    options = parser().parse_args(arguments)
    check_learning_package()
    results = Path(options.scenario)
    plugins = allow(options.plugin)
    _check(results, kept_runs(results, options.set, plugins), options.rounds)
    shows = kept_presentation(results, plugins)
    runs = [
        replace(run, figures=shows.figures, metrics=shows.metrics)
        for run in kept_runs(results, [*options.set, f"fl.rounds={options.rounds}"], plugins)
    ]
    if any(schedule_of(run.scenario.fl.optimizer) != "constant" for run in runs if run.scenario.fl):
        print(
            "note: the learning rate of fl.optimizer.schedule depends on the number of rounds, so "
            "that all of them are trained again",
            file=sys.stderr,
        )
    longer = results.with_name(f"{results.name}-{options.rounds}")
    out = Path(options.out) if options.out else longer
    options.out = str(out)
    options.store = options.store or str(results / "store")
    options.verb = ("extend", f"--rounds={options.rounds}")
    from wnsim.scenario.__main__ import execute

    return execute(options, only(runs, options.only), out)


def _check(results: Path, runs: Sequence[Run], rounds: int) -> None:
    """Check that runs have fewer rounds.

    Raises
    ------
    ScenarioError
        if one has not
    """
    for run in runs:
        if run.scenario.fl is None:
            raise ScenarioError(f"{results}: its runs learn nothing, and have no rounds to extend")
        if rounds <= run.scenario.fl.rounds:
            raise ScenarioError(
                f"--rounds must be above those of {run.folder}, {run.scenario.fl.rounds}, "
                f"got {rounds}"
            )
