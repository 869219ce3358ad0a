"""Medium access: who may transmit when, on which bandwidth and with which power."""

from __future__ import annotations

from wnsim.mac.cell import Cell
from wnsim.mac.csma import Csma
from wnsim.mac.ideal import Ideal
from wnsim.mac.ofdma import Ofdma
from wnsim.mac.over_the_air import OverTheAir
from wnsim.mac.reuse import Reuse
from wnsim.mac.scheduled import OnAir, Rules, Scheduled, Shares
from wnsim.mac.sidelink import Sidelink
from wnsim.mac.tdma import Tdma

__all__ = [
    "MAC",
    "Cell",
    "Csma",
    "Ideal",
    "Mac",
    "Ofdma",
    "OnAir",
    "OverTheAir",
    "Reuse",
    "Rules",
    "Scheduled",
    "Shares",
    "Sidelink",
    "Tdma",
]

Mac = Scheduled | Csma | Sidelink

MAC: dict[str, type[Scheduled] | type[Csma] | type[Sidelink]] = {
    "ideal": Ideal,
    "tdma": Tdma,
    "ofdma": Ofdma,
    "reuse": Reuse,
    "cell": Cell,
    "over-the-air": OverTheAir,
    "sidelink": Sidelink,
    "csma": Csma,
}
