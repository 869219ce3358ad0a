"""The windowed engine of the sidelink: reservations and their outcome, many periods ahead.

A window holds who sends where in the coming slots, selections yet to be made included, and what
becomes of it. Nothing of who sends where depends on what arrives, as long as nobody starts or
ends. When somebody does, the selections after that instant are made again, and the streams that
send in slots in which anything is different are computed again, and no others. `packet`, which
looks at one slot at a time, gives the same results to the last bit.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from wnsim.air.air import Air, Setup
from wnsim.air.flow import Flow, Stream
from wnsim.air.interference_graph import Hearing
from wnsim.air.quality import common
from wnsim.air.sidelink.block import Block
from wnsim.air.sidelink.grants import Grant, Grants
from wnsim.air.sidelink.occupancy import NOBODY, Occupancy
from wnsim.air.sidelink.receptions import Receptions
from wnsim.core.streams import uniforms
from wnsim.core.units import Floats, Ints
from wnsim.phy.modem import Slots

_SHORTEST, _LONGEST = 8, 4096
# Receptions that may be worked on at once, about.
_LARGEST = 1 << 19


class SidelinkWindowed(Air):
    """An engine that looks many slots ahead; see `Air`."""

    def __init__(self, setup: Setup, ended: Callable[[Flow], None]) -> None:
        super().__init__(setup, ended)
        self._grants = Grants(setup)
        self._mac = self._grants.mac
        self._hearing = Hearing(setup.world)
        self._receptions = Receptions(setup, self._grants, self._hearing)
        lookback = self._mac.lookback_slots(self.slot_ns)
        self._occupancy = Occupancy(setup.world.nodes, self._mac, lookback)
        self._blocks: dict[int, Block] = {}
        # The grants of a device: the present one, and after it those of the window.
        self._held: dict[int, list[Grant]] = {}
        self._count: dict[int, int] = {}
        self._silent: dict[int, int] = {}
        self._decided: list[tuple[int, int]] = []
        self._heard_dbm: dict[tuple[int, int], tuple[Ints, Floats]] = {}
        self._first = self._until = 0
        self._length = self._mac.period_slots
        self._changes = 0
        # Transmitters whose stream has ended, or lost one of its receivers.
        self._gone: set[int] = set()
        self._shrunk: set[int] = set()

    # What `Air` asks for.

    def begin(self, slot: int, started: Sequence[Stream]) -> None:
        """Take in that a slot begins."""
        self._changes += len(started) + len(self._gone)
        fresh = slot >= self._until
        if fresh:
            for block in self._blocks.values():
                block.close()
        for stream in started:
            self._blocks[stream.source] = Block(stream, slot, self.setup, self._mac)
        if fresh and self._blocks:
            self._open(slot)
        if self._blocks or self._gone:
            self._plan(slot, {stream.source for stream in started}, fresh)
        self._gone, self._shrunk = set(), set()
        if not self._blocks:
            self._until = slot

    def due(self, now_ns: int) -> list[Flow]:
        """Return the flows on the air that end by an instant [ns]."""
        return [
            flow
            for block in self._blocks.values()
            if block.due_ns <= now_ns
            for flow, row in block.flows.items()
            if block.due[row] <= now_ns
        ]

    def next_end_ns(self) -> int | None:
        """Return when the next flow on the air ends [ns]."""
        return min((block.due_ns for block in self._blocks.values()), default=None)

    def next_slot(self) -> int | None:
        """Return the slot at which the window has run out."""
        return self._until if self._blocks else None

    def settle(self, flow: Flow, now_ns: int) -> None:
        """Book what a flow that ends now did on the air, and forget it."""
        block = self._blocks[flow.source]
        block.settle(flow, now_ns)
        if block.flows:
            self._shrunk.add(flow.source)
            return
        del self._blocks[flow.source]
        self._silent[flow.source] = -(-now_ns // self.slot_ns)
        self._gone.add(flow.source)
        self._shrunk.discard(flow.source)

    def acked_bits(self, flow: Flow) -> int:
        """Return how many bits of a flow on the air have arrived by now."""
        return self._blocks[flow.source].arrived(flow, self.env.now_ns)

    # Windows.

    def _open(self, slot: int) -> None:
        """Begin a window at a slot."""
        period = self._mac.period_slots
        # Twice as long while nothing happens, else about as long as a few changes take.
        if self._changes:
            elapsed = max(slot - self._first, 1)
            self._length = max(_SHORTEST, min(8 * elapsed // self._changes, period))
        else:
            self._length = min(2 * self._length, _LONGEST)
        flows = sum(len(block.flows) for block in self._blocks.values())
        largest = _LARGEST // (flows * self.setup.world.channel.subbands)
        self._length = max(_SHORTEST, min(self._length, largest))
        self._changes = 0
        until = min(slot + self._length, self._receptions.open(slot, self._length))
        limit_ns = self._hearing.end_ns(slot * self.slot_ns)
        self._first, self._until = slot, min(until, -(-limit_ns // self.slot_ns))
        self._occupancy.open(slot, self._until)
        self._decided, self._heard_dbm = [], {}
        # Everybody's list at once, which takes less time than one after the other.
        targets = [block.targets.tolist() for block in self._blocks.values()]
        self._hearing.heard(sorted({*self._blocks, *chain(*targets)}), slot * self.slot_ns)

    def _plan(self, slot: int, started: set[int], fresh: bool) -> None:
        """Compute the window from a slot on.

        Parameters
        ----------
        slot : first slot
        started : transmitters whose stream starts
        fresh : whether the window is new
        """
        occupancy = self._occupancy
        before: dict[int, NDArray[np.int16]] = {}
        if fresh:
            for device in self._blocks.keys() - started:
                occupancy.fill(device, self._held[device][-1], slot)
        for device in self._gone:
            self._touch(device, slot, before)
            occupancy.clear(device, slot)
            self._forget(device, slot)
        # What was decided for slots that have not begun is decided again.
        for decision, device in self._decided:
            if decision >= slot and device not in self._gone:
                self._touch(device, slot, before)
                occupancy.clear(device, decision + 1)
                self._forget(device, slot)
        self._decided = [each for each in self._decided if each[0] < slot]
        for device in sorted(started):
            self._touch(device, slot, before)
            self._grant_to(device, slot)
        self._decide(slot, before)
        affected = set(self._blocks) if fresh else started | self._affected(slot, before)
        self._compute([self._blocks[source] for source in sorted(affected)], slot)

    def _touch(self, device: int, slot: int, before: dict[int, NDArray[np.int16]]) -> None:
        """Remember what a device was going to send from a slot on."""
        if device not in before:
            row = self._occupancy.channel[device, slot - self._occupancy.base :]
            before[device] = row.copy()

    def _forget(self, device: int, slot: int) -> None:
        """Take back the grants of a device that begin in a slot or later."""
        self._held[device] = [grant for grant in self._held[device] if grant.begin < slot]

    def _grant_to(self, device: int, slot: int) -> None:
        """Give a device whose stream starts a grant: the old one if it will do."""
        needed = self._grants.needed(self._blocks[device].stream, slot)
        held = self._held.get(device)
        old = held[-1] if held else None
        grant = self._grants.usable(old, needed, slot, self._silent.get(device, slot))
        if grant is None:
            grant = self._select(device, slot, needed)
        self._count[device] = needed
        self._held[device] = [grant]
        self._occupancy.clear(device, slot)
        self._occupancy.fill(device, grant, slot)

    def _decide(self, slot: int, before: dict[int, NDArray[np.int16]]) -> None:
        """Make the decisions of the window from a slot on, one after the other."""
        ends = [(self._held[device][-1].end, device) for device in self._blocks]
        queue = [each for each in ends if each[0] < self._until]
        heapq.heapify(queue)
        while queue:
            at, device = heapq.heappop(queue)
            self._touch(device, slot, before)
            held = self._held[device]
            if held[-1].keeps:
                grant = self._grants.kept(device, held[-1])
            else:
                grant = self._select(device, at, self._count[device])
            held.append(grant)
            self._decided.append((at, device))
            self._occupancy.fill(device, grant, at)
            if grant.end < self._until:
                heapq.heappush(queue, (grant.end, device))

    def _select(self, device: int, slot: int, count: int) -> Grant:
        """Let a device select resources by what it has heard before a slot."""
        others, power_dbm = np.zeros(0, dtype=np.int64), np.zeros(0)
        if self._mac.sensing:
            if (device, slot) not in self._heard_dbm:
                others = self._hearing.heard([device], slot * self.slot_ns)[0]
                power_dbm = self._grants.heard_dbm(device, others, slot)
                self._heard_dbm[device, slot] = others, power_dbm
            others, power_dbm = self._heard_dbm[device, slot]
        sensed = self._occupancy.sensed(device, others, power_dbm, slot)
        return self._grants.fresh(device, slot, count, *sensed)

    def _affected(self, slot: int, before: dict[int, NDArray[np.int16]]) -> set[int]:
        """Return the transmitters that send in slots in which anything differs from before."""
        channel = self._occupancy.channel[:, slot - self._occupancy.base :]
        differs = np.zeros(channel.shape[1], dtype=np.bool_)
        affected = set(self._shrunk)
        for device, row in before.items():
            different = channel[device] != row
            if different.any():
                affected.add(device)
                differs |= different
        senders = np.flatnonzero((channel[:, differs] != NOBODY).any(axis=1))
        affected.update(senders.tolist())
        return affected & self._blocks.keys()

    # Outcomes.

    def _compute(self, blocks: list[Block], slot: int) -> None:
        """Compute what becomes of the transmissions of some streams from a slot on."""
        occupancy = self._occupancy
        for block in blocks:
            block.compact()
        plans = [occupancy.used(block.source, slot) for block in blocks]
        sizes = [
            len(block.flows) * slots.size for block, (slots, _) in zip(blocks, plans, strict=True)
        ]
        if sum(sizes):
            source = np.repeat([block.source for block in blocks], sizes)
            target, when, channel = (
                np.concatenate(parts)
                for parts in zip(
                    *(
                        (
                            np.repeat(block.targets, slots.size),
                            np.tile(slots, len(block.flows)),
                            np.tile(channels, len(block.flows)),
                        )
                        for block, (slots, channels) in zip(blocks, plans, strict=True)
                    ),
                    strict=True,
                )
            )
            known = self._receptions.known(source, target, when)
            true = self._receptions.true(occupancy, source, target, when, channel)
        else:
            known = true = np.zeros((0, self.setup.world.channel.subbands))
        edges = np.cumsum([0, *sizes])
        for number, (block, (slots, _)) in enumerate(zip(blocks, plans, strict=True)):
            part = slice(edges[number], edges[number + 1])
            shape = (len(block.flows), slots.size, known.shape[1])
            expected = known[part].reshape(shape)
            if shape[0] > 1:
                expected = np.broadcast_to(common(expected, block.stream.quantile), shape)
            kept = int(np.searchsorted(block.slots, slot))
            block.slots = np.concatenate([block.slots[:kept], slots])
            block.known = np.concatenate([block.known[:, :kept], expected], axis=1)
            block.sinr = np.concatenate([block.sinr[:, :kept], true[part].reshape(shape)], axis=1)
        sending = [block for block in blocks if block.slots.size]
        if sending:
            self._scan(sending)
        for block in blocks:
            if not block.slots.size:
                block.reset()

    def _scan(self, blocks: list[Block]) -> None:
        """Let the modem look at all transmissions of streams in the window."""
        modem, bands = self.setup.modem, self.setup.world.channel.subbands
        rows = np.cumsum([0, *(len(block.flows) for block in blocks)])
        width = max(block.slots.size for block in blocks)
        shape = (int(rows[-1]), width)
        known, ratio = np.ones((*shape, bands)), np.ones((*shape, bands))
        active, number = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.int64)
        source, target = np.zeros((shape[0], 1), dtype=np.int64), np.zeros(shape[0], np.int64)
        for place, block in enumerate(blocks):
            part, columns = slice(rows[place], rows[place + 1]), slice(block.slots.size)
            known[part, columns], ratio[part, columns] = block.known, block.combined()
            active[part, columns], number[part, columns] = block.decodes(), block.slots
            source[part], target[part] = block.source, block.targets
        draws = uniforms(self.setup.error_key, source, target[:, None], number)
        share = np.full(shape, 1.0 / self._mac.subchannels)
        state = np.concatenate([block.state for block in blocks])
        outcome = modem.scan(state, Slots(known, ratio, share, active, draws))
        for place, block in enumerate(blocks):
            part, columns = slice(rows[place], rows[place + 1]), slice(block.slots.size)
            block.later = state[part]
            block.outcome(outcome.bits[part, columns], outcome.kind[part, columns])
