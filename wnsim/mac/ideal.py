"""No contention at all: the bound that no medium access can beat."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mac.scheduled import OnAir, Rules, Shares, constant


@parameters
class Ideal:
    """Every transfer has the whole band and the whole power to itself, and nobody interferes.

    Not a system that could be built: it tells how much of a latency is the radio's and how much
    is the access to it.
    """

    model: Literal["ideal"] = "ideal"
    scheme: ClassVar[str] = "scheduled"

    def rules(self) -> Rules:
        """Return no constraint but one transfer at a time on a link."""
        return Rules()

    def group(self, source: int, target: int, devices: int) -> int:
        """Return the transmitter."""
        return source

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return 0."""
        return 0

    def duty(self, flows: OnAir) -> Floats:
        """Return ones."""
        return np.ones(flows.source.size)

    def shares(
        self, flows: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return everything for everybody."""
        return constant(np.ones(flows.source.size))
