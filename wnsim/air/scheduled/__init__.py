"""Slotted engines for scheduled medium access."""

from __future__ import annotations

from wnsim.air.scheduled.packet import Packet
from wnsim.air.scheduled.windowed import Windowed

__all__ = ["Packet", "Windowed"]
