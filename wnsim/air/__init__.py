"""Time on the air: engines that move the bits of transfers, slot by slot or many slots ahead."""

from __future__ import annotations

from wnsim.air.air import Air, Setup
from wnsim.air.csma import Contention
from wnsim.air.csma import Packet as CsmaPacket
from wnsim.air.csma import Windowed as CsmaWindowed
from wnsim.air.flow import Flow, Stream
from wnsim.air.packet import Packet
from wnsim.air.quality import coherent_block_ns
from wnsim.air.sidelink import SidelinkPacket, SidelinkWindowed
from wnsim.air.windowed import Windowed

__all__ = ["ENGINES", "Air", "Flow", "Packet", "Setup", "Stream", "Windowed", "coherent_block_ns"]

# By the kind of medium access, then by the name of the engine.
ENGINES: dict[str, dict[str, type[Air] | type[Contention]]] = {
    "scheduled": {"windowed": Windowed, "packet": Packet},
    "sidelink": {"windowed": SidelinkWindowed, "packet": SidelinkPacket},
    "csma": {"windowed": CsmaWindowed, "packet": CsmaPacket},
}
