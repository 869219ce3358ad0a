"""Command-line options, and the command lines of child processes."""

from __future__ import annotations

import argparse
import math
import sys

from wnsim.core.version import __version__

_LAUNCHERS = ("slurm", "local", "dask")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m wnsim.scenario",
        description="Run a scenario; tables, figures and adapters are written to results/<name>/.",
        epilog="Verbs before the options: run; check, plan, list and schema for --check, "
        "--dry-run, --list and --schema; report DIR writes the report of a results folder, cite "
        "DIR prints the sources of its models, and its parameters for a paper; extend DIR goes on "
        "for more rounds, evaluate DIR tests its adapters, compare DIR DIR shows differences, "
        "figures DIR draws its figures again; "
        "contacts SCENARIO writes when devices are within range. Each has --help.",
    )
    made.add_argument("scenario", nargs="?", help="YAML file, or name of a bundled scenario")
    add_overrides(made)
    add_traceback(made)
    add_results(made, "results/<name>", "store in the results folder")
    add_where(made)
    _add_questions(made)
    return made


def command(options: argparse.Namespace, run: str) -> list[str]:
    """Return the command line that computes one run.

    Parameters
    ----------
    options : options of this process, which reads the child's progress unless a launcher starts it
    run : name of the run
    """
    # Joined by =, since a value may begin with a hyphen.
    # A verb has words of its own before the options.
    verb = getattr(options, "verb", ())
    words = [sys.executable, "-m", "wnsim.scenario", *verb]
    words += [f"--set={text}" for text in options.set]
    words += [f"--plugin={name}" for name in options.plugin]
    if options.out is not None:
        words.append(f"--out={options.out}")
    if options.store is not None:
        words.append(f"--store={options.store}")
    if options.launcher is None:
        words.append("--progress=json")
    words.append(f"--tables={options.tables}")
    return [*words, f"--store-gib={options.store_gib}", f"--only={run}", "--", options.scenario]


def add_overrides(made: argparse.ArgumentParser) -> None:
    """Add the options that change the runs of a scenario."""
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value in every run, e.g. --set fl.rounds=5 (repeatable)",
    )
    made.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a trusted module, whose models the scenario may use as model: MODULE:Name "
        "(repeatable)",
    )


def add_traceback(made: argparse.ArgumentParser) -> None:
    """Add the option to see where an error in a user-defined part comes from."""
    made.add_argument(
        "--traceback",
        action="store_true",
        help="print the traceback of an error in a user-defined part, too",
    )


def add_results(made: argparse.ArgumentParser, out: str, store: str) -> None:
    """Add the options on results.

    Parameters
    ----------
    made : parser of the command
    out, store : defaults of the folders of results and of the training cache, in words
    """
    made.add_argument("--out", metavar="DIR", help=f"results folder (default: {out})")
    made.add_argument(
        "--store",
        metavar="DIR",
        help=f"folder of the training cache, may be shared (default: {store})",
    )
    made.add_argument(
        "--store-gib",
        metavar="GIB",
        type=_size_gib,
        default=2.0,
        help="maximum size of the training cache (default: 2)",
    )
    made.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="RUN",
        help="run only this run (folder name); skip summary and figures (repeatable)",
    )
    made.add_argument(
        "--no-figures",
        action="store_true",
        help="write tables, summary and report without figures; python -m wnsim.report DIR draws "
        "them",
    )
    made.add_argument(
        "--tables",
        choices=("csv", "parquet"),
        default="csv",
        help="format of the tables of runs (default: csv); parquet needs the package pyarrow",
    )


def add_where(made: argparse.ArgumentParser) -> None:
    """Add the options on where runs are computed and how progress is shown."""
    made.add_argument(
        "--jobs",
        metavar="N",
        type=_count,
        default=1,
        help="number of concurrent runs on this machine, one process with fl.trainer.threads "
        "threads each (default: 1)",
    )
    made.add_argument(
        "--launcher",
        choices=_LAUNCHERS,
        help="submit the pending runs to Slurm as a job array and return, or to local processes, "
        "--jobs at a time, and wait (needs the package submitit); or to a scheduler of Dask, or "
        "else to --jobs workers on this machine, and wait (needs the package distributed)",
    )
    made.add_argument(
        "--launcher-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="parameter of a job for submitit, e.g. timeout_min=120, gpus_per_node=1, "
        "slurm_partition=gpu; or of Dask: address=tcp://host:8786 (repeatable)",
    )
    made.add_argument(
        "--watch",
        action="store_true",
        help="show progress and the report so far on a page for this machine alone, until the "
        "command ends",
    )
    made.add_argument(
        "--watch-port",
        metavar="PORT",
        type=_port,
        default=0,
        help="port of the page of --watch (default: one that is free)",
    )
    made.add_argument(
        "--progress",
        choices=("shown", "json"),
        default="shown",
        help="progress bar or lines, or lines of JSON for programs (default: shown)",
    )


def _add_questions(made: argparse.ArgumentParser) -> None:
    """Add the options that print information and run nothing."""
    made.add_argument(
        "--check", action="store_true", help="validate and print the resolved scenario; run nothing"
    )
    made.add_argument(
        "--dry-run",
        action="store_true",
        help="print a forecast: message sizes, the first round simulated without training, "
        "contacts, wall time",
    )
    made.add_argument(
        "--contacts",
        metavar="METERS",
        type=float,
        help="print contact statistics of devices within this range; run nothing",
    )
    made.add_argument(
        "--until",
        metavar="SECONDS",
        type=float,
        help="time span of --contacts (default: 600)",
    )
    made.add_argument("--list", action="store_true", help="list the bundled scenarios")
    made.add_argument(
        "--schema", action="store_true", help="print the JSON schema of scenario files"
    )
    made.add_argument(
        "--completion",
        choices=("bash", "zsh"),
        help="print a script with which a shell completes verbs, options and files (needs the "
        "package shtab)",
    )
    made.add_argument("--version", action="version", version=f"wnsim {__version__}")


def _size_gib(text: str) -> float:
    """Parse a size [GiB]."""
    try:
        size = float(text)
    except ValueError:
        size = math.nan
    if not 0 < size < 1e9:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 1e9, got {text}")
    return size


def _port(text: str) -> int:
    """Parse a port."""
    if not (text.isdecimal() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 65535, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    """Parse a number of processes."""
    if not (text.isdecimal() and 1 <= int(text) <= 1024):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1024, got {text!r}")
    return int(text)
