"""The packet engine of the sidelink: one event for each transport block, the slow oracle.

In each slot it looks whose grant has run out, who sends in which subchannel, and what each
receiver gets of it, link by link. It shares the questions to the world and the draws with
`windowed`, but it keeps no table, plans nothing and never computes anything twice.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from wnsim.air.air import Setup
from wnsim.air.flow import Flow, Stream
from wnsim.air.interference_graph import Hearing
from wnsim.air.quality import common, predict, sinr
from wnsim.air.sidelink.grants import Grant, Grants
from wnsim.air.slot_by_slot import SlotBySlot
from wnsim.core.invariants import at_once
from wnsim.core.streams import uniforms
from wnsim.core.units import NS_PER_S, Floats, to_s
from wnsim.phy.modem import (
    IDLE,
    NEW,
    NEW_LOST,
    OUTCOMES,
    REPEATED,
    REPEATED_LOST,
    Slots,
    State,
    efficiency,
    mean_of_bands,
)

_REPETITION = {IDLE: IDLE, NEW: REPEATED, NEW_LOST: REPEATED_LOST}


@dataclass(frozen=True, slots=True)
class _Sending:
    """What a node sends in a slot."""

    slot: int
    node: int
    channel: int
    announces: bool


class _Link:
    """A flow on the air, and what becomes of its present transmission."""

    def __init__(self, flow: Flow, stream: Stream, slot: int, state: State, bands: int) -> None:
        self.flow, self.stream, self.begin, self.state = flow, stream, slot, state
        self.counts = np.zeros(OUTCOMES, dtype=np.int64)
        self.gathered = np.zeros(bands)
        self.sinr = np.zeros(bands)
        self.turn = self.on_air = self.listened = 0
        self.slot = -1
        self.bits, self.kind = 0, IDLE
        self.due_ns = flow.limit_ns
        self.complete = False


class SidelinkPacket(SlotBySlot[_Link]):
    """An engine that looks at one slot at a time; see `Air`."""

    def __init__(self, setup: Setup, ended: Callable[[Flow], None]) -> None:
        super().__init__(setup, ended)
        self._grants = Grants(setup)
        self._mac = self._grants.mac
        self._hearing = Hearing(setup.world)
        self._grant: dict[int, Grant] = {}
        self._count: dict[int, int] = {}
        self._silent: dict[int, int] = {}
        self._sendings: deque[_Sending] = deque()

    # What `Air` asks for.

    def begin(self, slot: int, started: Sequence[Stream]) -> None:
        """Take in that a slot begins: select, and send one block in each resource."""
        self._slot = slot
        while self._sendings and self._sendings[0].slot < slot - self._mac.lookback_slots(
            self.slot_ns
        ):
            self._sendings.popleft()
        bands = self.setup.world.channel.subbands
        for stream in started:
            for flow in stream.flows:
                several = np.array([stream.several])
                state = self.setup.modem.start(np.array([flow.size_bits]), several)
                self._links[flow] = _Link(flow, stream, slot, state, bands)
            self._grant_to(stream, slot)
        sources = sorted({flow.source for flow in self._links})
        for source in sources:
            grant = self._grant[source]
            if grant.end == slot and grant.keeps:
                following = self._grants.kept(source, grant)
            elif grant.end == slot:
                following = self._select(source, slot, self._count[source])
            else:
                continue
            # The old grant may still have a resource in this slot.
            self._remember(source, grant, slot)
            self._grant[source] = following
        for source in sources:
            self._remember(source, self._grant[source], slot)
        sending = {each.node: each.channel for each in self._sendings if each.slot == slot}
        self._transmit(slot, dict(sorted(sending.items())))

    def settle(self, flow: Flow, now_ns: int) -> None:
        """Book what a flow that ends now did on the air, and forget it."""
        link = self._take_off(flow, now_ns)
        passed = -(-now_ns // self.slot_ns) if flow.delivered else now_ns // self.slot_ns
        link.counts[IDLE] = max(passed - link.begin, 0) - link.counts[IDLE + 1 :].sum()
        flow.count(link.counts, self.slot_ns)
        flow.receiving_s = to_s(link.listened * self.slot_ns)
        flow.airtime_s = to_s(link.on_air * self.slot_ns)
        self._silent[flow.source] = -(-now_ns // self.slot_ns)

    # Reservations.

    def _grant_to(self, stream: Stream, slot: int) -> None:
        """Give the transmitter of a stream a grant: the old one if it will do."""
        source = stream.source
        needed = self._count[source] = self._grants.needed(stream, slot)
        silent = self._silent.get(source, slot)
        grant = self._grants.usable(self._grant.get(source), needed, slot, silent)
        self._grant[source] = grant or self._select(source, slot, needed)

    def _select(self, device: int, slot: int, count: int) -> Grant:
        """Let a device select resources by what it has heard before a slot."""
        mac = self._mac
        announced_dbm = np.full((mac.window_slots, mac.subchannels), -np.inf)
        deaf = np.zeros(mac.window_slots, dtype=np.bool_)
        if not mac.sensing:
            return self._grants.fresh(device, slot, count, announced_dbm, deaf)
        others = self._hearing.heard([device], slot * self.slot_ns)[0]
        power_dbm = self._grants.heard_dbm(device, others, slot)
        heard = dict(zip(others.tolist(), power_dbm.tolist(), strict=True))
        own = {each.slot for each in self._sendings if each.node == device}
        for each in self._sendings:
            place = each.slot + mac.period_slots - slot - 1
            if each.slot >= slot or not 0 <= place < mac.window_slots:
                continue
            if each.node == device:
                deaf[place] = True
            elif each.announces and each.slot not in own and each.node in heard:
                before_dbm = announced_dbm[place, each.channel]
                announced_dbm[place, each.channel] = max(before_dbm, heard[each.node])
        return self._grants.fresh(device, slot, count, announced_dbm, deaf)

    def _remember(self, node: int, grant: Grant, slot: int) -> None:
        """Note what a node sends in a slot."""
        for first, channel in zip(grant.slots.tolist(), grant.channels.tolist(), strict=True):
            number, rest = divmod(slot - first, grant.period_slots)
            if rest == 0 and 0 <= number < grant.periods:
                announces = number + 1 < grant.periods or grant.keeps
                self._sendings.append(_Sending(slot, node, channel, announces))

    # Slots.

    def _transmit(self, slot: int, sending: dict[int, int]) -> None:
        """Send one block of each stream that has a resource in a slot."""
        links = [link for link in self._links.values() if link.flow.source in sending]
        members = defaultdict(list)
        for link in links:
            members[link.stream].append(link)
        for stream, group in members.items():
            known = np.stack([self._known(link) for link in group])
            agreed = common(known, stream.quantile) if len(group) > 1 else known[0]
            for link in group:
                self._send(link, agreed, sending)
        for link in sorted(links, key=lambda link: link.flow.serial):
            instant_ns = min(link.due_ns, (slot + 1) * self.slot_ns)
            self.env.at(instant_ns, partial(self._arrived, link, slot))

    def _send(self, link: _Link, known: Floats, sending: dict[int, int]) -> None:
        """Let the modem look at a transmission, and find out whether that is all."""
        setup, flow, times = self.setup, link.flow, self._mac.repetitions + 1
        link.slot, link.sinr = self._slot, self._sinr(flow, sending)
        number = link.turn % times
        link.gathered = link.sinr + (link.gathered if number else 0.0)
        link.turn += 1
        link.bits, link.kind = 0, REPEATED_LOST if number else NEW_LOST
        if number + 1 < times:
            return
        outcome = setup.modem.scan(
            link.state,
            Slots(
                known[None, None],
                link.gathered[None, None],
                np.array([[1.0 / self._mac.subchannels]]),
                np.array([[True]]),
                uniforms(setup.error_key, flow.source, flow.target, [[link.slot]]),
            ),
        )
        link.bits, link.kind = int(outcome.bits[0, 0]), int(outcome.kind[0, 0])
        if link.bits and times == 1 and flow.target in sending:
            raise at_once(setup.world.names[flow.target], to_s(link.slot * self.slot_ns))
        if times > 1:
            link.kind = _REPETITION.get(link.kind, link.kind)
        self._foresee(link)

    def book(self, link: _Link) -> None:
        """Book the transmission that has passed to a flow."""
        flow, slot_s = link.flow, self.slot_ns / NS_PER_S
        if link.bits and self.setup.trace:
            instant_ns = (link.slot + 1) * self.slot_ns
            flow.progress.append((np.array([instant_ns]), np.array([link.bits])))
        link.slot = -1
        link.on_air += 1
        if link.kind == IDLE:
            return
        link.counts[link.kind] += 1
        link.listened += int(link.sinr[0] > 0.0)
        flow.acked_bits += link.bits
        possible = efficiency(link.sinr) * (self.setup.world.bandwidth_hz * slot_s)
        flow.snr_sum = float(flow.snr_sum + mean_of_bands(link.sinr))
        flow.capacity_bits = float(flow.capacity_bits + possible * (1.0 / self._mac.subchannels))

    # Quality.

    def _known(self, link: _Link) -> Floats:
        """Return the ratio (B,) that a transmitter believes in, without interference."""
        setup, flow = self.setup, link.flow
        signal_w = setup.world.tx_power_w[flow.source] * predict(self._past(flow))
        noise_w = self._noise_w(flow.target, max(self._slot - setup.csi_delay_slots, 0))
        return sinr(signal_w, self._grants.believed, noise_w, np.zeros(1))

    def _sinr(self, flow: Flow, sending: dict[int, int]) -> Floats:
        """Return the ratio (B,) of signal to interference and noise, 0 if the receiver sends."""
        power_w = self.setup.world.tx_power_w
        met_w = np.zeros(self.setup.world.channel.subbands)
        if flow.target in sending:
            return met_w
        heard = self._hearing.heard([flow.target], self._slot * self.slot_ns)[0].tolist()
        for node in heard:
            if node != flow.source and sending.get(node) == sending[flow.source]:
                met_w = met_w + power_w[node] * self._gain(node, flow.target, self._slot)
        signal_w = power_w[flow.source] * self._gain(flow.source, flow.target, self._slot)
        density = self._grants.density
        noise_w = self._noise_w(flow.target, self._slot)
        return sinr(signal_w, density, noise_w, density * met_w)
