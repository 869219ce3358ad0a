"""Comparison of methods over the same air: python -m comparison [FIELD or CONDITION ...].

Runs what the tables in `results/` lack, in pieces: learning rates are tuned on validation examples
with development seeds, and the chosen rate is reported on others, and under conditions that change
a field. Then writes the page docs/methods-compared.md and its figures. An interrupted command goes
on where it was.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
from pathlib import Path

from wnsim.scenario.errors import ScenarioError

from . import page, study
from .entries import HERE, conditions, entries, fields
from .rows import of_field, tasks_of_field

ROOT = HERE.parent


def main() -> int:
    """Run what is missing, and write the page; return the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n\n")[0])
    parser.add_argument(
        "fields", nargs="*", metavar="FIELD", help="fields and conditions; all by default"
    )
    parser.add_argument("--methods", help="methods, separated by commas; all by default")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    parser.add_argument("--tune", action="store_true", help="tune learning rates only")
    parser.add_argument("--tasks", type=Path, help="folder of the tasks of real text")
    parser.add_argument("--page", action="store_true", help="write the page only")
    parser.add_argument("--scratch", type=Path, default=ROOT / "build" / "comparison")
    options = parser.parse_args()
    try:
        shared = fields()
        methods = entries(shared)
        changed = conditions(shared, methods)
        known = shared | changed
        runnable = [name for name, field in known.items() if options.tasks or not field.needs_tasks]
        wanted = options.fields or runnable
        named = options.methods.split(",") if options.methods else list(methods)
        for name, all_of in [(n, known) for n in wanted] + [(n, methods) for n in named]:
            if name not in all_of:
                raise ScenarioError(f"no {name!r} here; known: {', '.join(sorted(all_of))}")
        if options.tasks is not None and not options.tasks.is_dir():
            raise ScenarioError(
                f"--tasks: must be a folder with one subfolder per task, got {options.tasks}"
            )
        for field in () if options.page else (known[name] for name in wanted):
            chosen = [methods[name] for name in named if methods[name].runs_in(field)]
            study.complete(
                field, chosen, of_field(field, HERE), tasks_of_field(field, HERE), options.scratch,
                jobs=options.jobs, only_tune=options.tune,
                tasks=options.tasks and options.tasks.resolve(),
            )  # fmt: skip
        page.write(
            shared.values(), list(changed.values()), list(methods.values()), HERE, ROOT / "docs"
        )
    except ScenarioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
