"""Full spatial reuse: all transmissions on the whole band, with mutual interference."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mac.scheduled import OnAir, Rules, Shares, constant


@parameters
class Reuse:
    """Shared band, half duplex, one transfer at a time per transmitter and receiver.

    All audible transmitters interfere at a receiver. With `protection_ratio_db` a transfer waits
    while it is incompatible with another one under way: at mean gains, each of the two receivers
    must receive its own transmitter stronger than the other one by this ratio.

    Scope: compatibility is decided with mean gains that all devices are assumed to know, at no
    cost.

    Parameters
    ----------
    protection_ratio_db : smallest mean ratio of a receiver's own signal to that of any other
        transfer [dB]; none: a transfer starts as soon as its receiver is free
    """

    model: Literal["reuse"] = "reuse"
    scheme: ClassVar[str] = "scheduled"
    protection_ratio_db: float | None = Field(default=None, ge=-100, le=100)

    def rules(self) -> Rules:
        """Return the constraints."""
        return Rules(
            half_duplex=True,
            max_transmissions=1,
            max_receptions=1,
            interferes=True,
            protection_ratio_db=self.protection_ratio_db,
        )

    def group(self, source: int, target: int, devices: int) -> int:
        """Return the transmitter: each one is a group."""
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
