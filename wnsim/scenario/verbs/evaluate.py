"""`wnsim evaluate FOLDER`: tests of the adapters that the runs of a results folder have saved."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.options import add_overrides, add_traceback
from wnsim.scenario.spec.learning_package import check_learning_package
from wnsim.scenario.spec.plan import only
from wnsim.scenario.spec.validation import allow
from wnsim.scenario.verbs.kept_runs import kept_runs
from wnsim.storage.records import Table, write_table

if TYPE_CHECKING:
    from wnsim.scenario.spec.plan import Run

_COLUMNS = (
    "run", "variant", "seed", "device", "task", "examples", "accuracy", "majority_accuracy",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after the verb."""
    made = argparse.ArgumentParser(
        prog="wnsim evaluate",
        description="Test the adapters that each run has saved at its end, each by itself, on the "
        "tasks of its scenario or on others: --set 'fl.tasks=[home, color]', --set "
        "fl.test_examples=200.",
    )
    made.add_argument("results", type=Path, help="folder of a scenario's results")
    add_overrides(made)
    add_traceback(made)
    made.add_argument(
        "--only", action="append", default=[], metavar="RUN", help="run to test (repeatable)"
    )
    made.add_argument(
        "--csv", type=Path, metavar="FILE", help="table (default: tests.csv in the folder)"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Test saved adapters; print mean accuracies, and write a table; return 0.

    Raises
    ------
    ScenarioError
        if there is no complete run, or a run has no adapters that can be tested
    """
    options = parser().parse_args(arguments)
    check_learning_package()
    runs = only(kept_runs(options.results, options.set, allow(options.plugin)), options.only)
    rows = []
    for run in runs:
        print(f"{run.folder}:", flush=True)
        tested = list(_tested(options.results / run.folder, run))
        for task in dict.fromkeys(row[4] for row in tested):
            values = [float(str(row[6])) for row in tested if row[4] == task]
            print(f"  {task}: {100 * sum(values) / len(values):.1f} % of {len(values)} devices")
        rows += tested
    path = options.csv or options.results / "tests.csv"
    write_table(path, Table(_COLUMNS, rows))
    print(f"accuracies are in {path}")
    return 0


def _tested(folder: Path, run: Run) -> Iterator[list[object]]:
    """Yield one row per device and task; see `_COLUMNS`.

    Raises
    ------
    ScenarioError
        if there are no adapters, or they do not fit the model
    """
    from wnsim.scenario.simulation.learning import saved_scores

    scenario = run.scenario
    if scenario.fl is None:
        raise ScenarioError(f"{folder}: the run has learned nothing")
    adapters = {
        path.name.removeprefix("device-"): path
        for path in sorted((folder / "adapters").glob("device-*"))
        if path.is_dir() and not any(each.is_symlink() for each in (path, *path.iterdir()))
    }
    if not adapters:
        raise ScenarioError(f"{folder}: has no folder adapters with device-...")
    names = sorted(adapters, key=lambda name: (len(name), name))
    for name, of_tasks in zip(
        names, saved_scores(scenario, [adapters[name] for name in names]), strict=True
    ):
        for task, examples, accuracy, majority in of_tasks:
            yield [
                run.folder, scenario.label, scenario.seed, name, task, examples, accuracy, majority
            ]  # fmt: skip
