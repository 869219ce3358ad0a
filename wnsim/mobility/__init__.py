"""Mobility models: positions as pure functions of seed, device and time."""

from __future__ import annotations

from wnsim.mobility.gauss_markov import GaussMarkov
from wnsim.mobility.group import Group
from wnsim.mobility.highway import Highway
from wnsim.mobility.manhattan import Manhattan
from wnsim.mobility.motion import Mobility, Motion, first_presence_s
from wnsim.mobility.random_direction import RandomDirection
from wnsim.mobility.random_walk import RandomWalk
from wnsim.mobility.random_waypoint import RandomWaypoint
from wnsim.mobility.static import Static
from wnsim.mobility.traces import Trace

__all__ = [
    "MOBILITY",
    "GaussMarkov",
    "Group",
    "Highway",
    "Manhattan",
    "Mobility",
    "Motion",
    "RandomDirection",
    "RandomWalk",
    "RandomWaypoint",
    "Static",
    "Trace",
    "first_presence_s",
]

MOBILITY: dict[str, type[Mobility]] = {
    "static": Static,
    "random-walk": RandomWalk,
    "random-waypoint": RandomWaypoint,
    "random-direction": RandomDirection,
    "gauss-markov": GaussMarkov,
    "manhattan": Manhattan,
    "rpgm": Group,
    "highway": Highway,
    "trace": Trace,
}
