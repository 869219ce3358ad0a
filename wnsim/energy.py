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

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from wnsim.params import parameters
from wnsim.units import Floats, to_ns

if TYPE_CHECKING:
    from wnsim.network import Network

# A battery with less than this share of its energy left is empty.
_EMPTY = 1e-6


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
    joules_per_flop : computing [J/FLOP]; used unless `capacitance` is given
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
    joules_per_flop: float = Field(default=1e-12, ge=0, le=1)
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
        return self.joules_per_flop * flops

    def waiting_w(self) -> float:
        """Return the power while nothing is sent or received [W]."""
        return self.idle_w if self.sleep_w is None else self.sleep_w


class Ledger:
    """The energy of all devices in a simulation, and their batteries.

    Parameters
    ----------
    energy : powers
    network : the radios
    tx_power_w : (devices,) transmit power [W]

    Attributes
    ----------
    flops : (devices,) operations computed so far
    """

    def __init__(self, energy: Energy, network: Network, tx_power_w: Floats) -> None:
        self._energy = energy
        self._network = network
        self._tx_power_w = tx_power_w
        self.flops = np.zeros(tx_power_w.size)
        if energy.battery_j is not None:
            self._check()

    def spent_j(self) -> dict[str, Floats]:
        """Return the energy (devices,) spent so far by activity [J]."""
        energy, count = self._energy, self._tx_power_w.size
        tx_s, rx_s = self._network.tx_s[:count], self._network.rx_s[:count]
        until_s = np.full(count, self._network.now_s)
        for device, failed_s in self._network.down_s.items():
            until_s[device] = failed_s
        # Radios that send and receive at once are never idle.
        waiting_s = np.maximum(until_s - tx_s - rx_s, 0.0)
        return {
            "transmit": energy.transmit_j(self._tx_power_w, tx_s),
            "receive": energy.receive_w * rx_s,
            "idle": energy.waiting_w() * waiting_s,
            "compute": energy.compute_j(self.flops),
        }

    def _check(self) -> None:
        """Take down devices whose batteries are empty, and look again when one may be."""
        network, full_j = self._network, self._energy.battery_j or 0.0
        left_j = full_j - sum(self.spent_j().values(), np.zeros(self._tx_power_w.size))
        for device in np.flatnonzero(left_j <= _EMPTY * full_j).tolist():
            if device not in network.down:
                network.fail(device, "battery")
        working = [d for d in range(left_j.size) if d not in network.down]
        if working:
            # No sooner than everything at once could empty the fullest draw.
            busiest_w = (
                self._energy.transmit_j(self._tx_power_w, np.ones(1)).max()
                + self._energy.receive_w
                + self._energy.waiting_w()
            )
            wait_s = max(float(left_j[working].min() / busiest_w), 1e-3 * full_j / busiest_w, 1e-3)
            network.env.at(network.env.now_ns + to_ns(min(wait_s, 1e9)), self._check)
