"""Spatial reuse: everybody on the whole band at once, with the interference that this makes."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mac.scheduled import OnAir, Rules, Shares, constant


@parameters
class Reuse:
    """One band for all, half duplex, one transfer per transmitter and receiver at a time.

    A receiver is disturbed by every transmitter that it can hear. With `protection_ratio_db` a
    transfer waits while it and another one under way do not get along: by mean gains, each of the
    two receivers has to hear its own transmitter at least so much stronger than the other one.

    Scope: who may start is decided with mean gains that everybody is taken to know; nothing is
    spent on finding them out.

    Parameters
    ----------
    protection_ratio_db : lowest mean ratio of a receiver's own signal to that of any other transfer
        [dB]; none: whoever has a free receiver starts
    """

    model: Literal["reuse"] = "reuse"
    scheme: ClassVar[str] = "scheduled"
    protection_ratio_db: float | None = Field(default=None, ge=-100, le=100)

    def rules(self) -> Rules:
        """Return the constraints."""
        return Rules(
            half_duplex=True,
            streams=1,
            receptions=1,
            interferes=True,
            protection_ratio_db=self.protection_ratio_db,
        )

    def group(self, source: int, target: int, devices: int) -> int:
        """Return a group of its own for each transmitter."""
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
        """Return the whole band and power for everybody."""
        return constant(np.ones(flows.source.size))
