"""Grants: resources selected by a device, and the draws and powers that determine them.

All results are functions of seed, device, slot and the sensing result, so that both engines obtain
the same grants in any order of computation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim.air.quality import multicast_quality
from wnsim.air.setup import Setup
from wnsim.air.transmission import Transmission
from wnsim.core.streams import key, uniforms
from wnsim.core.units import NS_PER_S, Floats, Ints, db_to_linear, w_to_dbm
from wnsim.mac.sidelink import Sidelink, remaining, select

# Bandwidth of the resource elements of reference powers [Hz].
_ELEMENT_HZ = 15e3


@dataclass(frozen=True, slots=True)
class Grant:
    """Resources reserved for some periods.

    Parameters
    ----------
    begin : slot in which they were selected or kept
    periods : number of periods
    keeps : whether they are kept after that, if there is still something to send
    period_slots : reservation period [slots]
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
        """Slot of the next selection."""
        return self.begin + self.periods * self.period_slots

    def first(self, count: int) -> Grant:
        """Return the grant with only its first resources, in the order of selection."""
        return Grant(
            self.begin,
            self.periods,
            self.keeps,
            self.period_slots,
            self.slots[:count],
            self.channels[:count],
        )


class Grants:
    """Selection and continuation of grants.

    Parameters
    ----------
    setup : what the engine is built from, with a sidelink as medium access

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
        # SNR of a resource over that of the whole band; the same, less the rate selection margin.
        self.density = np.array(float(self.mac.subchannels))
        self.estimate_density = np.array(
            self.mac.subchannels / float(db_to_linear(self.mac.margin_db))
        )

    def resources_needed(self, transmission: Transmission, slot: int) -> int:
        """Return the number of resources per period needed by a transmission from a slot on."""
        mac, world, source = self.mac, self._world, transmission.source
        targets = np.array([attempt.target for attempt in transmission.attempts])
        at_s = np.array([slot * self._modem.slot_ns / NS_PER_S])
        gain_db = world.channel.large_scale_db(np.full(targets.size, source), targets, at_s)[:, 0]
        noise_w = world.noise_w(targets, np.array([slot * self._modem.slot_ns]))[:, 0]
        snr = db_to_linear(gain_db) * (world.tx_power_w[source] * self.estimate_density) / noise_w
        rate_bps = self._modem.rate_bps(snr, np.full(snr.shape, 1.0 / mac.subchannels))
        bits = (
            float(multicast_quality(rate_bps, transmission.quantile))
            * self._modem.slot_ns
            / NS_PER_S
        )
        blocks = transmission.attempts[0].size_bits * (1 + mac.repetitions)
        most = mac.resources_per_period
        return most if bits * most <= blocks else max(1, int(np.ceil(blocks / bits)))

    def rsrp_dbm(self, device: int, others: Ints, slot: int) -> Floats:
        """Return the mean power (n,) of reservations of other nodes at a device in 15 kHz [dBm]."""
        at_s = np.array([slot * self._modem.slot_ns / NS_PER_S])
        here = np.full(others.size, device)
        gain_db = self._world.channel.large_scale_db(others, here, at_s)[:, 0]
        return np.asarray(gain_db + self._element_dbm[others])

    def select(
        self, device: int, slot: int, count: int, announced_dbm: Floats, unsensed: NDArray[np.bool_]
    ) -> Grant:
        """Return a grant of newly selected resources.

        Parameters
        ----------
        device, slot : the device, and the slot of the selection
        count : number of resources
        announced_dbm, unsensed : (W, K) and (W,) sensing result, see `mac.sidelink.remaining`
        """
        left = remaining(self.mac, announced_dbm, unsensed, count)
        draws = uniforms(self._resources, device, np.arange(left.size), slot)
        place, channels = select(left, draws, count)
        return self._counted(device, slot, slot + 1 + place, channels)

    def extend(self, device: int, grant: Grant) -> Grant:
        """Return the grant that continues one whose resources are kept."""
        slots = grant.slots + grant.periods * grant.period_slots
        return self._counted(device, grant.end, slots, grant.channels)

    def reusable(self, grant: Grant | None, count: int, slot: int, idle_since: int) -> Grant | None:
        """Return the part of an old grant that a transmission takes over, or none.

        Parameters
        ----------
        grant : grant of the transmitter
        count : resources that the transmission needs
        slot : slot in which it starts
        idle_since : slot since which the transmitter has had nothing to send
        """
        if grant is None or slot > grant.end or grant.slots.size < count:
            return None
        if slot - idle_since > self.mac.release_after * self.mac.period_slots:
            return None
        return grant.first(count)

    def _counted(self, device: int, slot: int, slots: Ints, channels: Ints) -> Grant:
        """Return a grant with its draws: number of periods, and whether it is kept then."""
        low, high = self._range
        length, keep_draw = uniforms(self._counters, device, np.arange(2), slot).tolist()
        periods = low + int(length * (high - low + 1))
        keeps = keep_draw < self.mac.keep_probability
        return Grant(slot, periods, keeps, self.mac.period_slots, slots, channels)
