"""Contact plan of satellites: their passes over nodes on the ground, at mean rates.

A pass is cut into pieces on a grid of time, each with the rate at the mean SNR in its middle, with
the whole band and power. The mean has path loss and shadow fading, which are known in advance here;
small-scale fading is not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from wnsim.contacts.plan import Contact
from wnsim.core.units import NS_PER_S, db_to_linear, linear_to_db, to_s

if TYPE_CHECKING:
    from wnsim.world import World

# Longest piece of a pass [s].
_PIECE_S = 10.0
# Slots, if the physical layer does not determine their duration [ns].
_SLOT_NS = 1_000_000


class SatellitePlan:
    """Contacts between nodes on the ground and satellites; see `ContactPlan`.

    Parameters
    ----------
    world : nodes and satellites
    """

    def __init__(self, world: World) -> None:
        if world.sky is None:
            raise ValueError("a contact plan needs satellites, got none")
        self._world = world
        self._sky = world.sky
        self._modem = world.phy.modem(world.bandwidth_hz, 1, _SLOT_NS)
        nodes = np.arange(world.nodes)
        self._noise_w = world.noise_w(nodes, np.zeros(1, np.int64))[:, 0]
        self._known: dict[tuple[int, int, int], tuple[float, float]] = {}

    def neighbors(self, node: int) -> Collection[int]:
        """Return the satellites of a ground node, or the ground nodes of a satellite."""
        first = self._sky.first
        return range(first, self._world.nodes) if node < first else range(first)

    def contacts(
        self, source: int, target: int, from_s: float, until_s: float
    ) -> Iterator[Contact]:
        """Yield the contacts of a link that end after an instant and begin before another [s]."""
        now_ns, until_ns = round(from_s * NS_PER_S), round(until_s * NS_PER_S)
        while (begin_ns := self._sky.clear_ns(source, target, now_ns)) < until_ns:
            end_ns = min(self._sky.cut_ns(source, target, begin_ns), until_ns)
            first = math.floor(to_s(begin_ns) / _PIECE_S)
            for number in range(first, math.ceil(to_s(end_ns) / _PIECE_S)):
                piece_s = number * _PIECE_S, (number + 1) * _PIECE_S
                begin_s, end_s = max(piece_s[0], to_s(begin_ns)), min(piece_s[1], to_s(end_ns))
                rate_bps, delay_s = self._rate_of(source, target, number)
                yield Contact(begin_s, end_s, rate_bps, delay_s, continues=number > first)
            now_ns = end_ns

    def _rate_of(self, source: int, target: int, number: int) -> tuple[float, float]:
        """Return rate [bit/s] and delay [s] of a link in a piece of time."""
        known = self._known.get((source, target, number))
        if known is not None:
            return known
        world, middle_s = self._world, (number + 0.5) * _PIECE_S
        gain_db = world.channel.large_scale_db(
            np.array([source]), np.array([target]), np.array([middle_s])
        )[0]
        snr_db = gain_db + linear_to_db(world.tx_power_w[source] / self._noise_w[target])
        rate_bps = self._modem.rate_bps(db_to_linear(snr_db), np.ones(1))
        delay_ns = world.delay_ns(source, target, round(middle_s * NS_PER_S))
        found = float(rate_bps[0]), to_s(delay_ns)
        self._known[source, target, number] = found
        return found
