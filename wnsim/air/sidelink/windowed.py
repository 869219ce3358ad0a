"""Windowed engine of the sidelink: reservations and their outcome, many periods ahead.

A window contains the transmissions of all nodes in the coming slots, future selections included,
and their outcome. As long as no transmission starts or ends, reservations do not depend on what is
received. When one does, the selections after that instant are repeated, and the transmissions with
blocks in slots that have changed are recomputed, and no others. `packet`, which simulates one slot
at a time, gives bit-identical results.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from wnsim.air.air import Air
from wnsim.air.interference_graph import InterferenceGraph
from wnsim.air.quality import multicast_quality
from wnsim.air.setup import Setup
from wnsim.air.sidelink.active_transmission import ActiveTransmission
from wnsim.air.sidelink.grants import Grant, Grants
from wnsim.air.sidelink.occupancy import UNUSED, Occupancy
from wnsim.air.sidelink.receptions import Receptions
from wnsim.air.transmission import Attempt, Transmission
from wnsim.core.streams import uniforms
from wnsim.core.units import Floats, Ints
from wnsim.phy.modem import Slots

_SHORTEST, _LONGEST = 8, 4096
# Approximate number of receptions computed in one batch.
_LARGEST = 1 << 19


class SidelinkWindowed(Air):
    """An engine that computes many slots ahead; see `Air`."""

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        super().__init__(setup, ended)
        self._grants = Grants(setup)
        self._mac = self._grants.mac
        self._graph = InterferenceGraph(setup.world)
        self._receptions = Receptions(setup, self._grants, self._graph)
        lookback = self._mac.lookback_slots(self.slot_ns)
        self._occupancy = Occupancy(setup.world.nodes, self._mac, lookback)
        self._active: dict[int, ActiveTransmission] = {}
        # Grants of each device: the present one, and after it those of the window.
        self._grants_of: dict[int, list[Grant]] = {}
        self._count: dict[int, int] = {}
        self._idle_since: dict[int, int] = {}
        self._selections: list[tuple[int, int]] = []
        self._rsrp_dbm: dict[tuple[int, int], tuple[Ints, Floats]] = {}
        self._first = self._until = 0
        self._length = self._mac.period_slots
        self._changes = 0
        # Transmitters whose transmission has ended, or lost one of its receivers.
        self._gone: set[int] = set()
        self._shrunk: set[int] = set()

    # Required by `Air`.

    def begin_slot(self, slot: int, started: Sequence[Transmission]) -> None:
        """Begin a slot: start transmissions, and compute or update the window."""
        self._changes += len(started) + len(self._gone)
        expired = slot >= self._until
        if expired:
            for active in self._active.values():
                active.close()
        for transmission in started:
            self._active[transmission.source] = ActiveTransmission(
                transmission, slot, self.setup, self._mac
            )
        if expired and self._active:
            self._open(slot)
        if self._active or self._gone:
            self._update(slot, {transmission.source for transmission in started}, expired)
        self._gone, self._shrunk = set(), set()
        if not self._active:
            self._until = slot

    def due(self, now_ns: int) -> list[Attempt]:
        """Return the attempts on the air that end by an instant [ns]."""
        return [
            attempt
            for active in self._active.values()
            if active.due_ns <= now_ns
            for attempt, row in active.attempts.items()
            if active.due[row] <= now_ns
        ]

    def next_end_ns(self) -> int | None:
        """Return when the next attempt on the air ends [ns]."""
        return min((active.due_ns for active in self._active.values()), default=None)

    def next_slot(self) -> int | None:
        """Return the slot after the end of the window."""
        return self._until if self._active else None

    def finalize(self, attempt: Attempt, now_ns: int) -> None:
        """Write the outcome of an attempt that ends now, and remove it."""
        active = self._active[attempt.source]
        active.finalize(attempt, now_ns)
        if active.attempts:
            self._shrunk.add(attempt.source)
            return
        del self._active[attempt.source]
        self._idle_since[attempt.source] = -(-now_ns // self.slot_ns)
        self._gone.add(attempt.source)
        self._shrunk.discard(attempt.source)

    def acked_bits(self, attempt: Attempt) -> int:
        """Return the number of bits of an attempt on the air received by now."""
        return self._active[attempt.source].received_bits(attempt, self.env.now_ns)

    # Windows.

    def _open(self, slot: int) -> None:
        """Begin a window at a slot."""
        period = self._mac.period_slots
        # Double the length if nothing changed, else use the duration of a few changes.
        if self._changes:
            elapsed = max(slot - self._first, 1)
            self._length = max(_SHORTEST, min(8 * elapsed // self._changes, period))
        else:
            self._length = min(2 * self._length, _LONGEST)
        attempts = sum(len(active.attempts) for active in self._active.values())
        largest = _LARGEST // (attempts * self.setup.world.channel.subbands)
        self._length = max(_SHORTEST, min(self._length, largest))
        self._changes = 0
        until = min(slot + self._length, self._receptions.open(slot, self._length))
        limit_ns = self._graph.end_ns(slot * self.slot_ns)
        self._first, self._until = slot, min(until, -(-limit_ns // self.slot_ns))
        self._occupancy.open(slot, self._until)
        self._selections, self._rsrp_dbm = [], {}
        # All audible sets in one batch, which is faster than one after the other.
        targets = [active.targets.tolist() for active in self._active.values()]
        self._graph.audible(sorted({*self._active, *chain(*targets)}), slot * self.slot_ns)

    def _update(self, slot: int, started: set[int], expired: bool) -> None:
        """Compute the window from a slot on.

        Parameters
        ----------
        slot : first slot
        started : transmitters whose transmission starts
        expired : whether the last window has ended and this one is new
        """
        occupancy = self._occupancy
        before: dict[int, NDArray[np.int16]] = {}
        if expired:
            for device in self._active.keys() - started:
                occupancy.fill(device, self._grants_of[device][-1], slot)
        for device in self._gone:
            self._save_plan(device, slot, before)
            occupancy.clear(device, slot)
            self._discard_grants(device, slot)
        # Selections for slots that have not begun are repeated.
        for decision, device in self._selections:
            if decision >= slot and device not in self._gone:
                self._save_plan(device, slot, before)
                occupancy.clear(device, decision + 1)
                self._discard_grants(device, slot)
        self._selections = [each for each in self._selections if each[0] < slot]
        for device in sorted(started):
            self._save_plan(device, slot, before)
            self._grant_to(device, slot)
        self._select_all(slot, before)
        affected = set(self._active) if expired else started | self._affected(slot, before)
        self._compute([self._active[source] for source in sorted(affected)], slot)

    def _save_plan(self, device: int, slot: int, before: dict[int, NDArray[np.int16]]) -> None:
        """Store the resources of a device from a slot on, before they change."""
        if device not in before:
            row = self._occupancy.channel[device, slot - self._occupancy.base :]
            before[device] = row.copy()

    def _discard_grants(self, device: int, slot: int) -> None:
        """Discard the grants of a device that begin in a slot or later."""
        self._grants_of[device] = [grant for grant in self._grants_of[device] if grant.begin < slot]

    def _grant_to(self, device: int, slot: int) -> None:
        """Give a device whose transmission starts a grant, the old one if it suffices."""
        needed = self._grants.resources_needed(self._active[device].transmission, slot)
        grants = self._grants_of.get(device)
        old = grants[-1] if grants else None
        grant = self._grants.reusable(old, needed, slot, self._idle_since.get(device, slot))
        if grant is None:
            grant = self._select(device, slot, needed)
        self._count[device] = needed
        self._grants_of[device] = [grant]
        self._occupancy.clear(device, slot)
        self._occupancy.fill(device, grant, slot)

    def _select_all(self, slot: int, before: dict[int, NDArray[np.int16]]) -> None:
        """Make all selections of the window from a slot on, in order."""
        ends = [(self._grants_of[device][-1].end, device) for device in self._active]
        queue = [each for each in ends if each[0] < self._until]
        heapq.heapify(queue)
        while queue:
            at, device = heapq.heappop(queue)
            self._save_plan(device, slot, before)
            grants = self._grants_of[device]
            if grants[-1].keeps:
                grant = self._grants.extend(device, grants[-1])
            else:
                grant = self._select(device, at, self._count[device])
            grants.append(grant)
            self._selections.append((at, device))
            self._occupancy.fill(device, grant, at)
            if grant.end < self._until:
                heapq.heappush(queue, (grant.end, device))

    def _select(self, device: int, slot: int, count: int) -> Grant:
        """Let a device select resources from its sensing result before a slot."""
        others, power_dbm = np.zeros(0, dtype=np.int64), np.zeros(0)
        if self._mac.sensing:
            if (device, slot) not in self._rsrp_dbm:
                others = self._graph.audible([device], slot * self.slot_ns)[0]
                power_dbm = self._grants.rsrp_dbm(device, others, slot)
                self._rsrp_dbm[device, slot] = others, power_dbm
            others, power_dbm = self._rsrp_dbm[device, slot]
        sensed = self._occupancy.sensed(device, others, power_dbm, slot)
        return self._grants.select(device, slot, count, *sensed)

    def _affected(self, slot: int, before: dict[int, NDArray[np.int16]]) -> set[int]:
        """Return the transmitters with blocks in slots whose transmissions have changed."""
        channel = self._occupancy.channel[:, slot - self._occupancy.base :]
        differs = np.zeros(channel.shape[1], dtype=np.bool_)
        affected = set(self._shrunk)
        for device, row in before.items():
            different = channel[device] != row
            if different.any():
                affected.add(device)
                differs |= different
        senders = np.flatnonzero((channel[:, differs] != UNUSED).any(axis=1))
        affected.update(senders.tolist())
        return affected & self._active.keys()

    # Outcomes.

    def _compute(self, actives: list[ActiveTransmission], slot: int) -> None:
        """Compute the outcome of the blocks of some transmissions from a slot on."""
        occupancy, bands = self._occupancy, self.setup.world.channel.subbands
        for active in actives:
            active.compact()
        plans = [occupancy.used(active.source, slot) for active in actives]
        shapes = [
            (len(active.attempts), slots.size)
            for active, (slots, _) in zip(actives, plans, strict=True)
        ]
        edges = np.cumsum([0, *(attempts * blocks for attempts, blocks in shapes)])
        parts = [slice(begin, end) for begin, end in pairwise(edges.tolist())]
        if edges[-1]:
            source, target, when, channel = np.empty((4, edges[-1]), dtype=np.int64)
            for active, part, shape, (slots, channels) in zip(
                actives, parts, shapes, plans, strict=True
            ):
                source[part] = active.source
                target[part].reshape(shape)[:] = active.targets[:, None]
                when[part].reshape(shape)[:], channel[part].reshape(shape)[:] = slots, channels
            estimated = self._receptions.estimated(source, target, when)
            actual = self._receptions.actual(occupancy, source, target, when, channel)
        else:
            estimated = actual = np.zeros((0, bands))
        for active, part, shape, (slots, _) in zip(actives, parts, shapes, plans, strict=True):
            expected, true = (each[part].reshape(*shape, bands) for each in (estimated, actual))
            if shape[0] > 1:
                expected = np.broadcast_to(
                    multicast_quality(expected, active.transmission.quantile), expected.shape
                )
            kept = int(np.searchsorted(active.slots, slot))
            active.slots = np.concatenate([active.slots[:kept], slots])
            active.estimated = np.concatenate([active.estimated[:, :kept], expected], axis=1)
            active.sinr = np.concatenate([active.sinr[:, :kept], true], axis=1)
        sending = [active for active in actives if active.slots.size]
        if sending:
            self._run_modem(sending)
        for active in actives:
            if not active.slots.size:
                active.reset()

    def _run_modem(self, actives: list[ActiveTransmission]) -> None:
        """Let the modem process all blocks of transmissions in the window."""
        modem, bands = self.setup.modem, self.setup.world.channel.subbands
        rows = np.cumsum([0, *(len(active.attempts) for active in actives)])
        width = max(active.slots.size for active in actives)
        shape = (int(rows[-1]), width)
        estimated, ratio = np.ones((*shape, bands)), np.ones((*shape, bands))
        decoded, number = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.int64)
        source, target = np.zeros((shape[0], 1), dtype=np.int64), np.zeros(shape[0], np.int64)
        state = np.empty(shape[0], dtype=modem.memory)
        for place, active in enumerate(actives):
            part, columns = slice(rows[place], rows[place + 1]), slice(active.slots.size)
            estimated[part, columns], ratio[part, columns] = active.estimated, active.combined()
            decoded[part, columns], number[part, columns] = active.decoded(), active.slots
            source[part], target[part], state[part] = active.source, active.targets, active.state
        draws = uniforms(self.setup.error_key, source, target[:, None], number)
        share = np.full(shape, 1.0 / self._mac.subchannels)
        outcome = modem.scan(state, Slots(estimated, ratio, share, decoded, draws))
        for place, active in enumerate(actives):
            part, columns = slice(rows[place], rows[place + 1]), slice(active.slots.size)
            active.end_state = state[part]
            active.outcome(outcome.bits[part, columns], outcome.kind[part, columns])
