"""Rounds of contention where everybody hears everybody: from one exchange to the next.

As long as all nodes fall idle together, a station's backoff ends after a number of idle slots
that can be told when it is drawn, and the next to send is the one with the smallest such number.
Lone frames that arrive, and collisions of equally strong frames, are dealt with here; what becomes
of other frames `clash` tells. After those some nodes wait for longer than others, and their slots
are counted once it is known who sends next. Left to `windowed` are frames of different lengths
that collide, frames that begin at almost the same instant, and what ends a flow. What flows are to
know of their packets is added up when the rounds are over.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.collision_outcome import Clash, Outcome
from wnsim.air.csma.radio import ACK_BITS
from wnsim.core.units import NS_PER_S
from wnsim.phy.wifi import DIFS_NS, SENSE_NS, SIFS_NS, SLOT_NS, TIMEOUT_NS, Scheme

if TYPE_CHECKING:
    from wnsim.air.csma.sender import Sender
    from wnsim.air.csma.windowed import Windowed

# In the queue a slot and a node are one number: the node in its last bits, above them one that is
# zero for those who go before all others of the same slot, who notice that and wait.
_NODE_BITS = 8
MOST_NODES = 1 << _NODE_BITS
_NODE = MOST_NODES - 1
_SLOT_BITS = _NODE_BITS + 1
_USUAL = 1 << _NODE_BITS
_NEVER = 1 << 100


@dataclass(slots=True)
class _Waiting:
    """A node that waits for longer than others after a round, and its slots then."""

    node: int
    busy_ns: int
    eifs_ns: int
    slots: int

    @property
    def ready_ns(self) -> int:
        """When it counts its first slot [ns]."""
        return max(self.busy_ns, self.eifs_ns) + DIFS_NS


class Contest:
    """Rounds among some stations.

    Parameters
    ----------
    engine : whose state they begin with, and leave behind
    clash : tells what becomes of frames that may not arrive
    senders : the stations that contend
    loud : whether each node finds the medium busy whoever sends
    flat : whether so equally strong that nobody locks on to any of several frames
    """

    def __init__(
        self, engine: Windowed, clash: Clash, senders: dict[int, Sender], loud: bool, flat: bool
    ) -> None:
        self._engine, self._clash, self._senders = engine, clash, senders
        self._loud, self._flat = loud, flat
        # Two that never come, so that there is always a second and a third one.
        self._queue = [engine.slots[node] << _SLOT_BITS | _USUAL | node for node in senders] + [
            _NEVER
        ] * 2
        heapq.heapify(self._queue)
        # Slots of nodes that do not contend now.
        self._rest = {
            node: slots
            for node, slots in enumerate(engine.slots)
            if slots and not engine.contends[node]
        }
        self._acks = [0] * len(engine.slots)
        # Windows by failures; from 16 on they do not grow.
        self._windows = [engine.mac.window(failures) + 1 for failures in range(17)]
        self._waiting: list[_Waiting] = []

    def go(self, idle_ns: int, bound_ns: float) -> None:
        """Go through rounds after all have fallen idle that end before a bound [ns]."""
        engine, senders, queue, acks = self._engine, self._senders, self._queue, self._acks
        ready, more, windows = engine.backoffs.ready, engine.backoffs.more, engine.mac.cw_min + 1
        replace, trace = heapq.heapreplace, engine.setup.trace
        latest_ns = bound_ns - max(
            max(each.exchange_ns, each.data_ns + TIMEOUT_NS) for each in senders.values()
        )
        # When slot 0 was, or would have been had all that came since taken no time.
        zero_ns, passed, waited_ns = idle_ns + DIFS_NS, 0, -1
        while True:
            first = queue[0]
            slot = first >> _SLOT_BITS
            start_ns = zero_ns + slot * SLOT_NS
            if start_ns >= latest_ns:
                break
            node = first & _NODE
            sender = senders[node]
            second, third = queue[1], queue[2]
            if (second if second < third else third) >> _NODE_BITS != first >> _NODE_BITS and (
                sender.steady or self._arrives(node, sender, start_ns)
            ):
                if not sender.left:
                    break
                sender.left -= 1
                sender.won += 1
                sender.starts_ns.append(start_ns)
                sender.last_ns = start_ns + sender.exchange_ns
                acks[sender.target] += 1
                if trace:
                    sender.ends_ns.append(sender.last_ns)
                if sender.again:
                    sender.renew()
                draws = ready[node] or more(node)
                slots = int(draws.pop() * windows)
                replace(queue, slot + slots << _SLOT_BITS | _USUAL | node)
                zero_ns += sender.exchange_ns + DIFS_NS
            else:
                took_ns, shift_ns = self._together(slot, start_ns)
                if not took_ns:
                    break
                idle_ns = start_ns + took_ns
                waited_ns = zero_ns = idle_ns + DIFS_NS - slot * SLOT_NS + (shift_ns or 0)
                if shift_ns is None:
                    passed = slot
                    break
            passed = slot
        if zero_ns != waited_ns:
            idle_ns = zero_ns + passed * SLOT_NS - DIFS_NS
            self._waiting = []
        self._leave(passed, idle_ns)

    # Frames that may be lost.

    def _number(self, node: int) -> int:
        """Return the number of the next frame of a node."""
        sender = self._senders.get(node)
        sent = len(sender.starts_ns) if sender else 0
        return self._engine.number[node] + self._acks[node] + sent

    def _arrives(self, node: int, sender: Sender, start_ns: int) -> bool:
        """Return whether a lone packet and its acknowledgement arrive."""
        ack_ns = start_ns + sender.data_ns + SIFS_NS
        return self._reads(node, sender.target, sender.data, sender.bits, start_ns) and self._reads(
            sender.target, node, sender.ack, ACK_BITS, ack_ns
        )

    def _reads(self, source: int, target: int, scheme: Scheme, bits: int, start_ns: int) -> bool:
        """Return whether a lone frame arrives."""
        engine, radio = self._engine, self._engine.radio
        snr = radio.tx_w[source] * engine.paths.gain(source, target, start_ns)
        error = radio.clean_error(scheme, bits, snr / radio.noise_w[target])
        return error == 0.0 or engine.draws.draw(source, target, self._number(source)) >= error

    def _together(self, slot: int, start_ns: int) -> tuple[int, int | None]:
        """Let all send that have counted down to a slot.

        Returns the time that it takes [ns], 0 if it is not known what comes of it and nothing
        was done, and what `_count_slots` returns.
        """
        queue, senders, nodes = self._queue, self._senders, []
        turn = queue[0] >> _NODE_BITS
        while queue[0] >> _NODE_BITS == turn:
            nodes.append(heapq.heappop(queue) & _NODE)
        like = senders[nodes[0]]
        known = self._loud and like.data_ns > self._clash.eifs_ns
        for node in nodes:
            known = known and senders[node].left > 0 and senders[node].data is like.data
        if not known:
            for node in nodes:
                heapq.heappush(queue, turn << _NODE_BITS | node)
            return 0, None
        if self._flat and len(nodes) > 1:
            return like.data_ns, self._lose(nodes, slot, start_ns, start_ns + like.data_ns)
        pairs = [(node, senders[node].target) for node in nodes]
        outcome = self._clash.outcome(pairs, like, start_ns, self._number)
        self._take_in(outcome, nodes, slot, start_ns)
        return outcome.idle_ns, self._count_slots(slot, start_ns + outcome.idle_ns)

    def _lose(self, nodes: list[int], slot: int, start_ns: int, idle_ns: int) -> int | None:
        """Take in that nobody could read any of some frames, and count slots."""
        ready, more, mac = self._engine.backoffs.ready, self._engine.backoffs.more, self._engine.mac
        queue, over_ns = self._queue, idle_ns + TIMEOUT_NS
        waiting = self._waiting = []
        for node in nodes:
            sender = self._senders[node]
            sender.starts_ns.append(start_ns)
            sender.fail(start_ns, over_ns, False, mac)
            draws = ready[node] or more(node)
            slots = int(draws.pop() * self._windows[min(sender.service.failures, 16)])
            waiting.append(_Waiting(node, over_ns, 0, slots))
        # They are late by a whole number of slots.
        first = slot + TIMEOUT_NS // SLOT_NS
        least = min([each.slots for each in waiting])
        soonest = min(queue[0] >> _SLOT_BITS, first + least)
        if not least and soonest < first:
            return self._count_slots(slot, idle_ns)
        first = min(first, soonest)
        for each in waiting:
            heapq.heappush(queue, first + each.slots << _SLOT_BITS | _USUAL | each.node)
        return 0

    def _take_in(self, outcome: Outcome, nodes: list[int], slot: int, start_ns: int) -> None:
        """Take in what came of frames that began in a slot."""
        mac, draw, queue = self._engine.mac, self._engine.backoffs.draw, self._queue
        slots = {entry & _NODE: (entry >> _SLOT_BITS) - slot for entry in queue if entry < _NEVER}
        slots.update((node, max(count - slot, 0)) for node, count in self._rest.items())
        for place, node in enumerate(nodes):
            sender = self._senders[node]
            sender.starts_ns.append(start_ns)
            self._acks[sender.target] += outcome.reached[place]
            if outcome.acked[place]:
                sender.win(start_ns + outcome.over_ns[place])
            else:
                now_ns = start_ns + outcome.over_ns[place]
                sender.fail(start_ns, now_ns, outcome.reached[place], mac)
            slots[node] = draw(node, mac.window(sender.service.failures))
            heapq.heappush(queue, slot + slots[node] << _SLOT_BITS | _USUAL | node)
        later = {*outcome.busy_ns, *outcome.eifs_ns}
        self._waiting = [
            _Waiting(node, start_ns + busy_ns, start_ns + eifs_ns, slots.get(node, 0))
            for node in sorted(later)
            if max(busy_ns := outcome.busy_ns.get(node, 0), eifs_ns := outcome.eifs_ns.get(node, 0))
            > outcome.idle_ns
        ]
        late = {each.node for each in self._waiting}
        if not late.isdisjoint(self._senders):
            queue[:] = [each for each in queue if each >= _NEVER or each & _NODE not in late]
            heapq.heapify(queue)

    def _count_slots(self, slot: int, idle_ns: int) -> int | None:
        """Count the slots of nodes that wait for longer, up to the next frame.

        Returns how much later that begins than a whole number of slots after the others fell
        idle [ns]; none: another one begins before it is noticed.
        """
        queue, zero_ns = self._queue, idle_ns + DIFS_NS
        if not self._waiting:
            return 0
        soonest = queue[0] >> _SLOT_BITS
        usual_ns = zero_ns + (soonest - slot) * SLOT_NS
        begins_ns = {
            each.node: each.ready_ns + SLOT_NS * each.slots
            for each in self._waiting
            if each.node in self._senders
        }
        first_ns = min(usual_ns, *begins_ns.values()) if begins_ns else usual_ns
        noticed_ns = first_ns + SENSE_NS
        if any(first_ns < at < noticed_ns for at in (usual_ns, *begins_ns.values())):
            return None
        next_slot = slot + (noticed_ns - zero_ns) // SLOT_NS
        if usual_ns == first_ns:
            ahead = []
            while queue[0] >> _SLOT_BITS == soonest:
                ahead.append(heapq.heappop(queue) ^ _USUAL)
            for entry in ahead:
                heapq.heappush(queue, entry)
        for each in self._waiting:
            left = max(each.slots - max((noticed_ns - each.ready_ns) // SLOT_NS, 0), 0)
            if each.node not in self._senders:
                self._rest[each.node] = next_slot + left
            elif begins_ns[each.node] == first_ns:
                heapq.heappush(queue, next_slot << _SLOT_BITS | each.node)
            else:
                heapq.heappush(queue, next_slot + left << _SLOT_BITS | _USUAL | each.node)
        return first_ns - zero_ns - (next_slot - slot) * SLOT_NS

    # The end.

    def _leave(self, passed: int, idle_ns: int) -> None:
        """Leave the engine behind as if it had gone through all events."""
        engine = self._engine
        if not any(each.starts_ns for each in self._senders.values()):
            return
        slots = {entry & _NODE: entry >> _SLOT_BITS for entry in self._queue if entry < _NEVER}
        slots.update(self._rest)
        for node, acks in enumerate(self._acks):
            engine.busy_ns[node] = idle_ns
            engine.slots[node] = max(slots.get(node, 0) - passed, 0)
            engine.number[node] += acks
        for late in self._waiting:
            engine.busy_ns[late.node] = max(late.busy_ns, idle_ns)
            engine.eifs_ns[late.node] = max(late.eifs_ns, engine.eifs_ns[late.node])
            engine.slots[late.node] = late.slots
        for node, sender in self._senders.items():
            engine.number[node] += len(sender.starts_ns)
            if sender.starts_ns:
                self._book(node, sender)
            engine.plan(node)

    def _book(self, node: int, sender: Sender) -> None:
        """Add what a station sent to what its flow and its book know."""
        engine, flow, radio = self._engine, sender.flow, self._engine.radio
        book, count = sender.service.books[flow], len(sender.starts_ns)
        payload = engine.setup.packet_bits
        flow.sent += count
        book.sent_ns += count * sender.data_ns
        book.air_ns += sender.won * sender.exchange_ns
        book.arrived_bits += (sender.won + sender.kept) * payload
        book.dropped_bits += sender.dropped * payload
        if sender.last_ns >= 0:
            book.last_ns, book.last_bits = sender.last_ns, payload
        if engine.setup.trace:
            flow.progress += [(np.array([each]), np.array([payload])) for each in sender.ends_ns]
        tx_w, noise_w = radio.tx_w[node], radio.noise_w[sender.target]
        data_s, gain = sender.data_ns / NS_PER_S, engine.paths.gain
        least, most = engine.paths.span(node, sender.target, sender.starts_ns[0])
        if least == most:
            snr = [tx_w * least / noise_w] * count
            capacity = [radio.capacity_bits(snr[0], data_s)] * count
        else:
            snr = [tx_w * gain(node, sender.target, at) / noise_w for at in sender.starts_ns]
            capacity = [radio.capacity_bits(each, data_s) for each in snr]
        flow.snr_sum = _added(flow.snr_sum, snr)
        flow.capacity_bits = _added(flow.capacity_bits, capacity)


def _added(total: float, values: list[float]) -> float:
    """Return a total after adding values to it, one after the other."""
    return float(np.add.accumulate([total, *values])[-1])
