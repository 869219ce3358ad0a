"""Contention where everybody hears everybody: from one exchange to the next, without events.

As long as all nodes fall idle together, a station's backoff ends after a number of idle slots
that can be told when it is drawn, and the next to send is the one with the smallest such number.
An exchange that could come out in any other way than clean success, or a collision of equally
strong frames that nobody can read, is left to `windowed`, and so is what ends a flow.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.radio import ACK_BITS
from wnsim.phy.wifi import DIFS_NS, SIFS_NS, SLOT_NS, TIMEOUT_NS, Scheme
from wnsim.units import NS_PER_S

if TYPE_CHECKING:
    from wnsim.air.csma.service import Book, Service
    from wnsim.air.csma.windowed import Windowed
    from wnsim.air.flow import Flow

# Those whose frames collided notice it this many slots after the others may count again.
_LATE_SLOTS = TIMEOUT_NS // SLOT_NS
# In larger worlds not everybody is expected to hear everybody.
_MOST_NODES = 256


@dataclass(slots=True)
class _Sender:
    """A station's present stream, and what its full packets take."""

    service: Service
    flow: Flow
    book: Book
    target: int
    left: int
    bits: int
    data: Scheme
    ack: Scheme
    data_ns: int
    exchange_ns: int
    data_clean: float
    ack_clean: float
    data_s: float
    snr: float = -1.0
    capacity_bits: float = 0.0


class Rounds:
    """Rounds of contention of an engine.

    Parameters
    ----------
    engine : whose state they begin with, and leave behind
    """

    def __init__(self, engine: Windowed) -> None:
        self._engine = engine
        self._epoch = -1
        self._weakest: float | None = None
        self._flat = False

    def run(self, bound_ns: float) -> None:
        """Go through rounds that end before an instant [ns], if there are any."""
        engine = self._engine
        nodes = len(engine.slots)
        if nodes > _MOST_NODES or True not in engine.contends:
            return
        free = list(map(max, engine.busy_ns, engine.eifs_ns))
        idle_ns = free[0]
        if free.count(idle_ns) < nodes or not self._clique(idle_ns):
            return
        bound_ns = min(bound_ns, engine.radio.epoch_end_ns(idle_ns))
        senders = {}
        for node in range(nodes):
            if engine.contends[node]:
                sender = self._sender(node, idle_ns)
                if sender is None or engine.asked_ns[node] > idle_ns + DIFS_NS:
                    return
                senders[node] = sender
        self._contend(senders, idle_ns, bound_ns)

    def _clique(self, now_ns: int) -> bool:
        """Return whether every node locks on to every other one's frames."""
        radio = self._engine.radio
        epoch = radio.epoch(now_ns)
        if epoch != self._epoch:
            self._epoch = epoch
            self._weakest, self._flat = None, False
            nodes = range(len(self._engine.slots))
            if all(len(radio.alone(node, now_ns)) == len(nodes) - 1 for node in nodes):
                heard = [radio.heard_w(node, now_ns) for node in nodes]
                power = np.concatenate([list(each.values()) for each in heard])
                noise = np.array(radio.noise_w)[np.concatenate([list(each) for each in heard])]
                self._weakest = float((power / noise).min())
                low = float(power.min())
                self._flat = (
                    not any(radio.locks(node, float(power.max()), low) for node in nodes)
                    and low >= radio.energy_w
                )
        return self._weakest is not None

    def _sender(self, node: int, now_ns: int) -> _Sender | None:
        """Return what a contending station sends; none: something else than full packets."""
        engine, radio = self._engine, self._engine.radio
        service = engine.queues[node][0]
        if service.several:
            return None
        flow = service.flows[0]
        payload = engine.setup.packet_bits
        data = radio.scheme(node, (flow.target,), service.stream.quantile, now_ns)
        ack = radio.phy.control(data)
        bits = radio.air_bits(payload)
        needed = max(data.threshold(bits, 0.5), ack.threshold(ACK_BITS, 0.5))
        if self._weakest is None or self._weakest < needed:
            return None
        data_ns = data.duration_ns(bits)
        return _Sender(
            service=service,
            flow=flow,
            book=service.books[flow],
            target=flow.target,
            left=(service.missing_bits(flow) - 1) // payload,
            bits=bits,
            data=data,
            ack=ack,
            data_ns=data_ns,
            exchange_ns=data_ns + SIFS_NS + ack.duration_ns(ACK_BITS),
            data_clean=data.threshold(bits, 0.0),
            ack_clean=ack.threshold(ACK_BITS, 0.0),
            data_s=data_ns / NS_PER_S,
        )

    def _contend(self, senders: dict[int, _Sender], idle_ns: int, bound_ns: float) -> None:
        engine = self._engine
        number, draw, mac = engine.number, engine.backoffs.draw, engine.mac
        packet_bits, trace, window = engine.setup.packet_bits, engine.setup.trace, mac.cw_min
        limit, push, pop = mac.retry_limit, heapq.heappush, heapq.heappop
        latest_ns = bound_ns - max(
            max(each.exchange_ns, each.data_ns + TIMEOUT_NS) for each in senders.values()
        )
        heap = [(engine.slots[node], node) for node in senders]
        heapq.heapify(heap)
        # Stations that still wait for an acknowledgement, and the slots they will count then.
        late: list[tuple[int, int]] = []
        passed, rounds = 0, 0
        while True:
            slot = heap[0][0] if heap else passed + 2 * limit + (1 << 20)
            if late:
                slot = min(slot, passed + _LATE_SLOTS + min(late)[0])
            start_ns = idle_ns + DIFS_NS + (slot - passed) * SLOT_NS
            if start_ns >= latest_ns:
                break
            if late and slot - passed >= _LATE_SLOTS:
                for slots, node in late:
                    push(heap, (passed + _LATE_SLOTS + slots, node))
                late_now, late = late, []
            else:
                late_now = []
            node = pop(heap)[1]
            if heap and heap[0][0] == slot:
                nodes = [node]
                while heap and heap[0][0] == slot:
                    nodes.append(pop(heap)[1])
                if not self._may_collide([senders[each] for each in nodes], limit):
                    for each in nodes:
                        push(heap, (slot, each))
                    late = self._put_back(heap, late_now, late)
                    break
                waiting = [(slots, each) for slots, each in late]
                late = []
                for each in nodes:
                    sender = senders[each]
                    self._count(sender, self._snr(each, sender, start_ns))
                    service, flow = sender.service, sender.flow
                    flow.lost += 1
                    flow.lost_ns += sender.data_ns + TIMEOUT_NS
                    service.tries += 1
                    service.failures += 1
                    number[each] += 1
                    late.append((draw(each, mac.window(service.failures)), each))
                idle_ns = start_ns + sender.data_ns
            else:
                sender = senders[node]
                snr = self._snr(node, sender, start_ns)
                if not sender.left or not self._succeeds(node, sender, start_ns, snr):
                    push(heap, (slot, node))
                    late = self._put_back(heap, late_now, late)
                    break
                waiting, late = late, []
                self._count(sender, snr)
                service, book = sender.service, sender.book
                idle_ns = start_ns + sender.exchange_ns
                book.air_ns += sender.exchange_ns
                book.last_ns, book.last_bits = idle_ns, packet_bits
                book.arrived_bits += packet_bits
                if trace:
                    sender.flow.progress.append((np.array([idle_ns]), np.array([packet_bits])))
                service.failures = service.tries = 0
                service.reached = False
                sender.left -= 1
                number[node] += 1
                number[sender.target] += 1
                push(heap, (slot + draw(node, window), node))
            for slots, each in waiting:
                push(heap, (slot + slots, each))
            passed = slot
            rounds += 1
        if rounds:
            self._leave(heap, late, passed, idle_ns)

    def _put_back(
        self,
        heap: list[tuple[int, int]],
        late_now: list[tuple[int, int]],
        late: list[tuple[int, int]],
    ) -> list[tuple[int, int]]:
        """Undo that late stations were taken for ready; return the late ones."""
        if not late_now:
            return late
        nodes = {node for _, node in late_now}
        heap[:] = [entry for entry in heap if entry[1] not in nodes]
        heapq.heapify(heap)
        return late_now

    def _may_collide(self, senders: list[_Sender], limit: int) -> bool:
        """Return whether a collision of these is one that only costs time."""
        return self._flat and all(
            sender.left
            and sender.data_ns == senders[0].data_ns
            and sender.service.failures + 1 < limit
            for sender in senders
        )

    def _snr(self, node: int, sender: _Sender, start_ns: int) -> float:
        """Return the ratio of signal to noise of a packet."""
        radio = self._engine.radio
        power_w = radio.tx_w[node] * self._engine.paths.gain(node, sender.target, start_ns)
        return power_w / radio.noise_w[sender.target]

    def _succeeds(self, node: int, sender: _Sender, start_ns: int, snr: float) -> bool:
        """Return whether a lone packet and its acknowledgement arrive."""
        engine, radio, target = self._engine, self._engine.radio, sender.target
        if snr < sender.data_clean:
            error = radio.clean_error(sender.data, sender.bits, snr)
            if error and engine.draws.draw(node, target, engine.number[node]) < error:
                return False
        gain = engine.paths.gain(target, node, start_ns + sender.data_ns + SIFS_NS)
        snr = radio.tx_w[target] * gain / radio.noise_w[node]
        if snr < sender.ack_clean:
            error = radio.clean_error(sender.ack, ACK_BITS, snr)
            if error and engine.draws.draw(target, node, engine.number[target]) < error:
                return False
        return True

    def _count(self, sender: _Sender, snr: float) -> None:
        """Add a frame to what a flow was sent."""
        flow = sender.flow
        flow.sent += 1
        flow.repeated += sender.service.tries > 0
        sender.book.sent_ns += sender.data_ns
        flow.snr_sum += snr
        if snr != sender.snr:
            sender.snr = snr
            sender.capacity_bits = self._engine.radio.capacity_bits(snr, sender.data_s)
        flow.capacity_bits += sender.capacity_bits

    def _leave(
        self, heap: list[tuple[int, int]], late: list[tuple[int, int]], passed: int, idle_ns: int
    ) -> None:
        """Leave the engine behind as if it had gone through all events."""
        engine = self._engine
        slots = {node: slot - passed for slot, node in heap}
        for node in range(len(engine.slots)):
            engine.busy_ns[node] = idle_ns
            engine.slots[node] = slots.get(node, max(engine.slots[node] - passed, 0))
        for left, node in late:
            engine.busy_ns[node] = idle_ns + TIMEOUT_NS
            engine.slots[node] = left
        for node, contends in enumerate(engine.contends):
            if contends:
                engine.plan(node)
