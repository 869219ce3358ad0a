"""Scenarios: specification, simulation, execution and summary.

The Python interface is `from wnsim import load, run, Results`; see `wnsim.scenario.api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wnsim.scenario.api import Plan, Results, load, run

__all__ = ["Plan", "Results", "load", "run"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that --help is fast.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wnsim.scenario import api

    return getattr(api, name)
