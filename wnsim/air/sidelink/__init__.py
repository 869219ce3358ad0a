"""Engines for sidelink mode 2: selection of resources, what is sent in them, and what arrives."""

from __future__ import annotations

from wnsim.air.sidelink.packet import SidelinkPacket
from wnsim.air.sidelink.windowed import SidelinkWindowed

__all__ = ["SidelinkPacket", "SidelinkWindowed"]
