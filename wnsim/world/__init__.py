"""World: devices and base stations, their positions, and the channel between them over time."""

from __future__ import annotations

from wnsim.world.world import Snapshot, World, positions_m

__all__ = ["Snapshot", "World", "positions_m"]
