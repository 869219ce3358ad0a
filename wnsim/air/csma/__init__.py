"""CSMA engines: carrier sense multiple access with collision avoidance."""

from __future__ import annotations

from wnsim.air.csma.contention import Contention
from wnsim.air.csma.packet import Packet
from wnsim.air.csma.windowed import Windowed

__all__ = ["Contention", "Packet", "Windowed"]
