"""Time division: one transmitter after another has the whole band."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mac.scheduled import OnAir, Rules, Shares


@parameters
class Tdma:
    """Turns of some slots, in order of arrival, among all transfers that are under way.

    Nobody interferes with anybody. Whose turn it is follows from the number of the slot and the
    list of transfers alone, so a transfer that ends or begins shifts the turns of those behind it.

    Scope: turns cost no guard time and no signalling.

    Parameters
    ----------
    turn_slots : slots in a row that belong to one transfer
    """

    model: Literal["tdma"] = "tdma"
    scheme: ClassVar[str] = "scheduled"
    turn_slots: int = Field(default=1, ge=1, le=1_000_000)

    def rules(self) -> Rules:
        """Return the constraints: a transmitter sends one transfer at a time, in its turns."""
        return Rules(streams=1, patterned=True)

    def group(self, source: int, target: int, devices: int) -> int:
        """Return the one group of all."""
        return 0

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return 0."""
        return 0

    def duty(self, flows: OnAir) -> Floats:
        """Return an equal part of the time."""
        return 1.0 / flows.rank()[1]

    def shares(
        self, flows: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return the turns."""
        return turns(flows, first_slot, slots, self.turn_slots)


def turns(flows: OnAir, first_slot: int, slots: int, turn_slots: int) -> Shares:
    """Return the whole band and power in turns, to one stream of each group at a time."""
    rank, count = flows.rank()
    turn = np.arange(first_slot, first_slot + slots) // turn_slots
    active = turn % count[:, None] == rank[:, None]
    whole = np.ones((rank.size, 1))
    return Shares(whole, whole, active)
