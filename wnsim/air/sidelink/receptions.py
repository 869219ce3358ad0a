"""SINR of single receptions, with interference of all transmissions in the same resource."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wnsim.air.gains import Gains
from wnsim.air.interference_graph import InterferenceGraph
from wnsim.air.quality import predict, sinr
from wnsim.air.setup import Setup
from wnsim.air.sidelink.grants import Grants
from wnsim.air.sidelink.occupancy import UNUSED, Occupancy
from wnsim.core.units import Floats, Ints


class Receptions:
    """Estimated and actual SINRs of single receptions.

    Parameters
    ----------
    setup : what the engine is built from
    grants : share of the power in a subchannel
    graph : audible nodes of each receiver
    """

    def __init__(self, setup: Setup, grants: Grants, graph: InterferenceGraph) -> None:
        world = setup.world
        self._delays = setup.csi_delays
        history = -(-self._delays[-1] // setup.sample_slots)
        self._gains = Gains(world.channel, setup.sample_ns, history)
        self._setup, self._grants, self._graph = setup, grants, graph
        self._power_w = world.tx_power_w

    def open(self, slot: int, length: int) -> int:
        """Provide gains for a window; return the slot at which they end."""
        per = self._setup.sample_slots
        if slot // per >= self._gains.end:
            self._gains.open(slot // per, -(-length // per))
        return self._gains.end * per

    def estimated(self, source: Ints, target: Ints, slot: Ints) -> Floats:
        """Return the SINR (F, B) estimated by transmitters, without interference."""
        row = self._gains.rows(source, target)
        per = self._setup.sample_slots
        past = [
            self._gains.at_samples(row, np.maximum(slot - delay, 0) // per)
            for delay in self._delays
        ]
        signal_w = self._power_w[source][:, None] * predict(past)
        slot = np.maximum(slot - self._setup.csi_delay_slots, 0)
        noise_w = self._noise_w(target, slot)
        return sinr(signal_w, self._grants.estimate_density, noise_w, np.zeros(1))

    def actual(
        self, occupancy: Occupancy, source: Ints, target: Ints, slot: Ints, channel: Ints
    ) -> Floats:
        """Return the actual SINR (F, B), 0 where the receiver transmits.

        Parameters
        ----------
        occupancy : resources of all nodes
        source, target, slot, channel : (F,) the receptions
        """
        per = self._setup.sample_slots
        gain = self._gains.at_samples(self._gains.rows(source, target), slot // per)
        signal_w = self._power_w[source][:, None] * gain
        interference_w = self._interference(occupancy, source, target, slot, channel, gain.shape[1])
        density = self._grants.density
        ratio = sinr(signal_w, density, self._noise_w(target, slot), density * interference_w)
        transmitting = occupancy.channel[target, slot - occupancy.base] != UNUSED
        ratio[transmitting] = 0.0
        return ratio

    def _noise_w(self, target: Ints, slot: Ints) -> Floats:
        """Return the noise (F, 1) of receivers, each in its own slot [W]."""
        per, sample_ns = self._setup.sample_slots, self._setup.sample_ns
        nodes, row = np.unique(target, return_inverse=True)
        samples, column = np.unique(slot // per, return_inverse=True)
        noise_w = self._setup.world.noise_w(nodes, samples * sample_ns)
        if noise_w.shape[1] == 1:
            return noise_w[row]
        return noise_w[row, column][:, None]

    def _interference(
        self,
        occupancy: Occupancy,
        source: Ints,
        target: Ints,
        slot: Ints,
        channel: Ints,
        bands: int,
    ) -> Floats:
        """Return the power (F, B) of other audible transmissions in the same resources [W]."""
        total = np.zeros((slot.size, bands))
        first, last = int(slot.min()), int(slot.max()) + 1
        part = occupancy.channel[:, first - occupancy.base : last - occupancy.base]
        node, when = np.nonzero(part != UNUSED)
        many = self._grants.mac.subchannels
        cell = when * many + part[node, when]
        order = np.argsort(cell, kind="stable")  # and by node within a resource
        node, cell = node[order], cell[order]
        wanted = (slot - first) * many + channel
        begin = np.searchsorted(cell, wanted, side="left")
        count = np.searchsorted(cell, wanted, side="right") - begin
        shared = np.flatnonzero(count > 1)
        if not shared.size:
            return total
        count = count[shared]
        row = np.repeat(shared, count)
        inner = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
        other = node[np.repeat(begin[shared], count) + inner]
        met = other != source[row]
        row, other = row[met], other[met]
        met = self._audible(target[row], other, first)
        row, other = row[met], other[met]
        if not row.size:
            return total
        samples = slot[row] // self._setup.sample_slots
        gain = self._gains.at_samples(self._gains.rows(other, target[row]), samples)
        received_w = self._power_w[other][:, None] * gain
        for band in range(bands):
            # bincount adds in order of the nodes.
            total[:, band] = np.bincount(row, received_w[:, band], slot.size)
        return total

    def _audible(self, target: Ints, other: Ints, slot: int) -> NDArray[np.bool_]:
        """Return which pairs (P,) are audible; a node is not audible to itself."""
        if not target.size:
            return np.zeros(0, dtype=np.bool_)
        receivers = np.unique(target)
        lists = self._graph.audible(receivers.tolist(), slot * self._setup.modem.slot_ns)
        keys = np.concatenate(
            [node << 32 | audible for node, audible in zip(receivers.tolist(), lists, strict=True)]
        )
        wanted = target << 32 | other
        place = np.minimum(np.searchsorted(keys, wanted), max(keys.size - 1, 0))
        return np.asarray(keys[place] == wanted) if keys.size else np.zeros(target.size, np.bool_)
