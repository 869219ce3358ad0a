"""Who sends in which subchannel of which slot, in a window and in the slots before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wnsim.air.sidelink.grants import Grant
from wnsim.core.units import Floats, Ints
from wnsim.mac.sidelink import Sidelink

NOBODY = -1


class Occupancy:
    """A table of nodes and slots.

    Parameters
    ----------
    nodes : number of nodes
    mac : subchannels and period
    lookback : slots before the window that are remembered

    Attributes
    ----------
    channel : (nodes, slots) subchannel in which a node sends, or -1
    base : the first slot of the table
    """

    def __init__(self, nodes: int, mac: Sidelink, lookback: int) -> None:
        self.base = 0
        self.channel = np.full((nodes, 0), NOBODY, dtype=np.int16)
        self._announced = np.zeros((nodes, 0), dtype=np.bool_)
        self._mac, self._lookback = mac, lookback

    def open(self, slot: int, until: int) -> None:
        """Go on to a window, empty so far, remembering what was before it."""
        nodes, width = self.channel.shape
        base = slot - self._lookback
        channel = np.full((nodes, until - base), NOBODY, dtype=np.int16)
        announced = np.zeros((nodes, until - base), dtype=np.bool_)
        first, last = max(base, self.base), min(slot, self.base + width)
        if first < last:
            old = slice(first - self.base, last - self.base)
            channel[:, first - base : last - base] = self.channel[:, old]
            announced[:, first - base : last - base] = self._announced[:, old]
        self.channel, self._announced, self.base = channel, announced, base

    def clear(self, node: int, slot: int) -> None:
        """Let a node send nothing from a slot on."""
        self.channel[node, slot - self.base :] = NOBODY
        self._announced[node, slot - self.base :] = False

    def fill(self, node: int, grant: Grant, slot: int) -> None:
        """Let a node use its grant from a slot on."""
        period, until = grant.period_slots, self.base + self.channel.shape[1]
        first = max((slot - int(grant.slots.max())) // period, 0)
        last = min((until - int(grant.slots.min())) // period + 1, grant.periods)
        number = np.arange(first, max(last, first))
        slots = grant.slots[:, None] + period * number
        inside = (slots >= slot) & (slots < until)
        place = slots[inside] - self.base
        self.channel[node, place] = np.repeat(grant.channels, inside.sum(axis=1))
        more = np.broadcast_to((number + 1 < grant.periods) | grant.keeps, slots.shape)
        self._announced[node, place] = more[inside]

    def used(self, node: int, slot: int) -> tuple[Ints, Ints]:
        """Return the slots from one on in which a node sends, and the subchannels."""
        row = self.channel[node, slot - self.base :]
        place = np.flatnonzero(row != NOBODY)
        return place + slot, row[place].astype(np.int64)

    def sensed(
        self, device: int, others: Ints, power_dbm: Floats, slot: int
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return what a device that selects in a slot has heard.

        Parameters
        ----------
        device, slot : who selects, and when
        others : (n,) nodes that it can hear
        power_dbm : (n,) of their announcements [dBm]

        Returns
        -------
        (W, K) strongest announcement of each resource [dBm] and (W,) slots of which nothing was
        heard
        """
        mac = self._mac
        announced_dbm = np.full((mac.window_slots, mac.subchannels), -np.inf)
        deaf = np.zeros(mac.window_slots, dtype=np.bool_)
        # Slots whose next period lies in the selection window, the first slot of which is slot + 1.
        begin = slot - min(self._lookback, mac.period_slots - 1)
        place = np.arange(begin, slot) + mac.period_slots - (slot + 1)
        kept = place < mac.window_slots
        place, columns = place[kept], np.arange(begin, slot)[kept] - self.base
        own = self.channel[device, columns] != NOBODY
        deaf[place[own]] = True
        loud = power_dbm >= mac.rsrp_threshold_dbm
        others, power_dbm = others[loud], power_dbm[loud]
        part = self._announced[others[:, None], columns] & ~own
        who, when = np.nonzero(part)
        channels = self.channel[others[who], columns[when]]
        np.maximum.at(announced_dbm, (place[when], channels), power_dbm[who])
        return announced_dbm, deaf
