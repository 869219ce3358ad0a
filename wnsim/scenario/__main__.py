"""The command line: run a scenario, or say what is wrong with it."""

from __future__ import annotations

import argparse
import io
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.neighbor import check_fl


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 2 if the input is wrong."""
    options = _parser().parse_args(arguments)
    try:
        check_fl()
        with warnings.catch_warnings():
            return _run(options)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output has had enough of it.
        sys.stderr.close()
        return 0
    except OSError as error:
        print(f"{error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return 2
    except MemoryError:
        print("not enough memory on this machine for this scenario", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on with the runs not done yet", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wnsim.scenario",
        description="Run a scenario: tables, figures and adapters go to results/<name>/.",
    )
    parser.add_argument("scenario", nargs="?", help="a YAML file, or a scenario on board")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value in every run, e.g. --set fl.rounds=5; may be repeated",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder of results, in place of results/<name>"
    )
    parser.add_argument(
        "--store",
        metavar="DIR",
        help="folder of what was trained, in place of one in the folder of results; may be shared",
    )
    parser.add_argument(
        "--store-gib",
        metavar="GIB",
        type=_size_gib,
        default=2.0,
        help="what it may grow to (default: 2)",
    )
    parser.add_argument(
        "--check", action="store_true", help="validate, print the resolved scenario, run nothing"
    )
    parser.add_argument(
        "--contacts",
        metavar="METRES",
        type=float,
        help="print when devices are within a range of each other, run nothing",
    )
    parser.add_argument(
        "--until",
        metavar="SECONDS",
        type=float,
        default=600.0,
        help="how long to look for contacts (default: 600)",
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios on board")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of scenarios")
    return parser


def _size_gib(text: str) -> float:
    """Return a size that a folder may have [GiB]."""
    size = float(text)
    if not 0 < size < 1e9:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 1e9, got {text}")
    return size


def _run(options: argparse.Namespace) -> int:
    from wnsim.scenario.load import shipped

    if options.list:
        for name, path in shipped().items():
            first = path.read_text("utf-8").partition("\n")[0]
            print(f"{name:24} {first.lstrip('# ')}")
        return 0
    if options.schema:
        from wnsim.scenario.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return 0
    if options.scenario is None:
        _parser().print_usage(sys.stderr)
        print("a scenario is needed; --list shows those on board", file=sys.stderr)
        return 2

    from wnsim.channel import OutOfRangeWarning
    from wnsim.scenario.build import check, notes, resolved
    from wnsim.scenario.learning import Keeping, place
    from wnsim.scenario.run import run_all
    from wnsim.scenario.sweep import plan, results_folder

    runs = plan(options.scenario, options.set)
    warnings.simplefilter("ignore", OutOfRangeWarning)
    check(runs, options.scenario)
    if options.contacts is not None:
        from wnsim.scenario.build import contact_lines

        for line in contact_lines(runs[0].scenario, options.contacts, options.until):
            print(line)
        return 0
    if options.check:
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
        return 0

    from wnsim.scenario.progress import Display

    out = results_folder(runs[0], options.out)
    # Of several processes that work together, the first one alone speaks.
    mine = place()
    speaks = mine is None or mine.rank == 0
    with Display(len(runs), sys.stderr if speaks else io.StringIO()) as display:
        for note in dict.fromkeys(note for run in runs for note in notes(run.scenario)):
            display.say(f"note: {note}")
        warnings.simplefilter("always", OutOfRangeWarning)
        warnings.showwarning = lambda message, *_: display.say(f"note: {message}")
        folder = Path(options.store) if options.store else out / "store"
        keeping = Keeping(folder, int(options.store_gib * 2**30))
        skipped = run_all(runs, out, display.watch, keeping)
    if speaks:
        for name in skipped:
            print(f"{name}: complete already, not run again")
        print(f"results are in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
