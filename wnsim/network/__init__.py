"""Network: messages between devices, their delivery, transport, and the energy they cost."""

from __future__ import annotations

from wnsim.core.transfer import Message, Packet, Transfer
from wnsim.network.network import Backhaul, Network

__all__ = ["Backhaul", "Message", "Network", "Packet", "Transfer"]
