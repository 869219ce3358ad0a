"""Energy ledger: energy spent by each device, and depletion of batteries."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats, to_ns
from wnsim.world.energy import Energy

if TYPE_CHECKING:
    from wnsim.network.network import Network

# Remaining share of a battery's energy below which it counts as empty.
_EMPTY = 1e-6


class EnergyLedger:
    """Energy of all devices in a simulation, and their batteries.

    Parameters
    ----------
    energy : powers
    network : the radios
    tx_power_w : (devices,) transmit power [W]

    Attributes
    ----------
    flops : (devices,) operations computed so far
    history : recorded instants [s], and the energy spent by activity until each, as `spent_j`
    """

    def __init__(self, energy: Energy, network: Network, tx_power_w: Floats) -> None:
        self._energy = energy
        self._network = network
        self._tx_power_w = tx_power_w
        self.flops = np.zeros(tx_power_w.size)
        self.history: list[tuple[float, dict[str, Floats]]] = []
        if energy.battery_j is not None:
            network.battery = self.battery
            self._check()

    def spent_j(self) -> dict[str, Floats]:
        """Return the energy (devices,) spent so far by activity [J]."""
        energy, count = self._energy, self._tx_power_w.size
        tx_s, rx_s = self._network.tx_s[:count], self._network.rx_s[:count]
        until_s = np.full(count, self._network.now_s)
        for device, failed_s in self._network.down_s.items():
            until_s[device] = failed_s
        # Full-duplex radios may transmit and receive for longer than the elapsed time.
        waiting_s = np.maximum(until_s - tx_s - rx_s, 0.0)
        idle_j = energy.waiting_w() * waiting_s
        if self._network.dozing is not None:
            awake_s = np.maximum(self._network.dozing.awake_s(until_s) - tx_s - rx_s, 0.0)
            idle_j = energy.waiting_j(awake_s, waiting_s - awake_s)
        return {
            "transmit": energy.transmit_j(self._tx_power_w, tx_s),
            "receive": energy.receive_w * rx_s,
            "idle": idle_j,
            "compute": energy.compute_j(self.flops),
        }

    def record(self) -> dict[str, Floats]:
        """Add the energy spent so far to the history, and return it.

        A later record of the same instant replaces the earlier one.
        """
        now_s, spent_j = self._network.now_s, self.spent_j()
        if self.history and self.history[-1][0] == now_s:
            self.history.pop()
        self.history.append((now_s, spent_j))
        return spent_j

    def battery(self) -> Floats:
        """Return the share (devices,) of each battery that is left, at least 0."""
        full_j = self._energy.battery_j or math.inf
        return np.asarray(np.maximum(self._left_j(full_j) / full_j, 0.0))

    def _left_j(self, full_j: float) -> Floats:
        """Return the energy (devices,) that is left of a battery's [J]."""
        return full_j - sum(self.spent_j().values(), np.zeros(self._tx_power_w.size))

    def _check(self) -> None:
        """Fail devices whose batteries are empty, and schedule the next check."""
        network, full_j = self._network, self._energy.battery_j or 0.0
        left_j = self._left_j(full_j)
        for device in np.flatnonzero(left_j <= _EMPTY * full_j).tolist():
            if device not in network.down:
                network.fail(device, "battery")
        working = [d for d in range(left_j.size) if d not in network.down]
        if working:
            # Earliest instant at which the largest power could empty a battery.
            busiest_w = (
                self._energy.transmit_j(self._tx_power_w, np.ones(1)).max()
                + self._energy.receive_w
                + max(self._energy.waiting_w(), self._energy.idle_w)
            )
            wait_s = max(float(left_j[working].min() / busiest_w), 1e-3 * full_j / busiest_w, 1e-3)
            network.env.at(network.env.now_ns + to_ns(min(wait_s, 1e9)), self._check)
