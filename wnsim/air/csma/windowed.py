"""The windowed engine: what happens on the air, ahead of the simulated clock.

Nothing from outside can change who is on the air before the clock's next appointment, so the
engine goes through its own events up to there at one go, and stops where a flow ends; the clock
sees one event for each of these stretches, none for a packet. Backoffs are not counted but
computed: a station knows when it will send unless something stops it. Where all stations hear
each other, `rounds` goes from one exchange to the next without even these events. `packet`, which
looks at every slot of every station, gives the same results to the last bit.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

from wnsim.air.csma.clique import Rounds
from wnsim.air.csma.contention import Contention
from wnsim.air.csma.frame import Frame
from wnsim.air.csma.lookahead import Backoffs, Draws, Paths
from wnsim.air.csma.radio import ACK_BITS
from wnsim.core.clock import LAST
from wnsim.core.invariants import at_once
from wnsim.core.units import to_s
from wnsim.phy.wifi import DIFS_NS, SENSE_NS, SIFS_NS, SLOT_NS, TIMEOUT_NS

if TYPE_CHECKING:
    from wnsim.air.air import Setup
    from wnsim.air.csma.service import Service
    from wnsim.air.flow import Flow

_NEVER = 2**63 - 1
_END, _MISSING, _SENSE, _ANSWER = range(4)


class Windowed(Contention):
    """An engine that runs ahead of the clock; see `Contention`.

    Attributes
    ----------
    busy_ns, eifs_ns : until when each node finds the medium busy, or waits after a frame that it
        could not read [ns]
    slots : what was left of each node's backoff when the medium last fell idle
    starts_ns : when each node will send; a number that no instant reaches if it will not [ns]
    sending : the frame of each node that is on the air or not yet answered
    """

    def __init__(self, setup: Setup, ended: Callable[[Flow], None]) -> None:
        super().__init__(setup, ended)
        nodes = setup.world.nodes
        self.busy_ns, self.eifs_ns = [0] * nodes, [0] * nodes
        self.slots = [0] * nodes
        self.asked_ns = [0] * nodes
        self.contends = [False] * nodes
        self.starts_ns = [_NEVER] * nodes
        self.sending: list[Frame | None] = [None] * nodes
        self.number = [0] * nodes
        self._talked_ns = [0] * nodes
        self._held: list[Frame | None] = [None] * nodes
        self._frames: list[Frame] = []
        self._events: list[tuple[int, int, int, Frame]] = []
        self._starts: list[tuple[int, int]] = []
        self._wake_ns = _NEVER
        self.backoffs = Backoffs(self.radio.backoff_key, nodes)
        self.draws = Draws(setup.error_key)
        self.paths = Paths(setup)
        self._ack_ns = self.radio.phy.slowest.duration_ns(ACK_BITS)
        self._rounds = Rounds(self)

    # The clock.

    def wake(self) -> None:
        """Go on at the end of this instant."""
        self._arm(self.env.now_ns)

    def _arm(self, instant_ns: int) -> None:
        if instant_ns < self._wake_ns:
            self._wake_ns = instant_ns
            self.env.at(instant_ns, self._on_wake, late=LAST)

    def _on_wake(self) -> None:
        now = self.env.now_ns
        if self._wake_ns != now:
            return
        self._wake_ns = _NEVER
        while True:
            if self.done:
                if self.done[0].ended_ns > now:
                    self._arm(self.done[0].ended_ns)
                    return
                # What they set free, others may be about to use at this instant.
                self.report()
                self._arm(now)
                return
            instant_ns = self._next_ns()
            if instant_ns <= now:
                self._instant(instant_ns)
            elif self.fresh:
                self._look(now)
            elif instant_ns == _NEVER:
                return
            else:
                horizon = self.env.peek()
                if instant_ns >= horizon:
                    self._arm(instant_ns)
                    return
                self._run(horizon)

    def _next_ns(self) -> int:
        """Return when something happens next [ns]."""
        limit_ns = self.next_limit_ns()
        instant_ns = _NEVER if limit_ns is None else limit_ns
        if self._events:
            instant_ns = min(instant_ns, self._events[0][0])
        starts, starts_ns = self._starts, self.starts_ns
        while starts and starts_ns[starts[0][1]] != starts[0][0]:
            heapq.heappop(starts)
        return min(instant_ns, starts[0][0]) if starts else instant_ns

    def _run(self, horizon: float) -> None:
        """Go ahead until a flow ends, or to the first instant that is not before the horizon."""
        while not self.done:
            if not self._events:
                limit_ns = self.next_limit_ns()
                bound = horizon if limit_ns is None else min(horizon, limit_ns)
                self._rounds.run(bound)
            instant_ns = self._next_ns()
            if instant_ns >= horizon or instant_ns == _NEVER:
                return
            self._instant(instant_ns)

    def _instant(self, now: int) -> None:
        """Let happen what happens on the air at an instant."""
        events = self._events
        while events and events[0][0] == now and events[0][1] <= _MISSING:
            _, kind, _, frame = heapq.heappop(events)
            if kind == _END:
                self._end(frame)
            else:
                self._missing(frame)
        self.expire(now)
        while events and events[0][0] == now:
            _, kind, node, frame = heapq.heappop(events)
            if kind == _SENSE:
                self._sense(frame)
            else:
                self._acknowledge(node, frame)
        starts = self._starts
        while starts and starts[0][0] == now:
            _, node = heapq.heappop(starts)
            if self.starts_ns[node] == now:
                self.starts_ns[node] = _NEVER
                if self.queues[node]:
                    self._send_packet(node, self.queues[node][0], now)
                else:
                    self.contends[node] = False

    # Backoff.

    def _look(self, now: int) -> None:
        """Take in that queues have changed."""
        fresh, self.fresh = sorted(self.fresh), set()
        for node in fresh:
            queue = self.queues[node]
            if self.sending[node] is not None:
                continue
            if not queue:
                self.contends[node] = False
                self.starts_ns[node] = _NEVER
                continue
            queue[0].begin(now)
            if not self.contends[node]:
                self.contends[node] = True
                self.asked_ns[node] = now
                if self.busy_ns[node] > now and self.slots[node] == 0:
                    self.slots[node] = self.backoffs.draw(node, self.mac.window(0))
                if self._held[node] is None:
                    self.plan(node)

    def plan(self, node: int) -> None:
        """Find out when a node will send if nothing stops it."""
        if self.contends[node] and self.sending[node] is None:
            free = max(self.busy_ns[node], self.eifs_ns[node])
            start = free + DIFS_NS + SLOT_NS * self.slots[node]
            start = max(start, self.asked_ns[node])
            self.starts_ns[node] = start
            heapq.heappush(self._starts, (start, node))

    def _stop(self, node: int, now: int) -> None:
        """Stop a node's backoff: it has found the medium busy."""
        self.starts_ns[node] = _NEVER
        if self.slots[node]:
            free = max(self.busy_ns[node], self.eifs_ns[node])
            passed = (now - free - DIFS_NS) // SLOT_NS
            if passed > 0:
                self.slots[node] = max(self.slots[node] - passed, 0)

    # Frames.

    def _send_packet(self, node: int, service: Service, now: int) -> None:
        """Send the packet at the head of a queue."""
        radio = self.radio
        service.begin(now)
        payload = service.next_bits()
        targets = tuple([flow.target for flow in service.flows])
        scheme = radio.scheme(node, targets, service.stream.quantile, now)
        bits = radio.air_bits(payload)
        end = now + scheme.duration_ns(bits)
        nav = 0
        if not service.several:
            nav = end + SIFS_NS + radio.phy.control(scheme).duration_ns(ACK_BITS)
        frame = Frame(
            node, targets, self.number[node], now, end, scheme, bits,
            radio.heard_w(node, now), nav, service, tuple(service.flows), payload,
        )  # fmt: skip
        self.slots[node] = 0
        self.sending[node] = frame
        service.sent(now, end - now)
        radio.count(frame, self.paths.gain)
        self._send(frame)

    def _acknowledge(self, node: int, frame: Frame) -> None:
        """Answer a frame."""
        now = frame.end_ns + SIFS_NS
        scheme = self.radio.phy.control(frame.scheme)
        heard_w = self.radio.heard_w(node, now)
        ack = Frame(
            node, (frame.source,), self.number[node], now, frame.nav_ns, scheme, ACK_BITS, heard_w
        )
        self._send(ack)

    def _send(self, frame: Frame) -> None:
        """Put a frame on the air."""
        node = frame.source
        self.number[node] += 1
        self._held[node] = None
        self.busy_ns[node] = self._talked_ns[node] = frame.end_ns
        now = frame.start_ns
        for other in self._frames:
            if other.end_ns > now:
                other.met.append(frame)
                frame.met.append(other)
        self._frames.append(frame)
        heapq.heappush(self._events, (now + SENSE_NS, _SENSE, node, frame))
        heapq.heappush(self._events, (frame.end_ns, _END, node, frame))

    def _sense(self, frame: Frame) -> None:
        """Let all nodes that can hear a frame take notice of it, or not."""
        held, talked, start = self._held, self._talked_ns, frame.start_ns
        now, end, locked = start + SENSE_NS, frame.end_ns, frame.locked
        busy, radio = self.busy_ns, self.radio
        others = [each for each in self._frames if each is not frame]
        others.sort(key=lambda each: (each.start_ns, each.source))
        alone = radio.alone(frame.source, start) if not others else frozenset()
        for node, power_w in frame.heard_w.items():
            if talked[node] > start:
                continue
            if not others:
                notable = node in alone
            else:
                other_w = sum([o.heard_w[node] for o in others if node in o.heard_w])
                notable = radio.locks(node, power_w, other_w)
            mine = held[node]
            if mine is not None:
                if notable and radio.captures(node, frame, mine):
                    held[node] = frame
                    locked.append(node)
                    busy[node] = max(busy[node], end)
                continue
            until = end if notable else self._loud_until_ns(node, now)
            if until > now:
                if self.contends[node] or self.slots[node]:
                    self._stop(node, now)
                busy[node] = max(busy[node], until)
                if notable:
                    held[node] = frame
                    locked.append(node)
                else:
                    self.plan(node)

    def _loud_until_ns(self, node: int, now: int) -> int:
        """Return until when a node hears more than its threshold if nothing is added [ns]."""
        energy_w, alone, last = self.radio.energy_w, now, now
        for frame in self._frames:
            power_w = frame.heard_w.get(node)
            if power_w is not None and frame.end_ns > last:
                last = frame.end_ns
            if power_w is not None and power_w >= energy_w and frame.end_ns > alone:
                alone = frame.end_ns
        if alone == last:
            return last
        heard = [frame for frame in self._frames if node in frame.heard_w]
        heard.sort(key=lambda each: (each.start_ns, each.source))
        for end in sorted({frame.end_ns for frame in heard}, reverse=True):
            power_w = sum([each.heard_w[node] for each in heard if each.end_ns >= end])
            if power_w >= energy_w:
                return end
        return now

    def _end(self, frame: Frame) -> None:
        """Take in the end of a frame."""
        now, source, held = frame.end_ns, frame.source, self._held
        self._frames.remove(frame)
        busy, eifs, radio = self.busy_ns, self.eifs_ns, self.radio
        others = bool(self._frames)
        if others:
            busy[source] = max(busy[source], self._loud_until_ns(source, now))
        if frame.asks:
            heapq.heappush(self._events, (now + TIMEOUT_NS, _MISSING, source, frame))
        elif frame.service is None:
            self.plan(source)
        eifs_ns = now + SIFS_NS + self._ack_ns
        for node in sorted(frame.locked):
            if held[node] is not frame:
                continue
            held[node] = None
            if others:
                busy[node] = max(busy[node], self._loud_until_ns(node, now))
            if node not in frame.targets:
                if radio.reads(node, frame):
                    eifs[node] = 0
                    busy[node] = max(busy[node], frame.nav_ns)
                else:
                    eifs[node] = eifs_ns
                self.plan(node)
                continue
            arrives = radio.arrives(node, frame, self.paths.gain, self.draws.draw)
            eifs[node] = 0 if arrives else eifs_ns
            mine = self.sending[node]
            if frame.service is None:
                if mine is not None and mine.targets[0] == source:
                    self._answered(mine, arrives, now)
                    continue
            elif arrives:
                if self._talked_ns[node] > frame.start_ns:
                    raise at_once(self.setup.world.names[node], to_s(now))
                frame.reached.append(node)
                if frame.asks:
                    frame.service.reached = True
                    busy[node] = max(busy[node], frame.nav_ns)
                    heapq.heappush(self._events, (now + SIFS_NS, _ANSWER, node, frame))
                    continue
            self.plan(node)
        if frame.service is not None and not frame.asks:
            frame.service.spread(frame.flows, frame.reached, frame.payload_bits, now)
            self._over(frame, now)

    def _missing(self, frame: Frame) -> None:
        """Take in that it is too late for an acknowledgement to begin."""
        held = self._held[frame.source]
        if held is None or held.service is not None or frame.source not in held.targets:
            self._answered(frame, False, frame.end_ns + TIMEOUT_NS)

    def _answered(self, frame: Frame, arrived: bool, now: int) -> None:
        """Take in whether a frame was acknowledged."""
        if self.sending[frame.source] is not frame or frame.service is None:
            return
        if arrived:
            frame.service.succeed(frame.flows, frame.payload_bits, now)
        else:
            frame.service.fail(frame.flows, frame.payload_bits, now)
        self._over(frame, now)

    def _over(self, frame: Frame, now: int) -> None:
        """Go on after a packet has been dealt with, one way or the other."""
        node, service = frame.source, frame.service
        self.sending[node] = None
        if service is not None:
            self.complete(service, now)
            window = self.mac.window(service.failures)
            self.slots[node] = self.backoffs.draw(node, window)
        self.busy_ns[node] = max(self.busy_ns[node], now)
        queue = self.queues[node]
        self.contends[node] = bool(queue)
        self.asked_ns[node] = now
        if queue:
            queue[0].begin(now)
            if self._held[node] is None:
                self.plan(node)
