"""Grants: the resources that a device has selected, and the draws and powers that decide on them.

Everything here is a function of seed, device and slot, and of what is told about the past, so that
both engines ask the same questions, in whatever order, and get the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim.air.air import Setup
from wnsim.air.flow import Stream
from wnsim.air.quality import common
from wnsim.core.streams import key, uniforms
from wnsim.core.units import NS_PER_S, Floats, Ints, db_to_linear, w_to_dbm
from wnsim.mac.sidelink import Sidelink, remaining, select

# Bandwidth of the resource elements for which powers are told [Hz].
_ELEMENT_HZ = 15e3


@dataclass(frozen=True, slots=True)
class Grant:
    """Resources for some periods.

    Parameters
    ----------
    begin : slot in which they were selected, or kept
    periods : how often they are used
    keeps : whether they are kept after that, if there is still something to send
    period_slots : reservation period
    slots : (N,) slot of the first use of each resource, in the order of selection
    channels : (N,) subchannels
    """

    begin: int
    periods: int
    keeps: bool
    period_slots: int
    slots: Ints
    channels: Ints

    @property
    def end(self) -> int:
        """The slot in which it is decided again."""
        return self.begin + self.periods * self.period_slots

    def first(self, count: int) -> Grant:
        """Return the grant with only so many of its resources, the first that were selected."""
        return Grant(
            self.begin,
            self.periods,
            self.keeps,
            self.period_slots,
            self.slots[:count],
            self.channels[:count],
        )


class Grants:
    """How devices get their grants.

    Parameters
    ----------
    setup : what the engine works with, of a sidelink

    Raises
    ------
    TypeError
        if the medium access is not a sidelink
    """

    def __init__(self, setup: Setup) -> None:
        if not isinstance(setup.mac, Sidelink):
            raise TypeError(f"the medium access must be a Sidelink, got {setup.mac!r}")
        self.mac = setup.mac
        self._world, self._modem = setup.world, setup.modem
        self._range = self.mac.counter_range(setup.modem.slot_ns)
        self._resources = key(setup.error_key, "sidelink resources")
        self._counters = key(setup.error_key, "sidelink counters")
        element = _ELEMENT_HZ * self.mac.subchannels / setup.world.bandwidth_hz
        self._element_dbm = w_to_dbm(setup.world.tx_power_w * element)
        # What the SNR of a resource is more than that of the whole band, and where rates aim at.
        self.density = np.array(float(self.mac.subchannels))
        self.believed = np.array(self.mac.subchannels / float(db_to_linear(self.mac.margin_db)))

    def needed(self, stream: Stream, slot: int) -> int:
        """Return how many resources of a period a stream that starts in a slot needs."""
        mac, world, source = self.mac, self._world, stream.source
        targets = np.array([flow.target for flow in stream.flows])
        at_s = np.array([slot * self._modem.slot_ns / NS_PER_S])
        gain_db = world.channel.large_scale_db(np.full(targets.size, source), targets, at_s)[:, 0]
        noise_w = world.noise_w(targets, np.array([slot * self._modem.slot_ns]))[:, 0]
        snr = db_to_linear(gain_db) * (world.tx_power_w[source] * self.believed) / noise_w
        rate_bps = self._modem.rate_bps(snr, np.full(snr.shape, 1.0 / mac.subchannels))
        bits = float(common(rate_bps, stream.quantile)) * self._modem.slot_ns / NS_PER_S
        blocks = stream.flows[0].size_bits * (1 + mac.repetitions)
        most = mac.resources_per_period
        return most if bits * most <= blocks else max(1, int(np.ceil(blocks / bits)))

    def heard_dbm(self, device: int, others: Ints, slot: int) -> Floats:
        """Return the mean power (n,) in 15 kHz of others' announcements at a device [dBm]."""
        at_s = np.array([slot * self._modem.slot_ns / NS_PER_S])
        here = np.full(others.size, device)
        gain_db = self._world.channel.large_scale_db(others, here, at_s)[:, 0]
        return np.asarray(gain_db + self._element_dbm[others])

    def fresh(
        self, device: int, slot: int, count: int, announced_dbm: Floats, deaf: NDArray[np.bool_]
    ) -> Grant:
        """Return newly selected resources.

        Parameters
        ----------
        device, slot : who selects, and when
        count : how many
        announced_dbm, deaf : (W, K) and (W,) what was heard, see `mac.sidelink.remaining`
        """
        left = remaining(self.mac, announced_dbm, deaf, count)
        draws = uniforms(self._resources, device, np.arange(left.size), slot)
        place, channels = select(left, draws, count)
        return self._counted(device, slot, slot + 1 + place, channels)

    def kept(self, device: int, grant: Grant) -> Grant:
        """Return the grant that follows one which is kept."""
        slots = grant.slots + grant.periods * grant.period_slots
        return self._counted(device, grant.end, slots, grant.channels)

    def usable(self, grant: Grant | None, count: int, slot: int, silent: int) -> Grant | None:
        """Return the part of an old grant that a stream takes over, or none.

        Parameters
        ----------
        grant : of the stream's transmitter
        count : resources that the stream needs
        slot : slot in which it starts
        silent : slot since which its transmitter has had nothing to send
        """
        if grant is None or slot > grant.end or grant.slots.size < count:
            return None
        if slot - silent > self.mac.release_after * self.mac.period_slots:
            return None
        return grant.first(count)

    def _counted(self, device: int, slot: int, slots: Ints, channels: Ints) -> Grant:
        """Return a grant with its draws: how long it lasts, and whether it is kept then."""
        low, high = self._range
        length, keeping = uniforms(self._counters, device, np.arange(2), slot).tolist()
        periods = low + int(length * (high - low + 1))
        keeps = keeping < self.mac.keep_probability
        return Grant(slot, periods, keeps, self.mac.period_slots, slots, channels)
