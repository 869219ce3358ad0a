"""Occupancy of sidelink resources by node and slot, in a window and the slots before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.air.sidelink.grants import Grant
from wnsim.core.units import Floats, Ints
from wnsim.mac.sidelink import Sidelink

UNUSED = -1


class Occupancy:
    """Subchannel used by each node in each slot.

    Parameters
    ----------
    nodes : number of nodes
    mac : subchannels and period
    lookback : slots before the window that are kept for sensing

    Attributes
    ----------
    channel : (nodes, slots) subchannel in which a node transmits, or -1
    base : first slot of the table
    """

    def __init__(self, nodes: int, mac: Sidelink, lookback: int) -> None:
        self.base = 0
        self.channel = np.full((nodes, 0), UNUSED, dtype=np.int16)
        self._announced = np.zeros((nodes, 0), dtype=np.bool_)
        self._mac, self._lookback = mac, lookback

    def open(self, slot: int, until: int) -> None:
        """Advance to a window, empty so far, and keep the slots before it."""
        nodes, width = self.channel.shape
        base = slot - self._lookback
        channel = np.full((nodes, until - base), UNUSED, dtype=np.int16)
        announced = np.zeros((nodes, until - base), dtype=np.bool_)
        first, last = max(base, self.base), min(slot, self.base + width)
        if first < last:
            old = slice(first - self.base, last - self.base)
            channel[:, first - base : last - base] = self.channel[:, old]
            announced[:, first - base : last - base] = self._announced[:, old]
        self.channel, self._announced, self.base = channel, announced, base

    def clear(self, node: int, slot: int) -> None:
        """Remove the resources of a node from a slot on."""
        self.channel[node, slot - self.base :] = UNUSED
        self._announced[node, slot - self.base :] = False

    def fill(self, node: int, grant: Grant, slot: int) -> None:
        """Enter the resources of a node's grant from a slot on."""
        kernels.sidelink.enter(
            self.channel[node], self._announced[node], self.base, slot, grant.slots,
            grant.channels, grant.period_slots, grant.periods, grant.keeps,
        )  # fmt: skip

    def used(self, node: int, slot: int) -> tuple[Ints, Ints]:
        """Return the slots from one on in which a node transmits, and the subchannels."""
        row = self.channel[node, slot - self.base :]
        offset = np.flatnonzero(row != UNUSED)
        return offset + slot, row[offset].astype(np.int64)

    def sensed(
        self, device: int, others: Ints, power_dbm: Floats, slot: int
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the sensing result of a device that selects resources in a slot.

        Parameters
        ----------
        device, slot : the device, and the slot of the selection
        others : (n,) nodes audible to it
        power_dbm : (n,) power of their reservations [dBm]

        Returns
        -------
        (W, K) strongest reservation of each resource [dBm] and (W,) slots that were not sensed
        """
        mac = self._mac
        announced_dbm = np.full((mac.window_slots, mac.subchannels), -np.inf)
        unsensed = np.zeros(mac.window_slots, dtype=np.bool_)
        # Slots whose next period lies in the selection window, the first slot of which is slot + 1.
        begin = slot - min(self._lookback, mac.period_slots - 1)
        offset = np.arange(begin, slot) + mac.period_slots - (slot + 1)
        kept = offset < mac.window_slots
        offset, columns = offset[kept], np.arange(begin, slot)[kept] - self.base
        own = self.channel[device, columns] != UNUSED
        unsensed[offset[own]] = True
        relevant = power_dbm >= mac.rsrp_threshold_dbm
        others, power_dbm = others[relevant], power_dbm[relevant]
        part = self._announced[others[:, None], columns] & ~own
        who, when = np.nonzero(part)
        channels = self.channel[others[who], columns[when]]
        np.maximum.at(announced_dbm, (offset[when], channels), power_dbm[who])
        return announced_dbm, unsensed
