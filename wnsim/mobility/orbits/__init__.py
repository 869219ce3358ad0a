"""Orbits of satellites, and positions on the ground in the same coordinates."""

from __future__ import annotations

from wnsim.mobility.orbits.circular import Circular
from wnsim.mobility.orbits.constellation import Constellation, Orbit
from wnsim.mobility.orbits.ground import Ground
from wnsim.mobility.orbits.two_line_elements import TwoLineElements

__all__ = ["ORBITS", "Circular", "Constellation", "Ground", "Orbit", "TwoLineElements"]

ORBITS: dict[str, type[Orbit]] = {"circular": Circular, "tle": TwoLineElements}
