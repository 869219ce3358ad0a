"""Time-division multiple access: transfers take turns on the whole band."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mac.scheduled import OnAir, Rules, Shares


@parameters
class Tdma:
    """Turns of several slots, in order of arrival, among all transfers under way.

    There is no interference. The active transfer follows from the slot number and the list of
    transfers alone, so the start or end of a transfer shifts the turns of those behind it.

    Scope: no guard time and no signalling.

    Parameters
    ----------
    turn_slots : consecutive slots of one transfer [slots]
    """

    model: Literal["tdma"] = "tdma"
    scheme: ClassVar[str] = "scheduled"
    turn_slots: int = Field(default=1, ge=1, le=1_000_000)

    def rules(self) -> Rules:
        """Return the constraints: one transmission per transmitter at a time."""
        return Rules(max_transmissions=1, patterned=True)

    def group(self, source: int, target: int, devices: int) -> int:
        """Return 0: all links share one group."""
        return 0

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return 0."""
        return 0

    def duty(self, attempts: OnAir) -> Floats:
        """Return an equal part of the time for each transmission."""
        return 1.0 / attempts.rank()[1]

    def shares(
        self, attempts: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return the turns."""
        return round_robin(attempts, first_slot, slots, self.turn_slots)


def round_robin(attempts: OnAir, first_slot: int, slots: int, turn_slots: int) -> Shares:
    """Return the whole band and power, for one transmission of each group at a time."""
    rank, count = attempts.rank()
    turn = np.arange(first_slot, first_slot + slots) // turn_slots
    active = turn % count[:, None] == rank[:, None]
    whole = np.ones((rank.size, 1))
    return Shares(whole, whole, active)
