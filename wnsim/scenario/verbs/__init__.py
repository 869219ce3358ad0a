"""Verbs of the command line, such as `wnsim check urban.yaml` or `wnsim cite results/urban`.

Some stand for options of the command without a verb. The others have a module each, with a function
`main` that takes the words after the verb and returns the exit code, and their `parser`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.user_code import user_code_in_sentences
from wnsim.storage.results_folder import check_results

_OPTIONS = {
    "run": [], "check": ["--check"], "plan": ["--dry-run"], "list": ["--list"],
    "schema": ["--schema"],
}  # fmt: skip
"""Options for which a verb stands."""
_MODULES = {
    "cite": "wnsim.scenario.verbs.cite",
    "compare": "wnsim.scenario.verbs.compare",
    "contacts": "wnsim.scenario.verbs.contacts",
    "evaluate": "wnsim.scenario.verbs.evaluate",
    "extend": "wnsim.scenario.verbs.extend",
    "figures": "wnsim.scenario.verbs.figures",
    "pack": "wnsim.scenario.verbs.pack",
    "report": "wnsim.report.__main__",
}
"""Modules of the other verbs."""
_FOLDERS = {"extend": "scenario"}
"""Option with the results folder of a verb, where it is not `results`."""


def split(arguments: Sequence[str] | None) -> tuple[str, list[str]]:
    """Split arguments into a verb, empty without one, and the others.

    A file of the name of a verb is a scenario.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in {*_OPTIONS, *_MODULES} and not Path(given[0]).is_file():
        return given[0], given[1:]
    return "", given


def names() -> tuple[str, ...]:
    """Return all verbs."""
    return (*_OPTIONS, *_MODULES)


def options_of(verb: str) -> list[str]:
    """Return the options for which a verb stands."""
    return list(_OPTIONS.get(verb, []))


def is_own(verb: str) -> bool:
    """Return whether a verb has a module of its own."""
    return verb in _MODULES


def parser_of(verb: str) -> argparse.ArgumentParser:
    """Return the parser of the words after a verb with a module of its own."""
    made: argparse.ArgumentParser = importlib.import_module(_MODULES[verb]).parser()
    return made


def run(verb: str, arguments: Sequence[str]) -> int:
    """Run a verb with a module of its own; return the exit code.

    Raises
    ------
    ScenarioError, OSError
        if its input cannot be used
    """
    options = parser_of(verb).parse_args(arguments)
    given = getattr(options, _FOLDERS.get(verb, "results"), [])
    try:
        for folder in given if isinstance(given, list) else [given]:
            check_results(Path(folder))
    except ValueError as error:
        raise ScenarioError(str(error)) from error
    shows = getattr(options, "traceback", False)
    with user_code_in_sentences(getattr(options, "plugin", ()), shows=shows):
        code: int = importlib.import_module(_MODULES[verb]).main(arguments)
    return code
