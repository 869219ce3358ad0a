"""Where devices are: models of motion, each a pure function of seed, device and time."""

from __future__ import annotations

from wnsim.mobility.motion import Mobility, Motion
from wnsim.mobility.random_waypoint import RandomWaypoint
from wnsim.mobility.static import Static
from wnsim.mobility.traces import Trace

__all__ = ["MOBILITY", "Mobility", "Motion", "RandomWaypoint", "Static", "Trace"]

MOBILITY: dict[str, type[Mobility]] = {
    "static": Static,
    "random-waypoint": RandomWaypoint,
    "trace": Trace,
}
