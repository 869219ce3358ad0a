"""Verbs of the command line: `wnsim check urban.yaml` for `wnsim urban.yaml --check`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

# Options for which a verb stands.
_OPTIONS = {
    "run": [], "check": ["--check"], "plan": ["--dry-run"], "list": ["--list"],
    "schema": ["--schema"],
}  # fmt: skip


def split(arguments: Sequence[str] | None) -> tuple[str, list[str]]:
    """Split arguments into a verb, empty without one, and the others.

    A file of the name of a verb is a scenario.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in {*_OPTIONS, "cite", "report"} and not Path(given[0]).is_file():
        return given[0], given[1:]
    return "", given


def options_of(verb: str) -> list[str]:
    """Return the options for which a verb stands."""
    return list(_OPTIONS.get(verb, []))


def citations(arguments: Sequence[str]) -> str:
    """Return the citations of a results folder.

    Raises
    ------
    ScenarioError
        if it has no complete run
    """
    import argparse

    from wnsim.scenario.citation import cite

    parser = argparse.ArgumentParser(
        prog="wnsim cite",
        description="Print BibTeX entries of all models, methods and standards that the runs of a "
        "results folder used, and a paragraph of LaTeX with their parameters.",
    )
    parser.add_argument("results", type=Path, help="folder of a scenario's results")
    return cite(parser.parse_args(arguments).results)
