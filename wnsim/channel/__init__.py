"""Radio channel: path loss, shadowing, fading, antennas, O2I loss, measured and traced links."""

from __future__ import annotations

from wnsim.channel.antennas import ANTENNAS, Antenna, Isotropic, Sector
from wnsim.channel.channel import Channel
from wnsim.channel.configuration import Carrier, Geometry, Propagation
from wnsim.channel.fading import (
    FADING,
    Fading,
    Nakagami,
    NoFading,
    Rayleigh,
    Rician,
    TappedDelayLine,
)
from wnsim.channel.path_loss import (
    PATH_LOSS,
    DualSlope,
    FreeSpace,
    Inh,
    LogDistance,
    NonTerrestrial,
    PathLoss,
    Rma,
    TwoRay,
    Uma,
    UmiStreetCanyon,
    V2vHighway,
    V2vUrban,
)
from wnsim.channel.penetration import Penetration
from wnsim.channel.propagation_scene import OutOfRangeWarning
from wnsim.channel.ray_tracing import RayTraced, TracedLinks
from wnsim.channel.replay import Replay, ReplayTable
from wnsim.channel.shadowing import Shadowing

__all__ = [
    "ANTENNAS",
    "FADING",
    "PATH_LOSS",
    "Antenna",
    "Carrier",
    "Channel",
    "DualSlope",
    "Fading",
    "FreeSpace",
    "Geometry",
    "Inh",
    "Isotropic",
    "LogDistance",
    "Nakagami",
    "NoFading",
    "NonTerrestrial",
    "OutOfRangeWarning",
    "PathLoss",
    "Penetration",
    "Propagation",
    "RayTraced",
    "Rayleigh",
    "Replay",
    "ReplayTable",
    "Rician",
    "Rma",
    "Sector",
    "Shadowing",
    "TappedDelayLine",
    "TracedLinks",
    "TwoRay",
    "Uma",
    "UmiStreetCanyon",
    "V2vHighway",
    "V2vUrban",
]
