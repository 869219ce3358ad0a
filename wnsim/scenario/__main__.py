"""The command line: run a scenario, or say what is wrong with it."""

from __future__ import annotations

import argparse
import io
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wnsim.scenario.errors import ScenarioError, sentence
from wnsim.scenario.neighbor import check_fl
from wnsim.scenario.options import command, parser

if TYPE_CHECKING:
    from wnsim.scenario.execute import Outcome, Way
    from wnsim.scenario.sweep import Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 2 if the input is wrong or a run failed."""
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
        print("\nstopped; the same command goes on with the runs not done yet", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    from wnsim.scenario.load import allow, shipped

    if options.list:
        for name, path in shipped().items():
            # The first line is for editors, the second one for people.
            shows = path.read_text("utf-8").splitlines()[1]
            print(f"{name:24} {shows.lstrip('# ')}")
        return 0
    if options.schema:
        from wnsim.scenario.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return 0
    if options.scenario is None:
        parser().print_usage(sys.stderr)
        print("a scenario is needed; --list shows those on board", file=sys.stderr)
        return 2

    from wnsim.channel import OutOfRangeWarning
    from wnsim.scenario.build import check
    from wnsim.scenario.sweep import only, plan

    runs = plan(options.scenario, options.set, allow(options.plugin))
    runs = only(runs, options.only)
    warnings.simplefilter("ignore", OutOfRangeWarning)
    check(runs, options.scenario)
    if options.contacts is not None:
        from wnsim.scenario.build import contact_lines

        for line in contact_lines(runs[0].scenario, options.contacts, options.until):
            print(line)
        return 0
    if options.check:
        _show(runs)
        return 0
    return _execute(options, runs)


def _show(runs: Sequence[Run]) -> None:
    """Print which runs there are, and what they resolve to but for their seeds."""
    from wnsim.scenario.build import notes, resolved

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


def _execute(options: argparse.Namespace, runs: Sequence[Run]) -> int:
    """Run the runs, and say what became of them."""
    from wnsim.channel import OutOfRangeWarning
    from wnsim.scenario.build import notes
    from wnsim.scenario.execute import execute
    from wnsim.scenario.jobs import Reporter
    from wnsim.scenario.learning import Keeping, place
    from wnsim.scenario.progress import Display
    from wnsim.scenario.sweep import results_folder

    out = results_folder(runs[0], options.out)
    # Of several processes that work together, the first one alone speaks.
    mine = place()
    speaks = mine is None or mine.rank == 0
    if mine is not None and (options.jobs > 1 or options.launcher is not None):
        raise ScenarioError(
            "--jobs and --launcher: must not be used under torchrun or srun, whose processes share "
            "every run; leave out the one or the other"
        )
    stream = sys.stderr if speaks else io.StringIO()
    json_wanted = options.progress == "json"
    with Reporter(stream) if json_wanted else Display(stream) as watcher:
        for note in dict.fromkeys(note for run in runs for note in notes(run.scenario)):
            watcher.say(f"note: {note}")
        warnings.simplefilter("always", OutOfRangeWarning)
        warnings.showwarning = lambda message, *_: watcher.say(f"note: {message}")
        folder = Path(options.store) if options.store else out / "store"
        keeping = Keeping(folder, int(options.store_gib * 2**30))
        outcome = execute(runs, out, keeping, _way(options, out), watcher)
    if speaks:
        _tell(outcome, out)
    return 2 if outcome.failures else 0


def _way(options: argparse.Namespace, out: Path) -> Way:
    """Return how the options want the runs to be computed."""
    from wnsim.scenario.execute import Way
    from wnsim.scenario.launch import Launcher

    def launcher() -> Launcher:
        kind = options.launcher
        return Launcher(kind, out / kind, out.resolve().name, options.launcher_option)

    return Way(
        lambda run: command(options, run),
        jobs=options.jobs,
        launcher=None if options.launcher is None else launcher,
        waits=options.launcher == "local",
        gathers=not options.only,
    )


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
