"""Setup: what every engine of the air interface is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wnsim.air.quality import TERMS

if TYPE_CHECKING:
    from wnsim.air.quality import Prediction
    from wnsim.core.clock import Clock
    from wnsim.phy import Modem
    from wnsim.world import World


@dataclass(frozen=True, slots=True)
class Setup:
    """Environment and parameters of an engine.

    Parameters
    ----------
    env : the simulation's clock
    world : devices, channel and powers
    mac : medium access of the scheme that the engine implements
    modem : physical layer of a slot
    sample_slots : slots between samples of the channel
    csi_delay_slots : age of the channel state information used for rate selection [slots]
    prediction : how the present channel is predicted from outdated channel state information
    error_key : key of the draws of reception errors
    trace : whether attempts record when their bits are received
    packet_bits : size of a packet, headers included, where the air carries packets [bit]
    """

    env: Clock
    world: World
    mac: Any
    modem: Modem
    sample_slots: int
    csi_delay_slots: int
    prediction: Prediction
    error_key: int
    trace: bool = False
    packet_bits: int = 12_000

    @property
    def csi_delays(self) -> list[int]:
        """Ages of the gains from which the present gain is predicted [slots]."""
        terms = TERMS[self.prediction] if self.csi_delay_slots else 1
        return [term * self.csi_delay_slots for term in range(1, terms + 1)]

    @property
    def sample_ns(self) -> int:
        """Time between samples of the channel [ns]."""
        return self.sample_slots * self.modem.slot_ns

    def sample_of_ns(self, slot: int) -> int:
        """Return the instant of the channel sample that holds in a slot [ns]."""
        return slot // self.sample_slots * self.sample_ns
