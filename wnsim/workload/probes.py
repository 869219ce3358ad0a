"""Probes: short messages by which devices measure the SNR of their links.

Each device periodically sends a short multicast to its neighbors. A receiver then knows the SINR at
which it was received. Probes are ordinary messages: they wait, use airtime and may be lost.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.streams import generator
from wnsim.core.transfer import Message, Transfer
from wnsim.network.measurements import SnrMeasurements

if TYPE_CHECKING:
    import simpy

    from wnsim.network import Network


@parameters
class Probes:
    """Multicasts by which devices measure their links.

    Parameters
    ----------
    period_s : time between two probes of a device, with a random start [s]
    size_bytes : size of a probe [byte]
    neighbors : number of nearest devices to which a probe is sent
    valid_s : how long a measurement is valid [s]
    """

    period_s: float = Field(default=1.0, ge=1e-3, le=1e9)
    size_bytes: int = Field(default=32, ge=1, le=10**6)
    neighbors: int = Field(default=8, ge=1, le=10_000)
    valid_s: float = Field(default=5.0, gt=0, le=1e9)

    def start(self, network: Network, devices: int, seed: int) -> None:
        """Start to probe; snapshots of the network contain measured SNRs from now on."""
        network.measurements = SnrMeasurements(devices, self.valid_s)
        for device in range(devices):
            wait_s = generator(seed, "probes", device).random() * self.period_s
            network.env.process(self._probe(network, device, wait_s))

    def _probe(
        self, network: Network, device: int, wait_s: float
    ) -> Generator[simpy.Event, Any, None]:
        """Process of one device."""
        yield network.timeout(wait_s)
        while True:
            view = network.snapshot()
            targets = view.nearest(device, self.neighbors).tolist()
            if view.present[device] and targets:
                message = Message(
                    device, targets[0], self.size_bytes, self.period_s, priority=1, kind="probe"
                )
                for event in network.broadcast(message, targets):
                    event.callbacks.append(lambda event: _record(network, event.value))
            yield network.timeout(self.period_s)


def _record(network: Network, transfer: Transfer) -> None:
    """Record the SINR of a probe that was delivered."""
    if (
        transfer.delivered
        and np.isfinite(transfer.mean_snr_db)
        and network.measurements is not None
    ):
        network.measurements.record(transfer)
