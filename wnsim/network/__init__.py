"""Network: messages between devices, their delivery, transport, and the energy they cost."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wnsim.core.transfer import Message, Packet, Transfer

if TYPE_CHECKING:
    from wnsim.network.air_options import AirOptions
    from wnsim.network.network import Network
    from wnsim.network.routing import Backhaul

__all__ = ["AirOptions", "Backhaul", "Message", "Network", "Packet", "Transfer"]

_MODULES = {"AirOptions": "air_options", "Backhaul": "routing", "Network": "network"}


def __getattr__(name: str) -> Any:
    # Imported on first use: the schema of a scenario needs the parameters of the transport alone.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
