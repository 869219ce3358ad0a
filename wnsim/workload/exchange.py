"""Messages without a meaning, between nearest neighbors: to study the network alone."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.transfer import Message

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
    broadcast : whether a device sends once to all of its neighbors
    broadcast_quantile : share of them that may be worse than the one for which the rate of a
        broadcast is chosen; 0: the rate is that of the worst
    """

    size_bytes: int = Field(ge=1, le=10**15)
    neighbors: int = Field(default=4, ge=1)
    rounds: int = Field(default=20, ge=1, le=1_000_000)
    period_s: float = Field(default=1.0, gt=0, le=1e9)
    lifetime_s: float = Field(default=60.0, gt=0, le=1e9)
    broadcast: bool = False
    broadcast_quantile: float = Field(default=0.0, ge=0, lt=1)

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
            sent = []
            for device in view.present.nonzero()[0].tolist():
                targets = view.nearest(device, self.neighbors).tolist()
                if not targets:
                    continue
                message = Message(
                    device, targets[0], self.size_bytes, self.lifetime_s, round=number, kind="round"
                )
                if self.broadcast:
                    sent += network.broadcast(message, targets, self.broadcast_quantile)
                else:
                    sent += [network.send(replace(message, target=to)) for to in targets]
            yield network.env.all_of([network.timeout(self.period_s), *sent])
            ended(number)
