"""The learning layer is the package `fl`, a name that a folder of the user's may have too."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from wnsim.scenario.errors import ScenarioError


def check_fl() -> None:
    """Make sure that `fl` is the package that belongs to this one.

    Raises
    ------
    ScenarioError
        if another one hides it
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
