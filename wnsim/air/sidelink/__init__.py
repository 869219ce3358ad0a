"""Slotted engines for NR sidelink mode 2."""

from __future__ import annotations

from wnsim.air.sidelink.packet import SidelinkPacket
from wnsim.air.sidelink.windowed import SidelinkWindowed

__all__ = ["SidelinkPacket", "SidelinkWindowed"]
