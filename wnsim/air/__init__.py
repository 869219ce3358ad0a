"""Air interface: engines that transmit the bits of messages, slot by slot or many slots ahead."""

from __future__ import annotations

from wnsim.air import csma, scheduled, sidelink
from wnsim.air.air import Air
from wnsim.air.csma import Contention
from wnsim.air.quality import coherent_block_ns
from wnsim.air.replayed import Replayed
from wnsim.air.setup import Setup
from wnsim.air.superposition import Superposition
from wnsim.air.transmission import Attempt, Transmission

__all__ = [
    "ENGINES",
    "Air",
    "Attempt",
    "Contention",
    "Replayed",
    "Setup",
    "Superposition",
    "Transmission",
    "coherent_block_ns",
]

# By scheme of the medium access, then by name of the engine.
ENGINES: dict[str, dict[str, type[Air] | type[Contention]]] = {
    "scheduled": {"windowed": scheduled.Windowed, "packet": scheduled.Packet},
    "sidelink": {"windowed": sidelink.SidelinkWindowed, "packet": sidelink.SidelinkPacket},
    "csma": {"windowed": csma.Windowed, "packet": csma.Packet},
}
