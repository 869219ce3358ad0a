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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.clash import Clash, Outcome
from wnsim.air.csma.radio import ACK_BITS
from wnsim.phy.wifi import DIFS_NS, SENSE_NS, SIFS_NS, SLOT_NS, TIMEOUT_NS, Scheme
from wnsim.units import NS_PER_S

if TYPE_CHECKING:
    from wnsim.air.csma.service import Service
    from wnsim.air.csma.windowed import Windowed
    from wnsim.air.flow import Flow
    from wnsim.mac.csma import Csma

# In the queue a slot and a node are one number, the node in its last bits.
_BITS = 8
MOST_NODES = 1 << _BITS
_NODE = MOST_NODES - 1
_NEVER = 1 << 100


@dataclass(slots=True)
class Sender:
    """A station's present stream, what its full packets take, and what became of them.

    Parameters
    ----------
    service, flow, target : its stream, and who receives it
    left : full packets that are to arrive before the last packet
    bits, data, ack : length of packets with headers [bit]; modulation and code, of answers too
    data_ns, exchange_ns : duration of a packet, and of one with its answer [ns]
    steady : whether packets and their answers arrive if nothing collides

    Attributes
    ----------
    again : whether the present packet was sent before
    starts_ns : when it sent [ns]
    ends_ns : when packets arrived for good [ns]; perhaps not all, if that is not to be told
    won : how many came
    kept, dropped : packets given up after too many retries: those that had arrived although no
        answer came, and others
    last_ns : when something last arrived for good [ns]
    """

    service: Service
    flow: Flow
    target: int
    left: int
    bits: int
    data: Scheme
    ack: Scheme
    data_ns: int
    exchange_ns: int
    steady: bool
    again: bool
    starts_ns: list[int] = field(default_factory=list)
    ends_ns: list[int] = field(default_factory=list)
    won: int = 0
    kept: int = 0
    dropped: int = 0
    last_ns: int = -1

    def win(self, now_ns: int) -> None:
        """Take in that the answer to a packet came."""
        self.won += 1
        self._arrive(now_ns)
        self.flow.repeated += self.service.tries > 0
        self._renew()

    def fail(self, start_ns: int, now_ns: int, reached: bool, mac: Csma) -> None:
        """Take in that no answer came to a packet, and whether it arrived all the same."""
        flow, service = self.flow, self.service
        flow.repeated += service.tries > 0
        flow.lost += 1
        flow.lost_ns += now_ns - start_ns
        service.tries += 1
        service.failures += 1
        service.reached |= reached
        self.again = True
        if service.failures < mac.retry_limit:
            return
        if service.reached:
            self.kept += 1
            self._arrive(now_ns)
            self._renew()
        elif mac.arq:
            service.failures = 0
        else:
            self.left -= 1
            self.dropped += 1
            self._renew()

    def renew(self) -> None:
        """Take in that a packet that was sent before has been answered."""
        self.flow.repeated += self.service.tries > 0
        self._renew()

    def _arrive(self, now_ns: int) -> None:
        self.left -= 1
        self.last_ns = now_ns
        self.ends_ns.append(now_ns)

    def _renew(self) -> None:
        """Go on to the next packet."""
        self.service.failures = self.service.tries = 0
        self.service.reached = self.again = False


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
        self._queue = [engine.slots[node] << _BITS | node for node in senders] + [_NEVER] * 2
        heapq.heapify(self._queue)
        # Slots of nodes that do not contend now.
        self._rest = {
            node: slots
            for node, slots in enumerate(engine.slots)
            if slots and not engine.contends[node]
        }
        self._acks = [0] * len(engine.slots)
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
            slot = first >> _BITS
            start_ns = zero_ns + slot * SLOT_NS
            if start_ns >= latest_ns:
                break
            node = first & _NODE
            sender = senders[node]
            second, third = queue[1], queue[2]
            if (second if second < third else third) >> _BITS != slot and (
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
                replace(queue, slot + int(draws.pop() * windows) << _BITS | node)
                zero_ns += sender.exchange_ns + DIFS_NS
            else:
                took_ns = self._together(slot, start_ns)
                if not took_ns:
                    break
                idle_ns = start_ns + took_ns
                waited_ns = zero_ns = idle_ns + DIFS_NS - slot * SLOT_NS
                if self._waiting:
                    shift_ns = self._count_slots(slot, idle_ns)
                    if shift_ns is None:
                        passed = slot
                        break
                    waited_ns = zero_ns = zero_ns + shift_ns
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

    def _together(self, slot: int, start_ns: int) -> int:
        """Let all send that have counted down to a slot; return the time that it takes [ns].

        0: it is not known what comes of it, and nothing was done.
        """
        queue, senders, mac = self._queue, self._senders, self._engine.mac
        draw = self._engine.backoffs.draw
        nodes = []
        while queue[0] >> _BITS == slot:
            nodes.append(heapq.heappop(queue) & _NODE)
        group = [senders[node] for node in nodes]
        like = group[0]
        if (
            not self._loud
            or like.data_ns <= self._clash.eifs_ns
            or any(not each.left or each.data is not like.data for each in group)
        ):
            for node in nodes:
                heapq.heappush(queue, slot << _BITS | node)
            return 0
        if self._flat and len(group) > 1:
            ready_ns = start_ns + like.data_ns + TIMEOUT_NS
            self._waiting = []
            for node, sender in zip(nodes, group, strict=True):
                sender.starts_ns.append(start_ns)
                sender.fail(start_ns, ready_ns, False, mac)
                slots = draw(node, mac.window(sender.service.failures))
                self._waiting.append(_Waiting(node, ready_ns, 0, slots))
            return like.data_ns
        pairs = [(node, each.target) for node, each in zip(nodes, group, strict=True)]
        outcome = self._clash.outcome(pairs, like, start_ns, self._number)
        self._take_in(outcome, nodes, slot, start_ns)
        return outcome.idle_ns

    def _take_in(self, outcome: Outcome, nodes: list[int], slot: int, start_ns: int) -> None:
        """Take in what came of frames that began in a slot."""
        mac, draw, queue = self._engine.mac, self._engine.backoffs.draw, self._queue
        slots = {entry & _NODE: (entry >> _BITS) - slot for entry in queue if entry < _NEVER}
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
            heapq.heappush(queue, slot + slots[node] << _BITS | node)
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
        queue = self._queue
        soonest = queue[0] >> _BITS
        first_ns = idle_ns + DIFS_NS + (soonest - slot) * SLOT_NS
        for each in self._waiting:
            if each.node in self._senders:
                first_ns = min(first_ns, each.ready_ns + SLOT_NS * each.slots)
        noticed_ns = first_ns + SENSE_NS
        next_slot = slot + (noticed_ns - idle_ns - DIFS_NS) // SLOT_NS
        shift_ns = first_ns - idle_ns - DIFS_NS - (next_slot - slot) * SLOT_NS
        if soonest < next_slot or (soonest == next_slot and shift_ns):
            return None
        entries = []
        for each in self._waiting:
            left = each.slots - max((noticed_ns - each.ready_ns) // SLOT_NS, 0)
            if each.node not in self._senders:
                self._rest[each.node] = next_slot + max(left, 0)
                continue
            if left <= 0 and each.ready_ns + SLOT_NS * each.slots != first_ns:
                return None
            entries.append(next_slot + max(left, 0) << _BITS | each.node)
        for entry in entries:
            heapq.heappush(queue, entry)
        return shift_ns

    # The end.

    def _leave(self, passed: int, idle_ns: int) -> None:
        """Leave the engine behind as if it had gone through all events."""
        engine = self._engine
        if not any(each.starts_ns for each in self._senders.values()):
            return
        slots = {entry & _NODE: entry >> _BITS for entry in self._queue if entry < _NEVER}
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
