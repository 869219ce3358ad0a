"""wnsim: wireless network simulation and federated fine-tuning on one simulated clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wnsim.core.version import __version__

if TYPE_CHECKING:
    from wnsim.scenario.api import Plan, Results, load, run

__all__ = ["Plan", "Results", "__version__", "load", "run"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import wnsim` is fast.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wnsim.scenario import api

    return getattr(api, name)
