"""Scenarios: what a user writes, and what comes of it.

`from wnsim.scenario import load, run` does what the command line does; see `api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wnsim.scenario.api import Plan, Results, load, run

__all__ = ["Plan", "Results", "load", "run"]


def __getattr__(name: str) -> Any:
    # Whoever asks for --help need not wait for all that a scenario needs.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wnsim.scenario import api

    return getattr(api, name)
