"""Medium access: who may transmit when, on how much bandwidth and with how much power."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from wnsim.mac.ofdma import Ofdma


class Flow(Protocol):
    """A transfer as medium access sees it."""

    source: int
    target: int
    batch: int
    """Number of receivers among which its transmitter split the band when it went on the air."""


class Mac(Protocol):
    """What the network asks of a medium-access scheme."""

    @property
    def dynamic(self) -> bool:
        """Whether the shares of flows on the air change when another starts or ends."""

    def domain(self, source: int) -> int:
        """Return the scheduling domain of a transmitter; flows of different domains never meet."""

    def admit(self, waiting: Sequence[Flow], on_air: Sequence[Flow]) -> list[int]:
        """Return the indices of the waiting flows that start now; waiting is in order of arrival.

        Called once per block at most; the network sets their `batch` to how many of them have
        the same transmitter.
        """

    def shares(self, on_air: Sequence[Flow]) -> tuple[list[float], list[float]]:
        """Return the share of the band and of the transmitter's power of each flow on the air."""


MAC = {"ofdma": Ofdma}

__all__ = ["MAC", "Flow", "Mac", "Ofdma"]
