"""Command line: validate, describe or run a scenario."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wnsim.scenario import verbs
from wnsim.scenario.errors import ScenarioError, Terminated, error_lines
from wnsim.scenario.execution.parent import end_with_parent
from wnsim.scenario.options import parser
from wnsim.scenario.spec.learning_package import check_learning_package
from wnsim.scenario.user_code import user_code_in_sentences

if TYPE_CHECKING:
    from pathlib import Path

    from wnsim.scenario.execution.execute import Outcome
    from wnsim.scenario.spec.plan import Run

_STOPPED = "\nstopped; run the same command again for the remaining runs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    The code is 0 on success, 2 if the input is invalid or a run failed, and 128 plus the number of
    the signal if a signal ended the program, or if the reader of its output has closed it.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal without UTF-8 gets escapes in place of an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Looking for plug-ins of Pydantic among all installed packages takes a while.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    verb, given = verbs.split(arguments)
    own = verbs.is_own(verb)
    options = None if own else parser().parse_args([*verbs.options_of(verb), *given])
    try:
        end_with_parent()
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
            if options is None:
                return verbs.run(verb, given)
            check_learning_package()
            with user_code_in_sentences(options.plugin, shows=options.traceback):
                return _run(options)
    except BrokenPipeError:
        # Python would fail once more when it flushes these at its end.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return 128 + signal.SIGPIPE
    except (ScenarioError, OSError, MemoryError) as error:
        for line in error_lines(error):
            print(line, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(_STOPPED, file=sys.stderr)
        return 130
    except Terminated as end:
        print(_STOPPED, file=sys.stderr)
        return int(end.code or 0)


def _run(options: argparse.Namespace) -> int:
    if options.list:
        from wnsim.scenario.spec.bundled import shipped
        from wnsim.scenario.spec.document import describing

        for name, path in shipped().items():
            print(f"{name:24} {describing(path.read_text('utf-8'))}")
        return 0
    if options.schema:
        from wnsim.scenario.spec.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return 0
    if options.completion is not None:
        from wnsim.scenario.completion import script

        print(script(options.completion))
        return 0
    if options.scenario is None:
        parser().print_usage(sys.stderr)
        print("a scenario is needed; --list shows the bundled ones", file=sys.stderr)
        return 2

    if options.until is not None and options.contacts is None:
        raise ScenarioError("--until is the time span of --contacts, which is missing")
    from wnsim.channel import OutOfRangeWarning
    from wnsim.scenario.simulation.advice import check
    from wnsim.scenario.spec.plan import only, plan, results_folder
    from wnsim.scenario.spec.validation import allow

    runs = plan(options.scenario, options.set, allow(options.plugin))
    runs = only(runs, options.only)
    warnings.simplefilter("ignore", OutOfRangeWarning)
    check(runs, options.scenario, trains=options.check)
    if options.contacts is not None:
        from wnsim.scenario.simulation.advice import contact_lines

        until_s = 600.0 if options.until is None else options.until
        for line in contact_lines(runs[0].scenario, options.contacts, until_s):
            print(line)
        return 0
    if options.check:
        _show(runs)
        return 0
    if options.dry_run:
        _print_forecast(runs)
        return 0
    return execute(options, runs, results_folder(runs[0], options.out))


def _show(runs: Sequence[Run]) -> None:
    """Print the runs of a plan, and the resolved scenario of each except for its seed."""
    from wnsim.scenario.simulation.advice import notes
    from wnsim.scenario.simulation.identity import resolved

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


def _print_forecast(runs: Sequence[Run]) -> None:
    """Print the forecast of each kind of run."""
    from wnsim.scenario.simulation.dry_run import lines

    alike: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        alike.setdefault((run.scenario.label, json.dumps(run.swept)), []).append(run)
    for some in alike.values():
        print(f"# {some[0].folder}")
        for line in lines(some[0].scenario, len(some)):
            print(line)


def execute(options: argparse.Namespace, runs: Sequence[Run], out: Path) -> int:
    """Execute runs into a results folder and print their outcome; return the exit code."""
    from wnsim.scenario.execution.from_options import reports_progress, run_from_options
    from wnsim.scenario.signals import termination_as_exception

    with termination_as_exception():
        outcome = run_from_options(options, runs, out, sys.stderr)
    if reports_progress():
        _tell(outcome, out)
    return 2 if outcome.failures else 0


def _tell(outcome: Outcome, out: Path) -> None:
    for name in outcome.skipped:
        print(f"{name}: complete already, not run again")
    for name, job in outcome.sent.items():
        print(f"{name}: job {job}")
    if outcome.sent:
        print("the same command without --launcher summarizes the results when the jobs have ended")
    print(f"results are in {out}")
    if outcome.failures:
        count = len(outcome.failures)
        print(f"{count} run{'s' if count > 1 else ''} failed:", file=sys.stderr)
    for name, wrong in outcome.failures.items():
        print(f"{name}: {wrong}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
