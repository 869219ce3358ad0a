"""Cellular access: everything goes through base stations, which schedule uplink and downlink.

Sources: Jalali, Padovani and Pankaj, "Data throughput of CDMA-HDR", IEEE VTC 2000 (proportional
fair: rate over a sliding mean of it).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mac.scheduled import OnAir, Rules, Shares
from wnsim.mac.tdma import turns


@parameters
class Cell:
    """Base stations that give their band to the devices they serve.

    Uplink and downlink are on bands of their own, each as wide as the radio's band and used by
    all stations, so that the cells disturb each other. In each direction a station gives every
    slot to one transfer (`proportional-fair`, `round-robin`), or all transfers an equal part of
    the band (`equal`). A message between devices goes up to the station that serves its sender,
    over the backhaul if another one serves the receiver, and down; a broadcast goes up once, and
    down to each receiver by itself.

    Scope: a device is served by the station with the best mean gain when its message is handed
    over; there is no handover while it is under way, and no random access or control channel.

    Parameters
    ----------
    scheduler : to whom a station gives a slot
    memory_slots : time constant of the mean rate that proportional fairness compares with [slots]
    """

    model: Literal["cell"] = "cell"
    scheme: ClassVar[str] = "scheduled"
    scheduler: Literal["proportional-fair", "round-robin", "equal"] = "proportional-fair"
    memory_slots: float = Field(default=100.0, ge=1, le=1e6)

    def rules(self) -> Rules:
        """Return the constraints."""
        # A device that sends to two stations ties their shares together: nothing is local.
        return Rules(interferes=True, patterned=True)

    def group(self, source: int, target: int, devices: int) -> int:
        """Return the band of the link's station: even numbers up, odd ones down."""
        return 2 * source + 1 if source >= devices else 2 * target

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return 0 up, 1 down."""
        return int(source >= devices)

    def duty(self, flows: OnAir) -> Floats:
        """Return the mean share of its transmitter's power over time that each flow uses."""
        return _split(flows)[1] if self.scheduler == "equal" else 1.0 / flows.rank()[1]

    def shares(
        self, flows: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return the stations' decisions."""
        if self.scheduler == "round-robin":
            return turns(flows, first_slot, slots, 1)
        if self.scheduler == "equal":
            band, power = _split(flows)
            return Shares(band[:, None], power[:, None], np.ones((band.size, 1), dtype=np.bool_))
        return self._proportional_fair(flows, slots, quality, average)

    def _proportional_fair(
        self, flows: OnAir, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Give each slot of a station to the stream whose rate is highest against its mean."""
        count = flows.source.size
        first = np.flatnonzero(np.r_[True, flows.group[1:] != flows.group[:-1]])
        group = np.cumsum(np.r_[0, flows.group[1:] != flows.group[:-1]])
        active = np.zeros((count, slots), dtype=np.bool_)
        remembered = np.empty((count, slots))
        order = np.arange(count)
        for slot in range(slots):
            rate = quality[:, slot]
            with np.errstate(divide="ignore", invalid="ignore"):
                # Who has never been served comes first; who hears nothing comes last.
                metric = np.where(rate > 0.0, rate / average, -1.0)
            best = metric == np.maximum.reduceat(metric, first)[group]
            chosen = np.minimum.reduceat(np.where(best, order, count), first)
            served = flows.stream == flows.stream[chosen][group]
            active[:, slot] = served
            average = average + (np.where(served, rate, 0.0) - average) / self.memory_slots
            remembered[:, slot] = average
        whole = np.ones((count, 1))
        return Shares(whole, whole, active, remembered)


def _split(flows: OnAir) -> tuple[Floats, Floats]:
    """Return the shares (F,) of the band of a station and of the transmitter's power."""
    band = 1.0 / flows.rank()[1]
    _, first, place = np.unique(flows.stream, return_index=True, return_inverse=True)
    _, which, count = np.unique(flows.source[first], return_inverse=True, return_counts=True)
    return band, (1.0 / count[which])[place]
