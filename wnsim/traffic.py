"""Messages without a meaning, between nearest neighbors: to study the network alone."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from wnsim.network import Message
from wnsim.params import parameters

if TYPE_CHECKING:
    import simpy

    from wnsim.network import Network


@parameters
class Traffic:
    """Rounds in which every device sends one message to each of its nearest neighbors.

    Parameters
    ----------
    size_bytes : of a message [byte]
    neighbors : how many of the nearest devices each one sends to
    rounds : number of rounds
    period_s : from the start of a round to that of the next [s]; a round also waits for the
        messages of the one before
    lifetime_s : a message is given up this long after it was sent [s]
    """

    size_bytes: int = Field(ge=1, le=10**15)
    neighbors: int = Field(default=4, ge=1)
    rounds: int = Field(default=20, ge=1, le=1_000_000)
    period_s: float = Field(default=1.0, gt=0, le=1e9)
    lifetime_s: float = Field(default=60.0, gt=0, le=1e9)

    def process(
        self, network: Network, ended: Callable[[int], None]
    ) -> Generator[simpy.Event, Any, None]:
        """Send the messages; the process of a simulation.

        Parameters
        ----------
        network : carries them
        ended : called with the number of each round that is over
        """
        for number in range(1, self.rounds + 1):
            view = network.snapshot()
            there = np.flatnonzero(view.present)
            sent = []
            for device in there:
                distance = view.distance_m[device, there]
                # The nearest device is the device itself.
                nearest = there[np.argsort(distance, kind="stable")]
                for target in nearest[nearest != device][: self.neighbors]:
                    message = Message(
                        int(device), int(target), self.size_bytes, self.lifetime_s, round=number
                    )
                    sent.append(network.send(message))
            yield network.env.all_of([network.timeout(self.period_s), *sent])
            ended(number)
