"""Energy model: power of radio and computing, and batteries.

The energy of a device is the sum over transmitting (output power over the amplifier's efficiency,
plus circuits), receiving, computing, and waiting in between.

Scope: the energy of a transfer or computation is accounted for at its end; otherwise a device idles
or sleeps at constant power until its battery is empty, whether or not it is in the scene, and
listening for neighbors counts as idle. Transmitter circuits are counted in proportion to the share
of the power in use, whether whole or split over several receivers; receiver circuits are counted
for each concurrent sender.

Sources: Auer et al., "How much energy is needed to run a wireless network?", IEEE Wireless
Communications 18, 2011 (output power over efficiency plus a constant); Tran et al., "Federated
learning over wireless networks: optimization model design and analysis", IEEE INFOCOM 2019
(computing: kappa f^2 joules per cycle).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats


@parameters
class Energy:
    """Power of a device in each of its activities.

    Parameters
    ----------
    amplifier_efficiency : radiated over consumed power of the amplifier
    transmit_circuit_w : circuits while transmitting, without the amplifier [W]
    receive_w : while receiving [W]
    idle_w : while neither transmitting nor receiving [W]
    sleep_w : power instead of `idle_w` if the radio sleeps while it neither transmits nor receives,
        with `mac.power_save` also while it is not awake for messages [W]; none: it idles
    energy_per_flop_j : energy of an operation [J/FLOP]; used unless `capacitance` is given
    capacitance : kappa of the computing energy kappa f^2 per cycle [J s^2]; none: energy per
        operation
    cycle_hz : f, clock frequency of the processor [Hz]
    flops_per_cycle : operations per cycle
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
        """Return the energy of transmitting at full power for some time [J]."""
        return (tx_power_w / self.amplifier_efficiency + self.transmit_circuit_w) * seconds

    def compute_j(self, flops: Floats) -> Floats:
        """Return the energy of some operations [J]."""
        if self.capacitance is not None:
            return self.capacitance * self.cycle_hz**2 * flops / self.flops_per_cycle
        return self.energy_per_flop_j * flops

    def waiting_j(self, awake_s: Floats, dozing_s: Floats) -> Floats:
        """Return the energy of waiting awake, and of dozing, for some time [J]."""
        dozing_w = self.waiting_w()
        return np.asarray(self.idle_w * awake_s + dozing_w * np.maximum(dozing_s, 0.0))

    def waiting_w(self) -> float:
        """Return the power while neither transmitting nor receiving [W]."""
        return self.idle_w if self.sleep_w is None else self.sleep_w
