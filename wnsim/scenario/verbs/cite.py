"""`wnsim cite FOLDER`: sources of the models of a results folder, and its parameters."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wnsim.scenario.citation import cite


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after the verb."""
    made = argparse.ArgumentParser(
        prog="wnsim cite",
        description="Print BibTeX entries of all models, methods and standards that the runs of a "
        "results folder used, and a paragraph of LaTeX with their parameters.",
    )
    made.add_argument("results", type=Path, help="folder of a scenario's results")
    return made


def main(arguments: Sequence[str]) -> int:
    """Print the citations of a results folder; return 0.

    Raises
    ------
    ScenarioError
        if it has no complete run
    """
    print(cite(parser().parse_args(arguments).results))
    return 0
