"""Packet-level engine of the sidelink: one event for each transport block, the oracle.

In each slot it evaluates which grants have expired, which node transmits in which subchannel, and
the reception on each link one by one. It shares grants and draws with `windowed`, but keeps no
tables and computes nothing ahead.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from wnsim.air.interference_graph import InterferenceGraph
from wnsim.air.quality import multicast_quality, predict, sinr
from wnsim.air.setup import Setup
from wnsim.air.sidelink.grants import Grant, Grants
from wnsim.air.slot_by_slot import SlotBySlot
from wnsim.air.transmission import Attempt, Transmission
from wnsim.core.invariants import half_duplex_violation
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
    """Transmission of a node in a slot."""

    slot: int
    node: int
    channel: int
    announces: bool


class _Link:
    """An attempt on the air, and the outcome of its present transport block."""

    def __init__(
        self, attempt: Attempt, transmission: Transmission, slot: int, state: State, bands: int
    ) -> None:
        self.attempt, self.transmission, self.begin, self.state = attempt, transmission, slot, state
        self.counts = np.zeros(OUTCOMES, dtype=np.int64)
        self.accumulated = np.zeros(bands)
        self.sinr = np.zeros(bands)
        self.blocks_sent = self.on_air = self.listened = 0
        self.slot = -1
        self.bits, self.kind = 0, IDLE
        self.due_ns = attempt.limit_ns
        self.complete = False


class SidelinkPacket(SlotBySlot[_Link]):
    """An engine that simulates one slot at a time; see `Air`."""

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        super().__init__(setup, ended)
        self._grants = Grants(setup)
        self._mac = self._grants.mac
        self._graph = InterferenceGraph(setup.world)
        self._grant: dict[int, Grant] = {}
        self._count: dict[int, int] = {}
        self._idle_since: dict[int, int] = {}
        self._sendings: deque[_Sending] = deque()

    # Required by `Air`.

    def begin_slot(self, slot: int, started: Sequence[Transmission]) -> None:
        """Begin a slot: select resources, and send one block in each of them."""
        self._slot = slot
        while self._sendings and self._sendings[0].slot < slot - self._mac.lookback_slots(
            self.slot_ns
        ):
            self._sendings.popleft()
        bands = self.setup.world.channel.subbands
        for transmission in started:
            for attempt in transmission.attempts:
                multicast = np.array([transmission.multicast])
                state = self.setup.modem.start(np.array([attempt.size_bits]), multicast)
                self._links[attempt] = _Link(attempt, transmission, slot, state, bands)
            self._grant_to(transmission, slot)
        sources = sorted({attempt.source for attempt in self._links})
        for source in sources:
            grant = self._grant[source]
            if grant.end == slot and grant.keeps:
                following = self._grants.extend(source, grant)
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

    def finalize(self, attempt: Attempt, now_ns: int) -> None:
        """Write the outcome of an attempt that ends now, and remove it."""
        link = self._take_off(attempt, now_ns)
        passed = -(-now_ns // self.slot_ns) if attempt.delivered else now_ns // self.slot_ns
        link.counts[IDLE] = max(passed - link.begin, 0) - link.counts[IDLE + 1 :].sum()
        attempt.count(link.counts, self.slot_ns)
        attempt.receiving_s = to_s(link.listened * self.slot_ns)
        attempt.airtime_s = to_s(link.on_air * self.slot_ns)
        self._idle_since[attempt.source] = -(-now_ns // self.slot_ns)

    # Reservations.

    def _grant_to(self, transmission: Transmission, slot: int) -> None:
        """Give the transmitter of a transmission a grant, the old one if it suffices."""
        source = transmission.source
        needed = self._count[source] = self._grants.resources_needed(transmission, slot)
        idle_since = self._idle_since.get(source, slot)
        grant = self._grants.reusable(self._grant.get(source), needed, slot, idle_since)
        self._grant[source] = grant or self._select(source, slot, needed)

    def _select(self, device: int, slot: int, count: int) -> Grant:
        """Let a device select resources from its sensing result before a slot."""
        mac = self._mac
        announced_dbm = np.full((mac.window_slots, mac.subchannels), -np.inf)
        unsensed = np.zeros(mac.window_slots, dtype=np.bool_)
        if not mac.sensing:
            return self._grants.select(device, slot, count, announced_dbm, unsensed)
        others = self._graph.audible([device], slot * self.slot_ns)[0]
        power_dbm = self._grants.rsrp_dbm(device, others, slot)
        audible = dict(zip(others.tolist(), power_dbm.tolist(), strict=True))
        own = {each.slot for each in self._sendings if each.node == device}
        for each in self._sendings:
            place = each.slot + mac.period_slots - slot - 1
            if each.slot >= slot or not 0 <= place < mac.window_slots:
                continue
            if each.node == device:
                unsensed[place] = True
            elif each.announces and each.slot not in own and each.node in audible:
                before_dbm = announced_dbm[place, each.channel]
                announced_dbm[place, each.channel] = max(before_dbm, audible[each.node])
        return self._grants.select(device, slot, count, announced_dbm, unsensed)

    def _remember(self, node: int, grant: Grant, slot: int) -> None:
        """Record the transmission of a node in a slot."""
        for first, channel in zip(grant.slots.tolist(), grant.channels.tolist(), strict=True):
            number, rest = divmod(slot - first, grant.period_slots)
            if rest == 0 and 0 <= number < grant.periods:
                announces = number + 1 < grant.periods or grant.keeps
                self._sendings.append(_Sending(slot, node, channel, announces))

    # Slots.

    def _transmit(self, slot: int, sending: dict[int, int]) -> None:
        """Send one block of each transmission that has a resource in a slot."""
        links = [link for link in self._links.values() if link.attempt.source in sending]
        members = defaultdict(list)
        for link in links:
            members[link.transmission].append(link)
        for transmission, group in members.items():
            estimated = np.stack([self._estimated(link) for link in group])
            agreed = (
                multicast_quality(estimated, transmission.quantile)
                if len(group) > 1
                else estimated[0]
            )
            for link in group:
                self._send(link, agreed, sending)
        for link in sorted(links, key=lambda link: link.attempt.serial):
            instant_ns = min(link.due_ns, (slot + 1) * self.slot_ns)
            self.env.at(instant_ns, partial(self._on_slot_end, link, slot))

    def _send(self, link: _Link, estimated: Floats, sending: dict[int, int]) -> None:
        """Let the modem process a block, and predict whether it completes the attempt."""
        setup, attempt, times = self.setup, link.attempt, self._mac.repetitions + 1
        link.slot, link.sinr = self._slot, self._sinr(attempt, sending)
        number = link.blocks_sent % times
        link.accumulated = link.sinr + (link.accumulated if number else 0.0)
        link.blocks_sent += 1
        link.bits, link.kind = 0, REPEATED_LOST if number else NEW_LOST
        if number + 1 < times:
            return
        outcome = setup.modem.scan(
            link.state,
            Slots(
                estimated[None, None],
                link.accumulated[None, None],
                np.array([[1.0 / self._mac.subchannels]]),
                np.array([[True]]),
                uniforms(setup.error_key, attempt.source, attempt.target, [[link.slot]]),
            ),
        )
        link.bits, link.kind = int(outcome.bits[0, 0]), int(outcome.kind[0, 0])
        if link.bits and times == 1 and attempt.target in sending:
            raise half_duplex_violation(
                setup.world.names[attempt.target], to_s(link.slot * self.slot_ns)
            )
        if times > 1:
            link.kind = _REPETITION.get(link.kind, link.kind)
        self._predict_end(link)

    def commit(self, link: _Link) -> None:
        """Add the past block to its attempt."""
        attempt, slot_s = link.attempt, self.slot_ns / NS_PER_S
        if link.bits and self.setup.trace:
            instant_ns = (link.slot + 1) * self.slot_ns
            attempt.progress.append((np.array([instant_ns]), np.array([link.bits])))
        link.slot = -1
        link.on_air += 1
        if link.kind == IDLE:
            return
        link.counts[link.kind] += 1
        link.listened += int(link.sinr[0] > 0.0)
        attempt.acked_bits += link.bits
        possible = efficiency(link.sinr) * (self.setup.world.bandwidth_hz * slot_s)
        attempt.snr_sum = float(attempt.snr_sum + mean_of_bands(link.sinr))
        attempt.capacity_bits = float(
            attempt.capacity_bits + possible * (1.0 / self._mac.subchannels)
        )

    # Quality.

    def _estimated(self, link: _Link) -> Floats:
        """Return the SINR (B,) estimated by a transmitter, without interference."""
        setup, attempt = self.setup, link.attempt
        signal_w = setup.world.tx_power_w[attempt.source] * predict(self._known_gains(attempt))
        noise_w = self._noise_w(attempt.target, max(self._slot - setup.csi_delay_slots, 0))
        return sinr(signal_w, self._grants.estimate_density, noise_w, np.zeros(1))

    def _sinr(self, attempt: Attempt, sending: dict[int, int]) -> Floats:
        """Return the SINR (B,), 0 if the receiver transmits."""
        power_w = self.setup.world.tx_power_w
        met_w = np.zeros(self.setup.world.channel.subbands)
        if attempt.target in sending:
            return met_w
        audible = self._graph.audible([attempt.target], self._slot * self.slot_ns)[0].tolist()
        for node in audible:
            if node != attempt.source and sending.get(node) == sending[attempt.source]:
                met_w = met_w + power_w[node] * self._gain(node, attempt.target, self._slot)
        signal_w = power_w[attempt.source] * self._gain(attempt.source, attempt.target, self._slot)
        density = self._grants.density
        noise_w = self._noise_w(attempt.target, self._slot)
        return sinr(signal_w, density, noise_w, density * met_w)
