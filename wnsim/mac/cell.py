"""Cellular access: base stations schedule uplink and downlink.

Sources: Jalali, Padovani and Pankaj, "Data throughput of CDMA-HDR", IEEE VTC 2000 (proportional
fair: ratio of the rate to its exponential moving average).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.plugins import Family
from wnsim.core.units import Floats
from wnsim.mac.allocation import Allocation, EqualShares, LeastEnergy, MinMax
from wnsim.mac.resource_blocks import ResourceBlocks
from wnsim.mac.scheduled import OnAir, Rules, Shares
from wnsim.mac.tdma import round_robin

UplinkAllocation = Annotated[
    EqualShares | MinMax | LeastEnergy | ResourceBlocks, Family("allocation", Allocation)
]


@parameters
class Cell:
    """Base stations that share their band among the devices they serve.

    Uplink and downlink use separate bands, each as wide as the radio's band and used by all
    stations, so that cells interfere with each other. In each direction a station assigns every
    slot to one transfer (`proportional-fair`, `round-robin`), or an equal part of the band to all
    transfers (`equal`). A message between devices is sent to the station that serves its sender,
    over the backhaul if another station serves the receiver, and to the receiver; a multicast is
    sent once in the uplink, and separately to each receiver in the downlink.

    Scope: a device is served by the station with the best mean gain when its message is submitted;
    there is no handover during a transfer, and no random access or control channel.

    Parameters
    ----------
    scheduler : rule by which a station assigns slots
    allocation : rule by which the uplink's band and power are allotted in place of the scheduler,
        which then is that of the downlink
    memory_slots : time constant of the average rate in proportional fairness [slots]
    """

    model: Literal["cell"] = "cell"
    scheme: ClassVar[str] = "scheduled"
    scheduler: Literal["proportional-fair", "round-robin", "equal"] = "proportional-fair"
    allocation: UplinkAllocation | None = None
    memory_slots: float = Field(default=100.0, ge=1, le=1e6)

    def rules(self) -> Rules:
        """Return the constraints."""
        # A device that transmits to two stations couples their shares, so recompute all groups.
        blocks = self.allocation
        most = len(blocks.noise_rise_db) if isinstance(blocks, ResourceBlocks) else None
        return Rules(interferes=True, patterned=True, allocation=blocks, max_receptions=most)

    def group(self, source: int, target: int, devices: int) -> int:
        """Return the band of the link's station: even numbers for uplink, odd ones for downlink."""
        return 2 * source + 1 if source >= devices else 2 * target

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return 0 for uplink, 1 for downlink."""
        return int(source >= devices)

    def duty(self, attempts: OnAir) -> Floats:
        """Return the mean share of its transmitter's power over time that each attempt uses."""
        duty = _split(attempts)[1] if self.scheduler == "equal" else 1.0 / attempts.rank()[1]
        return duty if self.allocation is None else np.where(_up(attempts), attempts.power, duty)

    def shares(
        self, attempts: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return the decisions of the stations."""
        shares = self._scheduled(attempts, first_slot, slots, quality, average)
        if self.allocation is None:
            return shares
        up = _up(attempts)[:, None]
        return Shares(
            np.where(up, attempts.band[:, None], shares.band),
            np.where(up, attempts.power[:, None], shares.power),
            up | shares.active,
            shares.average,
        )

    def _scheduled(
        self, attempts: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return the decisions of the scheduler."""
        if self.scheduler == "round-robin":
            return round_robin(attempts, first_slot, slots, 1)
        if self.scheduler == "equal":
            band, power = _split(attempts)
            return Shares(band[:, None], power[:, None], np.ones((band.size, 1), dtype=np.bool_))
        return self._proportional_fair(attempts, slots, quality, average)

    def _proportional_fair(
        self, attempts: OnAir, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Assign each slot of a station to the transmission with the largest relative rate."""
        count = attempts.source.size
        first = np.flatnonzero(np.r_[True, attempts.group[1:] != attempts.group[:-1]])
        group = np.cumsum(np.r_[0, attempts.group[1:] != attempts.group[:-1]])
        active = np.zeros((count, slots), dtype=np.bool_)
        remembered = np.empty((count, slots))
        order = np.arange(count)
        for slot in range(slots):
            rate = quality[:, slot]
            with np.errstate(divide="ignore", invalid="ignore"):
                # Transmissions not served yet come first, those with rate 0 last.
                metric = np.where(rate > 0.0, rate / average, -1.0)
            best = metric == np.maximum.reduceat(metric, first)[group]
            chosen = np.minimum.reduceat(np.where(best, order, count), first)
            served = attempts.transmission == attempts.transmission[chosen][group]
            active[:, slot] = served
            average = average + (np.where(served, rate, 0.0) - average) / self.memory_slots
            remembered[:, slot] = average
        whole = np.ones((count, 1))
        return Shares(whole, whole, active, remembered)


def _up(attempts: OnAir) -> NDArray[np.bool_]:
    """Return which attempts (F,) are of an uplink: those in groups of even numbers."""
    return np.asarray(attempts.group % 2 == 0)


def _split(attempts: OnAir) -> tuple[Floats, Floats]:
    """Return the shares (F,) of a station's band and of the transmitter's power."""
    band = 1.0 / attempts.rank()[1]
    _, first, place = np.unique(attempts.transmission, return_index=True, return_inverse=True)
    _, which, count = np.unique(attempts.source[first], return_inverse=True, return_counts=True)
    return band, (1.0 / count[which])[place]
