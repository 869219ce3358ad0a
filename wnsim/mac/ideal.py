"""Contention-free access: a lower bound on latency for any medium access."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mac.scheduled import OnAir, Rules, Shares, constant


@parameters
class Ideal:
    """Every transfer has the whole band and the whole power, without interference.

    Not realizable: it separates the part of a latency that is due to the radio from the part that
    is due to medium access.
    """

    model: Literal["ideal"] = "ideal"
    scheme: ClassVar[str] = "scheduled"

    def rules(self) -> Rules:
        """Return the only constraint: one transfer at a time on a link."""
        return Rules()

    def group(self, source: int, target: int, devices: int) -> int:
        """Return the transmitter."""
        return source

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return 0."""
        return 0

    def duty(self, attempts: OnAir) -> Floats:
        """Return ones."""
        return np.ones(attempts.source.size)

    def shares(
        self, attempts: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return the whole band and power for each attempt."""
        return constant(np.ones(attempts.source.size))
