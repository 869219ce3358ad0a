"""Scenarios: what a user writes, and what comes of it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from wnsim.scenario.errors import ScenarioError


def _check_neighbor() -> None:
    """Make sure that `fl` is the package that belongs to this one.

    The name is a common one; a folder of that name beside the user's script would hide ours.

    Raises
    ------
    ScenarioError
        if it is another
    """
    root = Path(__file__).resolve().parent.parent.parent
    spec = find_spec("fl")
    if spec is None or spec.origin is None:
        where = list(spec.submodule_search_locations or []) if spec else []
        raise ScenarioError(f"the package fl of this program is hidden by {where or 'nothing'}")
    if Path(spec.origin).resolve().parent.parent != root:
        raise ScenarioError(f"the package fl of this program is hidden by {spec.origin}")


_check_neighbor()
