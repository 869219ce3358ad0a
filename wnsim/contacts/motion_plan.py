"""Contact plan of moving devices, whose motion is known in advance.

Two devices that are present have a contact while the mean SNR, with the whole band and power, is at
least -10 dB, at which no link carries much. It is cut into pieces of a second, each with the rate
at the mean SNR in its middle. The mean has path loss and shadow fading,
which are known in advance here; small-scale fading is not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from wnsim.contacts.plan import Contact
from wnsim.core.units import NS_PER_S, Floats, db_to_linear, linear_to_db, to_s

if TYPE_CHECKING:
    from wnsim.world import World

_PIECE_S = 1.0
# Pieces that are evaluated together.
_CHUNK = 32
_LEAST_SNR_DB = -10.0
# Slots, if the physical layer does not determine their duration [ns].
_SLOT_NS = 1_000_000


class MotionPlan:
    """Contacts between moving devices; see `ContactPlan`.

    Parameters
    ----------
    world : the devices
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._modem = world.phy.modem(world.bandwidth_hz, 1, _SLOT_NS)
        self._chunks: dict[int, Floats] = {}

    def neighbors(self, node: int) -> Collection[int]:
        """Return all other devices."""
        return [device for device in range(self._world.count) if device != node]

    def contacts(
        self, source: int, target: int, from_s: float, until_s: float
    ) -> Iterator[Contact]:
        """Yield the contacts of a link that end after an instant and begin before another [s]."""
        number, continues = math.floor(from_s / _PIECE_S), False
        while number * _PIECE_S < until_s:
            chunk, place = divmod(number, _CHUNK)
            rate_bps = float(self._rates_bps(chunk)[source, target, place])
            if rate_bps > 0.0:
                begin_s, end_s = number * _PIECE_S, (number + 1) * _PIECE_S
                delay_ns = self._world.delay_ns(source, target, round(begin_s * NS_PER_S))
                yield Contact(begin_s, end_s, rate_bps, to_s(delay_ns), continues=continues)
            continues = rate_bps > 0.0
            number += 1

    def _rates_bps(self, chunk: int) -> Floats:
        """Return the rates (devices, devices, pieces) in a chunk of pieces [bit/s]."""
        known = self._chunks.get(chunk)
        if known is not None:
            return known
        world, count = self._world, self._world.count
        edges_s = np.asarray((chunk * _CHUNK + np.arange(_CHUNK + 1)) * _PIECE_S, np.float64)
        source, target = np.nonzero(~np.eye(count, dtype=np.bool_))
        gain_db = world.channel.large_scale_db(source, target, edges_s[:-1] + _PIECE_S / 2.0)
        noise_w = world.noise_w(np.arange(count), np.zeros(1, np.int64))[:, 0]
        snr_db = gain_db + linear_to_db(world.tx_power_w[source] / noise_w[target])[:, None]
        present = world.motion.present(np.arange(count), edges_s)
        there = present[:, :-1] & present[:, 1:]
        rates_bps = np.zeros((count, count, _CHUNK))
        rate_bps = self._modem.rate_bps(db_to_linear(snr_db), np.ones(snr_db.shape))
        rates_bps[source, target] = np.where(snr_db < _LEAST_SNR_DB, 0.0, rate_bps)
        rates_bps[~(there[:, None] & there[None, :])] = 0.0
        self._chunks[chunk] = rates_bps
        return rates_bps
