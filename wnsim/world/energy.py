"""Energy: what radio and computing cost a device, and batteries that run out.

A device's energy is the sum of what it spent sending (output power over the amplifier's
efficiency, and the circuits), receiving, computing, and waiting in between; it follows from the
times that the network and the computation keep anyway.

Scope: what a transfer or a computation costs is booked when it ends; a device sleeps or idles at a
constant power otherwise until its battery is empty, whether it is in the scene or not, and
listening for neighbors is idling. Circuits of a sender are counted in proportion to the
power that is used, whole or split over several receivers; those of one that receives from several
senders at once are counted for each of them.

Sources: Auer et al., "How much energy is needed to run a wireless network?", IEEE Wireless
Communications 18, 2011 (output power over efficiency plus a constant); Tran et al., "Federated
learning over wireless networks: optimization model design and analysis", IEEE INFOCOM 2019
(computing: kappa f^2 joules per cycle).
"""

from __future__ import annotations

from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats


@parameters
class Energy:
    """Power of a device in each of its activities.

    Parameters
    ----------
    amplifier_efficiency : radiated over consumed power of the amplifier
    transmit_circuit_w : circuits while sending, the amplifier aside [W]
    receive_w : while receiving [W]
    idle_w : while neither sending nor receiving [W]
    sleep_w : in place of `idle_w` when there is nothing to send or to hear, if the radio sleeps
        then [W]; none: it idles
    energy_per_flop_j : computing [J/FLOP]; used unless `capacitance` is given
    capacitance : kappa of the computing energy kappa f^2 per cycle [J s^2]; none: per operation
    cycle_hz : f, clock of the processor [Hz]
    flops_per_cycle : operations in a cycle
    battery_j : energy of a full battery [J]; none: mains
    """

    amplifier_efficiency: float = Field(default=0.35, gt=0, le=1)
    transmit_circuit_w: float = Field(default=0.1, ge=0, le=1e6)
    receive_w: float = Field(default=0.2, ge=0, le=1e6)
    idle_w: float = Field(default=0.05, ge=0, le=1e6)
    sleep_w: float | None = Field(default=None, ge=0, le=1e6)
    energy_per_flop_j: float = Field(default=1e-12, ge=0, le=1)
    capacitance: float | None = Field(default=None, ge=0, le=1)
    cycle_hz: float = Field(default=1e9, gt=0, le=1e12)
    flops_per_cycle: float = Field(default=8.0, gt=0, le=1e9)
    battery_j: float | None = Field(default=None, gt=0, le=1e12)

    def transmit_j(self, tx_power_w: Floats, seconds: Floats) -> Floats:
        """Return the energy of sending at full power for some time [J]."""
        return (tx_power_w / self.amplifier_efficiency + self.transmit_circuit_w) * seconds

    def compute_j(self, flops: Floats) -> Floats:
        """Return the energy of some operations [J]."""
        if self.capacitance is not None:
            return self.capacitance * self.cycle_hz**2 * flops / self.flops_per_cycle
        return self.energy_per_flop_j * flops

    def waiting_w(self) -> float:
        """Return the power while nothing is sent or received [W]."""
        return self.idle_w if self.sleep_w is None else self.sleep_w
