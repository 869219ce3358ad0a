"""Check that the importable package `fl` is the learning layer of this installation."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from wnsim.scenario.errors import ScenarioError


def check_learning_package() -> None:
    """Check that `fl` is the package that belongs to this one; a folder of the user may hide it.

    Raises
    ------
    ScenarioError
        if another package hides it
    """
    root = Path(__file__).resolve().parents[3]
    spec = find_spec("fl")
    if spec is None:
        raise ScenarioError(f"the package fl is missing; it belongs into {root}")
    found = Path(spec.origin or next(iter(spec.submodule_search_locations or [""]))).resolve()
    if root / "fl" not in (found, *found.parents):
        raise ScenarioError(
            f"{found} hides the package fl of this program; run from another folder, or rename it"
        )
