"""Family of path-loss models, by the name used in a scenario."""

from __future__ import annotations

from wnsim.channel.aerial import RmaAerial, UmaAerial, UmiAerial
from wnsim.channel.hata import Cost231Hata, OkumuraHata
from wnsim.channel.indoor import Inh
from wnsim.channel.industrial import Inf
from wnsim.channel.mean_loss import PathLoss
from wnsim.channel.non_terrestrial import NonTerrestrial
from wnsim.channel.open_ground import DualSlope, FreeSpace, LogDistance, ThreeSlope, TwoRay
from wnsim.channel.rural import Rma, Sma
from wnsim.channel.urban import Uma, UmiStreetCanyon
from wnsim.channel.vehicular import V2vHighway, V2vUrban

__all__ = [
    "PATH_LOSS",
    "Cost231Hata",
    "DualSlope",
    "FreeSpace",
    "Inf",
    "Inh",
    "LogDistance",
    "NonTerrestrial",
    "OkumuraHata",
    "PathLoss",
    "Rma",
    "RmaAerial",
    "Sma",
    "ThreeSlope",
    "TwoRay",
    "Uma",
    "UmaAerial",
    "UmiAerial",
    "UmiStreetCanyon",
    "V2vHighway",
    "V2vUrban",
]

PATH_LOSS: dict[str, type[PathLoss]] = {
    "free-space": FreeSpace,
    "two-ray": TwoRay,
    "log-distance": LogDistance,
    "dual-slope": DualSlope,
    "umi": UmiStreetCanyon,
    "uma": Uma,
    "rma": Rma,
    "inh": Inh,
    "inf": Inf,
    "sma": Sma,
    "okumura-hata": OkumuraHata,
    "cost231-hata": Cost231Hata,
    "three-slope": ThreeSlope,
    "v2v-urban": V2vUrban,
    "v2v-highway": V2vHighway,
    "uma-av": UmaAerial,
    "umi-av": UmiAerial,
    "rma-av": RmaAerial,
    "ntn": NonTerrestrial,
}
