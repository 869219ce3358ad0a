"""Exchange workload: rounds of messages without content between nearest neighbors."""

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
    size_bytes : size of a message [byte]
    neighbors : number of nearest devices to which each device sends
    rounds : number of rounds
    period_s : time from the start of a round to the start of the next [s]; a round also waits for
        the messages of the one before
    lifetime_s : time after submission until a message expires [s]
    broadcast : whether a device sends one multicast to all of its neighbors
    broadcast_quantile : share of the receivers whose channel may be worse than the one for which
        the rate of a multicast is selected; 0: the rate is that of the worst receiver
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
        network : carries the messages
        ended : called with the number of each round that has ended
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
