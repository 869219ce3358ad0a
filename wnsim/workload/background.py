"""Background traffic: messages that nobody waits for, but that use the air."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.streams import generator
from wnsim.core.transfer import Message

if TYPE_CHECKING:
    import numpy as np
    import simpy

    from wnsim.network import Network

_SHORTEST_S = 1e-6


@parameters
class Background:
    """Messages that devices send to a neighbor besides what the scenario is about.

    Parameters
    ----------
    model : `poisson`, with exponential times between messages; `constant`, evenly spaced from a
        random start; `on-off`, evenly spaced during exponential periods of activity
    rate_bps : mean rate of a device, while it is active [bit/s]
    size_bytes : of a message [byte]
    on_s, off_s : mean length of the periods of activity and silence of `on-off` [s]
    senders : which devices send; none: all
    to : `nearest` or a `random` device among those that are there
    priority : of the messages, where messages wait for each other; updates and rounds of traffic
        have 0
    lifetime_s : a message is given up this long after it was sent [s]
    """

    model: Literal["poisson", "constant", "on-off"] = "poisson"
    rate_bps: float = Field(gt=0, le=1e12)
    size_bytes: int = Field(default=1500, ge=1, le=10**12)
    on_s: float = Field(default=1.0, gt=0, le=1e9)
    off_s: float = Field(default=1.0, gt=0, le=1e9)
    senders: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    to: Literal["nearest", "random"] = "nearest"
    priority: int = Field(default=-1, ge=-1000, le=1000)
    lifetime_s: float = Field(default=10.0, gt=0, le=1e9)

    def __post_init__(self) -> None:
        if self.period_s < _SHORTEST_S:
            raise ValueError(
                f"rate_bps and size_bytes must leave {_SHORTEST_S:g} s between messages, "
                f"got {self.period_s:g} s"
            )

    @property
    def period_s(self) -> float:
        """Mean time between messages of an active device [s]."""
        return 8.0 * self.size_bytes / self.rate_bps

    def start(self, network: Network, devices: int, seed: int, number: int) -> None:
        """Begin to send.

        Parameters
        ----------
        network : carries the messages
        devices : how many there are
        seed : seed of the scenario
        number : of this traffic among the scenario's
        """
        for device in range(devices) if self.senders is None else self.senders:
            draws = generator(seed, "background", number, device)
            network.env.process(self._send(network, device, draws))

    def _send(
        self, network: Network, device: int, draws: np.random.Generator
    ) -> Generator[simpy.Event, Any, None]:
        """One device's messages."""
        active_s = float("inf")
        if self.model == "constant":
            yield network.timeout(draws.random() * self.period_s)
        if self.model == "on-off":
            yield network.timeout(draws.exponential(self.off_s))
            active_s = draws.exponential(self.on_s)
        while True:
            gap_s = self.period_s
            if self.model == "poisson":
                gap_s = max(draws.exponential(self.period_s), _SHORTEST_S)
            # Only active time counts towards the next message.
            while gap_s > active_s:
                yield network.timeout(active_s + draws.exponential(self.off_s))
                gap_s -= active_s
                active_s = draws.exponential(self.on_s)
            active_s -= gap_s
            yield network.timeout(gap_s)
            target = self._target(network, device, draws)
            if target is not None:
                network.send(
                    Message(
                        device,
                        target,
                        self.size_bytes,
                        self.lifetime_s,
                        priority=self.priority,
                        kind="background",
                    )
                )

    def _target(self, network: Network, device: int, draws: np.random.Generator) -> int | None:
        """Return whom to send to, or none if nobody is there."""
        view = network.snapshot()
        if not view.present[device]:
            return None
        if self.to == "nearest":
            nearest = view.nearest(device, 1)
            return int(nearest[0]) if nearest.size else None
        others = [other for other in view.present.nonzero()[0].tolist() if other != device]
        return int(others[draws.integers(len(others))]) if others else None
