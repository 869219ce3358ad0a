"""Allocator: shares of band and power of the uplink of each base station, over time.

Shares are computed when a transmission of the station's uplink starts or ends, and after an
interval, from the mean SNRs, the bits that are left, and the deadlines of the messages. They hold
from a slot on, so that they are the same in all engines.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wnsim.core.units import NS_PER_S, db_to_linear, to_ns, to_s
from wnsim.mac.allocation import Demand, checked

if TYPE_CHECKING:
    from wnsim.air.setup import Setup
    from wnsim.air.transmission import Attempt, Transmission
    from wnsim.mac.allocation import Allocation


class Allocator:
    """The allocations of all uplinks.

    Parameters
    ----------
    setup : what the engine is built from, with a medium access that allocates
    """

    def __init__(self, setup: Setup) -> None:
        allocation: Any = setup.mac.rules().allocation
        self._allocation: Allocation = allocation
        self._setup = setup
        # A user-defined allocation is checked in each use.
        name = str(getattr(allocation, "model", ""))
        self._name = name if ":" in name else None
        # By station: the slot of the next allocation, and the transmissions that the last was for.
        self._last: dict[int, tuple[int | None, list[int]]] = {}

    def next_slot(self) -> int | None:
        """Return the slot of the next allocation if no transmission starts or ends."""
        return min((slot for slot, _ in self._last.values() if slot is not None), default=None)

    def allot(
        self,
        transmissions: Mapping[Attempt, Transmission],
        acked_bits: Callable[[Attempt], int],
        now_ns: int,
    ) -> list[Attempt]:
        """Set the shares of the attempts on the air for which there is a new allocation.

        Parameters
        ----------
        transmissions : the attempts on the air, with their transmissions
        acked_bits : returns the bits of an attempt received by now
        now_ns : start of a slot [ns]

        Returns
        -------
        the attempts with new shares
        """
        devices, slot = self._setup.world.count, now_ns // self._setup.modem.slot_ns
        uplinks: dict[int, dict[int, Transmission]] = {}
        for attempt, each in transmissions.items():
            if attempt.target >= devices:
                uplinks.setdefault(attempt.target, {})[each.serial] = each
        # A device may transmit to two stations, among which it divides its power.
        stations = Counter(each.source for uplink in uplinks.values() for each in uplink.values())
        changed = []
        last, self._last = self._last, {}
        for station in sorted(uplinks):
            uplink = [uplinks[station][serial] for serial in sorted(uplinks[station])]
            serials = [each.serial for each in uplink]
            before = last.get(station)
            if before and before[1] == serials and (before[0] is None or slot < before[0]):
                self._last[station] = before
                continue
            demand = self._demand(uplink, station, stations, acked_bits, now_ns)
            self._last[station] = self._next(slot, demand), serials
            found = self._allocation.shares(self._setup.modem, demand)
            if self._name is not None:
                found = checked(self._name, demand, found)
            noise = np.ones(len(uplink)) if found.noise is None else found.noise
            columns = (each.tolist() for each in (found.band, found.power, noise))
            for each, *allotted in zip(uplink, *columns, strict=True):
                for attempt in each.attempts:
                    attempt.band, attempt.power, attempt.noise = allotted
                    changed.append(attempt)
        return changed

    def _next(self, slot: int, demand: Demand) -> int | None:
        """Return the slot until which an allocation of a slot holds, None for no limit."""
        valid_s = self._allocation.valid_s(demand)
        if not valid_s > 0.0:
            raise ValueError(f"{self._name}: valid_s must be positive, got {valid_s}")
        if math.isinf(valid_s):
            return None
        return slot + max(1, to_ns(valid_s) // self._setup.modem.slot_ns)

    def _demand(
        self,
        uplink: list[Transmission],
        station: int,
        stations: Mapping[int, int],
        acked_bits: Callable[[Attempt], int],
        now_ns: int,
    ) -> Demand:
        """Return what the devices of an uplink have to send; see `allot`."""
        world, modem = self._setup.world, self._setup.modem
        source = np.array([each.source for each in uplink])
        attempts = [min(each.attempts, key=lambda one: one.serial) for each in uplink]
        left_s = np.array([max(each.deadline_ns - now_ns, 1) / NS_PER_S for each in attempts])
        bits = [
            each.size_bits - (acked_bits(each) if each.started_ns < now_ns else 0)
            for each in attempts
        ]
        known_ns = max(now_ns - self._setup.csi_delay_slots * modem.slot_ns, 0)
        gain_db = world.channel.large_scale_db(
            source, np.full(source.size, station), np.array([to_s(known_ns)])
        )[:, 0]
        noise_w = world.noise_w(np.array([station]), np.array([known_ns]))[0, 0]
        return Demand(
            bits=np.maximum(np.array(bits, dtype=np.float64), 1.0),
            left_s=left_s,
            snr=world.tx_power_w[source] * db_to_linear(gain_db) / noise_w,
            limit=np.array([1.0 / stations[each.source] for each in uplink]),
            tx_power_w=world.tx_power_w[source],
            size_bits=np.array([each.size_bits for each in attempts], dtype=np.float64),
            weight=np.array([each.weight for each in attempts]),
            device=source,
        )
