"""Time on the air: engines that move the bits of transfers, slot by slot or many slots ahead."""

from __future__ import annotations

from wnsim.air import csma, scheduled, sidelink
from wnsim.air.air import Air, Setup
from wnsim.air.csma import Contention
from wnsim.air.flow import Flow, Stream
from wnsim.air.quality import coherent_block_ns
from wnsim.air.replayed import Replayed

__all__ = [
    "ENGINES",
    "Air",
    "Contention",
    "Flow",
    "Replayed",
    "Setup",
    "Stream",
    "coherent_block_ns",
]

# By the kind of medium access, then by the name of the engine.
ENGINES: dict[str, dict[str, type[Air] | type[Contention]]] = {
    "scheduled": {"windowed": scheduled.Windowed, "packet": scheduled.Packet},
    "sidelink": {"windowed": sidelink.SidelinkWindowed, "packet": sidelink.SidelinkPacket},
    "csma": {"windowed": csma.Windowed, "packet": csma.Packet},
}
