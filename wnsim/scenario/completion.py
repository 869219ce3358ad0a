"""Completion of the command line in a shell: verbs, their options and files.

Needs the package shtab (`pip install "wnsim[completion]"`). Words are completed after a verb, as in
`wnsim run`; the first word may also be a scenario file, which is not completed.
"""

from __future__ import annotations

import argparse
from typing import Any

from wnsim.scenario import verbs
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.options import parser

SHELLS = ("bash", "zsh")
# Names of positional arguments and options that are files, and folders.
_FILES, _FOLDERS = ("scenario", "csv"), ("results", "out", "store")


def script(shell: str) -> str:
    """Return the script that a shell evaluates to complete `wnsim`.

    Parameters
    ----------
    shell : `bash` or `zsh`

    Raises
    ------
    ScenarioError
        if the package shtab is not installed
    """
    try:
        import shtab
    except ImportError as error:
        raise ScenarioError(
            '--completion needs the package shtab; install it by pip install "wnsim[completion]"'
        ) from error
    text: str = shtab.complete(_all_verbs(shtab), shell)
    return text


def _all_verbs(shtab: Any) -> argparse.ArgumentParser:
    """Return one parser of all verbs, with marks on what are files and folders."""
    made = argparse.ArgumentParser(prog="wnsim", parents=[parser()], conflict_handler="resolve")
    # The first word is a verb here. Groups of arguments share the list.
    made._actions[:] = [action for action in made._actions if action.dest != "scenario"]
    below = made.add_subparsers(dest="verb")
    for verb in verbs.names():
        own = parser() if not verbs.is_own(verb) else verbs.parser_of(verb)
        help_ = "see --help" if own.description is None else own.description.partition(".")[0]
        one = below.add_parser(verb, parents=[own], conflict_handler="resolve", help=help_)
        _mark(one, shtab)
    _mark(made, shtab)
    return made


def _mark(made: argparse.ArgumentParser, shtab: Any) -> None:
    for action in made._actions:
        # The first word of `extend` is a folder of results under another name.
        if action.dest in _FOLDERS or action.metavar == "results":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
