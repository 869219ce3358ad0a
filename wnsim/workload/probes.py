"""Probe messages: what devices know of each other when nothing is known by itself.

Each device now and then broadcasts a short message to all that may hear it. Who receives it knows
from then on the ratio of signal to interference and noise at which it came. The probes are messages
like any other: they wait, take air time and get lost.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.streams import generator
from wnsim.core.transfer import Message, Transfer

if TYPE_CHECKING:
    import simpy

    from wnsim.network import Network


@parameters
class Probes:
    """Broadcasts by which devices measure each other.

    Parameters
    ----------
    period_s : from one probe of a device to its next, which begin at random [s]
    size_bytes : of a probe [byte]
    neighbors : to how many of the nearest devices a probe is sent
    valid_s : how long a measurement counts [s]
    """

    period_s: float = Field(default=1.0, ge=1e-3, le=1e9)
    size_bytes: int = Field(default=32, ge=1, le=10**6)
    neighbors: int = Field(default=8, ge=1, le=10_000)
    valid_s: float = Field(default=5.0, gt=0, le=1e9)

    def start(self, network: Network, devices: int, seed: int) -> None:
        """Begin to probe: `network.snapshot` tells what was measured from now on."""
        network.measure(self.valid_s)
        for device in range(devices):
            wait_s = generator(seed, "probes", device).random() * self.period_s
            network.env.process(self._probe(network, device, wait_s))

    def _probe(
        self, network: Network, device: int, wait_s: float
    ) -> Generator[simpy.Event, Any, None]:
        """One device's probes."""
        yield network.timeout(wait_s)
        while True:
            view = network.snapshot()
            targets = view.nearest(device, self.neighbors).tolist()
            if view.present[device] and targets:
                message = Message(
                    device, targets[0], self.size_bytes, self.period_s, priority=1, kind="probe"
                )
                for event in network.broadcast(message, targets):
                    event.callbacks.append(lambda event: self._heard(network, event.value))
            yield network.timeout(self.period_s)

    def _heard(self, network: Network, transfer: Transfer) -> None:
        """Keep the SINR at which a probe came."""
        if transfer.delivered and np.isfinite(transfer.mean_snr_db):
            network.heard(transfer)
