"""The command line: run a scenario, or say what is wrong with it."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wnsim.scenario.errors import Ended, ScenarioError, sentence
from wnsim.scenario.options import parser
from wnsim.scenario.spec.learning_package import check_fl

if TYPE_CHECKING:
    from pathlib import Path

    from wnsim.scenario.execution.execute import Outcome
    from wnsim.scenario.spec.plan import Run

_STOPPED = "\nstopped; the same command goes on with the runs not done yet"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    It is 0, or 2 if the input is wrong or a run failed, or 128 and more if a signal ended it.
    """
    options = parser().parse_args(arguments)
    try:
        check_fl()
        with warnings.catch_warnings():
            return _run(options)
    except BrokenPipeError:
        # Whoever read our output has had enough of it.
        sys.stderr.close()
        return 0
    except (ScenarioError, OSError, MemoryError) as error:
        print(sentence(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(_STOPPED, file=sys.stderr)
        return 130
    except Ended as end:
        print(_STOPPED, file=sys.stderr)
        return int(end.code or 0)


def _run(options: argparse.Namespace) -> int:
    from wnsim.scenario.spec.document import describing
    from wnsim.scenario.spec.validation import allow, shipped

    if options.list:
        for name, path in shipped().items():
            print(f"{name:24} {describing(path.read_text('utf-8'))}")
        return 0
    if options.schema:
        from wnsim.scenario.spec.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return 0
    if options.scenario is None:
        parser().print_usage(sys.stderr)
        print("a scenario is needed; --list shows those on board", file=sys.stderr)
        return 2

    if options.until is not None and options.contacts is None:
        raise ScenarioError("--until says how long to look for contacts: give --contacts too")
    from wnsim.channel import OutOfRangeWarning
    from wnsim.scenario.simulation.build import check
    from wnsim.scenario.spec.plan import only, plan

    runs = plan(options.scenario, options.set, allow(options.plugin))
    runs = only(runs, options.only)
    warnings.simplefilter("ignore", OutOfRangeWarning)
    check(runs, options.scenario)
    if options.contacts is not None:
        from wnsim.scenario.simulation.build import contact_lines

        until_s = 600.0 if options.until is None else options.until
        for line in contact_lines(runs[0].scenario, options.contacts, until_s):
            print(line)
        return 0
    if options.check:
        _show(runs)
        return 0
    if options.dry_run:
        _foresee(runs)
        return 0
    return _execute(options, runs)


def _show(runs: Sequence[Run]) -> None:
    """Print which runs there are, and what they resolve to but for their seeds."""
    from wnsim.scenario.simulation.build import notes, resolved

    shown = set()
    for run in runs:
        print(f"# run {run.folder}")
    for run in runs:
        key = (run.scenario.label, json.dumps(run.swept))
        if key not in shown:
            shown.add(key)
            print(f"---\n# {run.folder}")
            for note in notes(run.scenario):
                print(f"# note: {note}")
            print(resolved(run.scenario), end="")


def _foresee(runs: Sequence[Run]) -> None:
    """Print what each kind of run is to be expected to come to."""
    from wnsim.scenario.simulation.dry_run import lines

    alike: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        alike.setdefault((run.scenario.label, json.dumps(run.swept)), []).append(run)
    for some in alike.values():
        print(f"# {some[0].folder}")
        for line in lines(some[0].scenario, len(some)):
            print(line)


def _execute(options: argparse.Namespace, runs: Sequence[Run]) -> int:
    """Run the runs, and say what became of them."""
    from wnsim.scenario.execution.from_options import carry_out, speaks
    from wnsim.scenario.execution.local_jobs import told_to_end
    from wnsim.scenario.spec.plan import results_folder

    out = results_folder(runs[0], options.out)
    with told_to_end():
        outcome = carry_out(options, runs, out, sys.stderr)
    if speaks():
        _tell(outcome, out)
    return 2 if outcome.failures else 0


def _tell(outcome: Outcome, out: Path) -> None:
    for name in outcome.skipped:
        print(f"{name}: complete already, not run again")
    for name, job in outcome.sent.items():
        print(f"{name}: job {job}")
    if outcome.sent:
        print("the same command without --launcher gathers the results when the jobs have ended")
    print(f"results are in {out}")
    if outcome.failures:
        count = len(outcome.failures)
        print(f"{count} run{'s' if count > 1 else ''} failed:", file=sys.stderr)
    for name, wrong in outcome.failures.items():
        print(f"{name}: {wrong}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
