"""Network: messages between devices, their delivery, transport, and the energy they cost."""

from __future__ import annotations

from wnsim.core.transfer import Message, Packet, Transfer
from wnsim.network.air_options import AirOptions
from wnsim.network.network import Network
from wnsim.network.routing import Backhaul

__all__ = ["AirOptions", "Backhaul", "Message", "Network", "Packet", "Transfer"]
