"""Windowed CSMA engine: event-driven simulation ahead of the simulated clock.

Between two events of the simulated clock nothing outside the engine can start or cancel a
transmission. The engine therefore processes its own events up to the next one in one call, or to
the end of an attempt; the clock sees one event for each such window and none for a frame. Backoffs
are not counted slot by slot but computed (`states`), and in a fully connected network `clique`
advances from one exchange to the next without even these events. `packet`, which simulates every
slot of every station, gives bit-identical results.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

from wnsim.air.csma.clique import Clique
from wnsim.air.csma.contention import Contention
from wnsim.air.csma.exchange import answer, first_frame, next_frame
from wnsim.air.csma.frame import Frame
from wnsim.air.csma.service import ACK_BITS
from wnsim.air.csma.states import NEVER_NS, StationStates
from wnsim.core.clock import LAST
from wnsim.core.invariants import half_duplex_violation
from wnsim.core.units import to_s
from wnsim.phy.wifi import SENSE_NS, SIFS_NS, TIMEOUT_NS

if TYPE_CHECKING:
    from wnsim.air.csma.service import Service
    from wnsim.air.setup import Setup
    from wnsim.air.transmission import Attempt

_END, _TIMEOUT, _SENSE, _ANSWER, _ANNOUNCED = range(5)


class Windowed(Contention):
    """An engine that runs ahead of the clock; see `Contention`.

    Attributes
    ----------
    states : states of the stations
    """

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        super().__init__(setup, ended)
        self.states = StationStates(setup, self.radio)
        self._frames: list[Frame] = []
        self._events: list[tuple[int, int, int, Frame]] = []
        self._wake_ns = NEVER_NS
        self._ack_ns = self.radio.phy.slowest.duration_ns(ACK_BITS)
        self._clique = Clique(setup, self.radio, self.queues, self.states)

    # The clock.

    def wake(self) -> None:
        """Schedule a run at the end of this instant."""
        self._arm(self.env.now_ns)

    def _arm(self, instant_ns: int) -> None:
        if instant_ns < self._wake_ns:
            self._wake_ns = instant_ns
            self.env.at(instant_ns, self._on_wake, late=LAST)

    def _on_wake(self) -> None:
        now = self.env.now_ns
        if self._wake_ns != now:
            return
        self._wake_ns = NEVER_NS
        while True:
            if self.done:
                if self.done[0].ended_ns > now:
                    self._arm(self.done[0].ended_ns)
                    return
                # The network may hand over more messages in response, at this same instant.
                self.report()
                self._arm(now)
                return
            instant_ns = self._next_ns()
            if instant_ns <= now:
                self._process(instant_ns)
            elif self.changed:
                self._update_queues(now)
            elif instant_ns == NEVER_NS:
                return
            else:
                horizon = self.env.peek()
                if instant_ns >= horizon:
                    self._arm(instant_ns)
                    return
                self._run(horizon)

    def _next_ns(self) -> int:
        """Return the instant of the next event on the air [ns]."""
        limit_ns = self.next_limit_ns()
        instant_ns = NEVER_NS if limit_ns is None else limit_ns
        if self._events:
            instant_ns = min(instant_ns, self._events[0][0])
        return min(instant_ns, self.states.next_start_ns())

    def _run(self, horizon: float) -> None:
        """Process events before a horizon [ns], up to the end of the first attempt."""
        while not self.done:
            if not self._events:
                limit_ns = self.next_limit_ns()
                bound = horizon if limit_ns is None else min(horizon, limit_ns)
                self._clique.run(bound)
            instant_ns = self._next_ns()
            if instant_ns >= horizon or instant_ns == NEVER_NS:
                return
            self._process(instant_ns)

    def _process(self, now: int) -> None:
        """Process all events of an instant, in the order given in `contention`."""
        events, states = self._events, self.states
        while events and events[0][0] == now and events[0][1] <= _TIMEOUT:
            _, kind, _, frame = heapq.heappop(events)
            if kind == _END:
                self._end(frame)
            else:
                self._on_ack_timeout(frame)
        self.expire(now)
        while events and events[0][0] == now:
            _, kind, node, frame = heapq.heappop(events)
            if kind == _SENSE:
                self._sense(frame)
            elif kind == _ANSWER:
                self._send_answer(node, frame)
            elif frame.service is not None:
                self._send_announced(node, frame, frame.service)
        while (starting := states.pop_start(now)) is not None:
            if self.queues[starting]:
                self._start(starting, now)
            else:
                states.contends[starting] = False

    # Queues.

    def _update_queues(self, now: int) -> None:
        """Let access functions whose queue has changed begin or stop contending."""
        states = self.states
        changed, self.changed = sorted(self.changed), set()
        for place in changed:
            queue, node = self.queues[place], place // states.per_node
            sending = states.sending[node]
            if sending is not None and sending.function == place:
                continue
            if not queue:
                states.withdraw(place)
                continue
            queue[0].begin(now)
            if not states.contends[place]:
                states.contends[place] = True
                states.asked_ns[place] = now
                busy = sending is not None or states.busy_ns[node] > now
                if busy and states.slots[place] == 0:
                    states.draw(place, 0)
                if states.locked[node] is None:
                    states.schedule(node)

    # Frames.

    def _start(self, place: int, now: int) -> None:
        """Let an access function send, and resolve collisions with others of its node."""
        states, node = self.states, place // self.states.per_node
        rivals = [each for each in states.of_node(node) if states.starts_ns[each] == now]
        states.freeze(node, now)
        self._send_packet(node, self.queues[place][0], now)
        for rival in rivals:
            queue = self.queues[rival]
            if queue:
                service = queue[0]
                service.on_internal_collision()
                states.draw(rival, service.failures)
            else:
                states.contends[rival] = False

    def _send_packet(self, node: int, service: Service, now: int) -> None:
        """Send the packet at the head of a queue, or a request to send it."""
        states = self.states
        service.begin(now)
        frame = first_frame(self.radio, service, states.number[node], now)
        states.slots[service.function] = 0
        states.sending[node] = frame
        if frame.announced is not None:
            service.on_request(now, frame.end_ns - now)
        else:
            service.on_sent(now, frame.end_ns - now)
            self.radio.record_sent(frame, states.gains.gain)
        self._send(frame)

    def _send_announced(self, node: int, frame: Frame, service: Service) -> None:
        """Send the packet for which the receiver is ready, unless its attempt has ended."""
        states, now = self.states, frame.start_ns
        if not service.attempts:
            self._finish_packet(frame, now)
            return
        frame.number = states.number[node]
        frame.received_w = self.radio.received_w(node, now)
        service.on_sent(now, frame.end_ns - now)
        self.radio.record_sent(frame, states.gains.gain)
        self._send(frame)

    def _send_answer(self, node: int, frame: Frame) -> None:
        """Answer a frame."""
        self._send(answer(self.radio, frame, node, self.states.number[node]))

    def _send(self, frame: Frame) -> None:
        """Put a frame on the air."""
        node, states = frame.source, self.states
        states.number[node] += frame.packets
        states.locked[node] = None
        states.busy_ns[node] = states.tx_end_ns[node] = frame.end_ns
        now = frame.start_ns
        for other in self._frames:
            if other.end_ns > now:
                other.overlapping.append(frame)
                frame.overlapping.append(other)
        self._frames.append(frame)
        heapq.heappush(self._events, (now + SENSE_NS, _SENSE, node, frame))
        heapq.heappush(self._events, (frame.end_ns, _END, node, frame))

    def _sense(self, frame: Frame) -> None:
        """Let all nodes in range sense a frame: lock on to it, or find the medium busy."""
        states = self.states
        locked, tx_end, start = states.locked, states.tx_end_ns, frame.start_ns
        now, end, receivers = start + SENSE_NS, frame.end_ns, frame.receivers
        busy, radio = states.busy_ns, self.radio
        others = [each for each in self._frames if each is not frame]
        others.sort(key=lambda each: (each.start_ns, each.source))
        undisturbed = radio.locking_nodes(frame.source, start) if not others else frozenset()
        for node, power_w in frame.received_w.items():
            if tx_end[node] > start:
                continue
            if not others:
                locks = node in undisturbed
            else:
                other_w = sum([o.received_w[node] for o in others if node in o.received_w])
                locks = radio.locks(node, power_w, other_w)
            current = locked[node]
            if current is not None:
                if locks and radio.captures(node, frame, current):
                    locked[node] = frame
                    receivers.append(node)
                    busy[node] = max(busy[node], end)
                continue
            until = end if locks else self._energy_until_ns(node, now)
            if until > now:
                states.freeze(node, now)
                busy[node] = max(busy[node], until)
                if locks:
                    locked[node] = frame
                    receivers.append(node)
                else:
                    states.schedule(node)

    def _energy_until_ns(self, node: int, now: int) -> int:
        """Return until when frames on the air exceed a node's energy detection threshold [ns]."""
        energy_w, single, last = self.radio.energy_w, now, now
        for frame in self._frames:
            power_w = frame.received_w.get(node)
            if power_w is not None and frame.end_ns > last:
                last = frame.end_ns
            if power_w is not None and power_w >= energy_w and frame.end_ns > single:
                single = frame.end_ns
        if single == last:
            return last
        audible = [frame for frame in self._frames if node in frame.received_w]
        audible.sort(key=lambda each: (each.start_ns, each.source))
        for end in sorted({frame.end_ns for frame in audible}, reverse=True):
            power_w = sum([each.received_w[node] for each in audible if each.end_ns >= end])
            if power_w >= energy_w:
                return end
        return now

    def _end(self, frame: Frame) -> None:
        """Handle the end of a frame at its source and at all nodes that are locked on to it."""
        states = self.states
        now, source, locked = frame.end_ns, frame.source, states.locked
        self._frames.remove(frame)
        busy, eifs, radio = states.busy_ns, states.eifs_ns, self.radio
        others = bool(self._frames)
        if others:
            busy[source] = max(busy[source], self._energy_until_ns(source, now))
        if frame.needs_ack:
            heapq.heappush(self._events, (now + TIMEOUT_NS, _TIMEOUT, source, frame))
        elif frame.service is None:
            states.schedule(source)
        eifs_ns = now + SIFS_NS + self._ack_ns
        for node in sorted(frame.receivers):
            if locked[node] is not frame:
                continue
            locked[node] = None
            if others:
                busy[node] = max(busy[node], self._energy_until_ns(node, now))
            if node not in frame.targets:
                if radio.decodes(node, frame):
                    eifs[node] = 0
                    busy[node] = max(busy[node], frame.nav_ns)
                    states.nav_ns[node] = max(states.nav_ns[node], frame.nav_ns)
                else:
                    eifs[node] = eifs_ns
                states.schedule(node)
                continue
            received = radio.receives(node, frame, states.gains.gain, states.draws.draw)
            eifs[node] = 0 if received else eifs_ns
            pending = states.sending[node]
            if frame.service is None:
                if pending is not None and pending.targets[0] == source:
                    self._on_ack_result(pending, received, now)
                    continue
            elif received:
                if states.tx_end_ns[node] > frame.start_ns:
                    raise half_duplex_violation(self.setup.world.names[node], to_s(now))
                frame.reached.append(node)
                if frame.announced is not None and states.nav_ns[node] <= now:
                    frame.service.on_answer(frame.attempts, frame.ack_ns)
                elif frame.announced is None and frame.needs_ack:
                    frame.service.on_reached(frame.attempts, frame.ack_ns)
                else:
                    states.schedule(node)
                    continue
                busy[node] = max(busy[node], frame.answer_ns)
                heapq.heappush(self._events, (now + SIFS_NS, _ANSWER, node, frame))
                continue
            states.schedule(node)
        if frame.service is not None and not frame.needs_ack:
            frame.service.on_multicast(frame.attempts, frame.reached, frame.payload_bits, now)
            self._finish_exchange(frame, now)

    def _on_ack_timeout(self, frame: Frame) -> None:
        """Handle the expiry of an acknowledgement timeout, unless the node receives one."""
        current = self.states.locked[frame.source]
        if current is None or current.service is not None or frame.source not in current.targets:
            self._on_ack_result(frame, False, frame.end_ns + TIMEOUT_NS)

    def _on_ack_result(self, frame: Frame, acked: bool, now: int) -> None:
        """Record whether a frame was answered; after a clear to send, schedule the packet."""
        if self.states.sending[frame.source] is not frame or frame.service is None:
            return
        self.radio.learn(frame, acked, self.states.gains.gain)
        if acked and frame.announced is not None:
            self._announce(frame.announced)
        elif acked:
            frame.service.on_ack(frame.attempts, frame.payload_bits, now)
            self._finish_exchange(frame, now)
        else:
            frame.service.on_failure(frame.attempts, frame.payload_bits, now)
            self._finish_packet(frame, now)

    def _announce(self, frame: Frame) -> None:
        """Schedule a frame that follows the last one of an exchange."""
        self.states.sending[frame.source] = frame
        heapq.heappush(self._events, (frame.start_ns, _ANNOUNCED, frame.source, frame))

    def _finish_exchange(self, frame: Frame, now: int) -> None:
        """Go on with the transmission opportunity after an exchange, or end it."""
        if frame.service is not None:
            self.end_complete(frame.service, now)
            queue = self.queues[frame.service.function]
            following = next_frame(self.radio, queue, frame, now)
            if following is not None:
                self._announce(following)
                return
        self._finish_packet(frame, now)

    def _finish_packet(self, frame: Frame, now: int) -> None:
        """Draw a new backoff after a frame and contend for the next packet, if there is one."""
        node, service, states = frame.source, frame.service, self.states
        states.sending[node] = None
        states.busy_ns[node] = max(states.busy_ns[node], now)
        if service is not None:
            self.end_complete(service, now)
            place = service.function
            states.draw(place, service.failures)
            queue = self.queues[place]
            states.contends[place] = bool(queue)
            states.asked_ns[place] = now
            if queue:
                queue[0].begin(now)
        if states.locked[node] is None:
            states.schedule(node)
