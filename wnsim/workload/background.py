"""Background traffic: messages that use the air interface and serve no other purpose."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.streams import generator
from wnsim.core.transfer import Message
from wnsim.mac.edca import Category

if TYPE_CHECKING:
    import numpy as np
    import simpy

    from wnsim.network import Network

_SHORTEST_S = 1e-6


@parameters
class Background:
    """Messages that devices send to a neighbor in addition to the scenario's main workload.

    Parameters
    ----------
    model : `poisson`, with exponential times between messages; `constant`, evenly spaced from a
        random start; `on-off`, evenly spaced during exponential on periods
    rate_bps : mean rate of a device, during on periods [bit/s]
    size_bytes : size of a message [byte]
    on_s, off_s : mean duration of the on and off periods of `on-off` [s]
    senders : devices that send; none: all
    to : `nearest`, or a `random` device among those present
    priority : priority of the messages in queues; updates and rounds of traffic have 0, which
        leaves all messages of a device in their order
    category : access category of the messages, with `edca` of the medium access; none: that of all
        other messages
    lifetime_s : time after submission until a message expires [s]
    """

    model: Literal["poisson", "constant", "on-off"] = "poisson"
    rate_bps: float = Field(gt=0, le=1e12)
    size_bytes: int = Field(default=1500, ge=1, le=10**12)
    on_s: float = Field(default=1.0, gt=0, le=1e9)
    off_s: float = Field(default=1.0, gt=0, le=1e9)
    senders: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    to: Literal["nearest", "random"] = "nearest"
    priority: int = Field(default=0, ge=-1000, le=1000)
    category: Category | None = None
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
        """Start the senders.

        Parameters
        ----------
        network : carries the messages
        devices : number of devices
        seed : seed of the scenario
        number : index of this traffic in the scenario
        """
        for device in range(devices) if self.senders is None else self.senders:
            draws = generator(seed, "background", number, device)
            network.env.process(self._send(network, device, draws))

    def _send(
        self, network: Network, device: int, draws: np.random.Generator
    ) -> Generator[simpy.Event, Any, None]:
        """Process of one device."""
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
                        category=self.category or "",
                        kind="background",
                    )
                )

    def _target(self, network: Network, device: int, draws: np.random.Generator) -> int | None:
        """Return the receiver of the next message, or none if no device is present."""
        view = network.snapshot()
        if not view.present[device]:
            return None
        if self.to == "nearest":
            nearest = view.nearest(device, 1)
            return int(nearest[0]) if nearest.size else None
        others = [other for other in view.present.nonzero()[0].tolist() if other != device]
        return int(others[draws.integers(len(others))]) if others else None
