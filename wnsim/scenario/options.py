"""The options of the command line, and the command lines of the processes that it starts."""

from __future__ import annotations

import argparse
import math
import sys

from wnsim import __version__

_LAUNCHERS = ("slurm", "local")


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    made = argparse.ArgumentParser(
        prog="python -m wnsim.scenario",
        description="Run a scenario: tables, figures and adapters go to results/<name>/.",
    )
    made.add_argument("scenario", nargs="?", help="a YAML file, or a scenario on board")
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value in every run, e.g. --set fl.rounds=5; may be repeated",
    )
    made.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module, whose models the scenario may use as model: MODULE:Name; only "
        "modules that you trust; may be repeated",
    )
    made.add_argument("--out", metavar="DIR", help="folder of results, in place of results/<name>")
    made.add_argument(
        "--store",
        metavar="DIR",
        help="folder of what was trained, in place of one in the folder of results; may be shared",
    )
    made.add_argument(
        "--store-gib",
        metavar="GIB",
        type=_size_gib,
        default=2.0,
        help="what it may grow to (default: 2)",
    )
    made.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="RUN",
        help="of all runs just this one, by the name of its folder, and no summary or figures, "
        "which the same command without it makes; may be repeated",
    )
    _add_where(made)
    _add_questions(made)
    return made


def command(options: argparse.Namespace, run: str) -> list[str]:
    """Return the command line that computes one run of those that the options are about.

    Parameters
    ----------
    options : of this process, which reads what the other one tells unless a launcher starts it
    run : name of the run
    """
    # With = in between: what begins with a hyphen is a value too.
    words = [sys.executable, "-m", "wnsim.scenario", *(f"--set={text}" for text in options.set)]
    words += [f"--plugin={name}" for name in options.plugin]
    if options.out is not None:
        words.append(f"--out={options.out}")
    if options.store is not None:
        words.append(f"--store={options.store}")
    if options.launcher is None:
        words.append("--progress=json")
    return [*words, f"--store-gib={options.store_gib}", f"--only={run}", "--", options.scenario]


def _add_where(made: argparse.ArgumentParser) -> None:
    """Add the options that say where runs are computed, and who is told of it."""
    made.add_argument(
        "--jobs",
        metavar="N",
        type=_count,
        default=1,
        help="compute so many runs at once on this machine, each in a process of its own, with "
        "fl.trainer.threads threads each (default: 1)",
    )
    made.add_argument(
        "--launcher",
        choices=_LAUNCHERS,
        help="hand the unfinished runs to Slurm as an array of jobs, and return; or to local "
        "processes, --jobs at a time, and wait (needs the package submitit)",
    )
    made.add_argument(
        "--launcher-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what a job asks for, in submitit's words: timeout_min=120, gpus_per_node=1, "
        "slurm_partition=gpu; may be repeated",
    )
    made.add_argument(
        "--progress",
        choices=("shown", "json"),
        default="shown",
        help="a bar or lines to read, or a line of JSON each time, for programs (default: shown)",
    )


def _add_questions(made: argparse.ArgumentParser) -> None:
    """Add the options that ask something and run nothing."""
    made.add_argument(
        "--check", action="store_true", help="validate, print the resolved scenario, run nothing"
    )
    made.add_argument(
        "--dry-run",
        action="store_true",
        help="print sizes of messages, how a round's messages fare, contacts, and about how long "
        "it takes on this machine; train nothing",
    )
    made.add_argument(
        "--contacts",
        metavar="METRES",
        type=float,
        help="print when devices are within a range of each other, run nothing",
    )
    made.add_argument(
        "--until",
        metavar="SECONDS",
        type=float,
        help="how long to look for contacts (default: 600); goes with --contacts",
    )
    made.add_argument("--list", action="store_true", help="list the scenarios on board")
    made.add_argument("--schema", action="store_true", help="print the JSON schema of scenarios")
    made.add_argument("--version", action="version", version=f"wnsim {__version__}")


def _size_gib(text: str) -> float:
    """Return a size that a folder may have [GiB]."""
    try:
        size = float(text)
    except ValueError:
        size = math.nan
    if not 0 < size < 1e9:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 1e9, got {text}")
    return size


def _count(text: str) -> int:
    """Return a number of processes."""
    if not (text.isdecimal() and 1 <= int(text) <= 1024):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1024, got {text!r}")
    return int(text)
