"""A station of the packet-level CSMA engine: what it senses, sends and answers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Protocol

from wnsim.air.csma.exchange import answer, first_frame, next_frame
from wnsim.air.csma.frame import Exchange, Frame
from wnsim.air.csma.service import ACK_BITS, Service
from wnsim.air.csma.slot_backoff import SlotBackoff
from wnsim.core.clock import LAST
from wnsim.core.invariants import half_duplex_violation
from wnsim.core.units import to_s
from wnsim.phy.wifi import SIFS_NS, TIMEOUT_NS

if TYPE_CHECKING:
    from wnsim.air.csma.radio import Radio
    from wnsim.air.setup import Setup
    from wnsim.core.clock import Clock
    from wnsim.mac.csma import Csma

# Priority within an instant, in the order given in `contention`.
END, TIMEOUT, EXPIRE, SENSE, BEGIN, REPORT, UPDATE = range(LAST, LAST + 7)


class Engine(Protocol):
    """What a station knows of its engine, besides the other stations: the air.

    Attributes
    ----------
    env, setup : clock, and what the engine is built from
    mac, radio : parameters, powers and rates
    queues : transmissions that wait, by access function
    stations : all stations
    """

    env: Clock
    setup: Setup
    mac: Csma
    radio: Radio
    queues: dict[int, list[Service]]
    stations: list[Station]

    def gain(self, source: int, target: int, now_ns: int) -> float:
        """Return the gain of a pair at an instant."""

    def draw(self, source: int, node: int, number: int) -> float:
        """Return the draw of a receiver for a frame."""

    def send(self, frame: Frame) -> None:
        """Put a frame on the air."""

    def power_w(self, node: int, excluded: Collection[Frame] = ()) -> float:
        """Return the mean power of all frames but some at a node [W]."""

    def energy_until_ns(self, node: int) -> int:
        """Return until when a node's energy detection threshold is exceeded [ns]."""

    def end_complete(self, service: Service, now_ns: int) -> None:
        """End the attempts of a transmission that have no packets left."""

    def schedule_report(self) -> None:
        """Schedule a report at the end of this instant, if an attempt has ended."""


class Station:
    """A node and its local state."""

    def __init__(self, node: int, engine: Engine) -> None:
        self.node, self.engine = node, engine
        self.locked: Frame | None = None
        self.frame: Frame | None = None
        self.tx_end_ns = 0
        self.busy_ns = 0
        self.eifs_ns = self.nav_ns = 0
        self.number = 0
        functions = engine.mac.functions
        self.backoffs = [
            SlotBackoff(place, function, engine.queues[place], engine.radio.backoff_key, self)
            for place, function in enumerate(functions, node * len(functions))
        ]

    @property
    def now(self) -> int:
        """The present instant [ns]."""
        return self.engine.env.now_ns

    @property
    def free_ns(self) -> int:
        """End of the busy period or of the extended interframe space [ns]."""
        return max(self.busy_ns, self.eifs_ns)

    # Access.

    def begin_at(self, instant_ns: int, action: Callable[[], None]) -> None:
        """Schedule what may begin a frame at an instant [ns]."""
        self.engine.env.at(instant_ns, action, late=BEGIN)

    def resume(self) -> None:
        """Let all backoffs wait for the medium, unless the station has a frame under way."""
        if self.frame is None:
            for each in self.backoffs:
                each.resume()

    def freeze(self) -> None:
        """Stop all backoffs: the medium has become busy."""
        if self.frame is None:
            for each in self.backoffs:
                each.freeze()

    def start(self, backoff: SlotBackoff) -> None:
        """Send a packet of the highest category among those whose backoff ends now."""
        if not backoff.wanted:
            backoff.contends = False
            return
        due = [each for each in self.backoffs if each is backoff or each.due]
        for each in due:
            each.contends = each.wanted
        contending = [each for each in due if each.contends]
        while contending:
            winner, *contending = contending
            send = self.prepared(winner)
            if send is not None:
                self.freeze()
                winner.slots = 0
                send()
                break
            winner.contends = False
        for each in contending:
            self.on_internal_collision(each)

    def prepared(self, backoff: SlotBackoff) -> Callable[[], None] | None:
        """Return how to send what comes next; none: there is nothing that could be sent."""
        return partial(self.send_packet, backoff.queue[0])

    def on_internal_collision(self, backoff: SlotBackoff) -> None:
        """Let a backoff begin anew that has ended together with that of a higher category."""
        backoff.queue[0].on_internal_collision()
        backoff.draw(backoff.queue[0].failures)

    def polls(self, place: int) -> bool:
        """Return whether it has a trigger frame to send by an access function."""
        return False

    def send_packet(self, service: Service) -> None:
        """Send the current packet of a transmission, or a request to send it."""
        engine, now = self.engine, self.now
        service.begin(now)
        frame = first_frame(engine.radio, service, self.number, now)
        if frame.announced is not None:
            service.on_request(now, frame.end_ns - now)
            self.send(frame)
        else:
            self.send_data(frame, service)

    def send_announced(self, frame: Frame, service: Service) -> None:
        """Send the packet for which the receiver is ready, unless its attempt has ended."""
        if not service.attempts:
            self.finish_packet(service)
            return
        frame.number = self.number
        frame.received_w = self.engine.radio.received_w(self.node, self.now)
        self.send_data(frame, service)

    def send_data(self, frame: Frame, service: Service) -> None:
        """Send a frame of packets."""
        service.on_sent(self.now, frame.end_ns - self.now)
        self.engine.radio.record_sent(frame, self.engine.gain)
        self.send(frame)

    def send(self, frame: Frame) -> None:
        """Send a frame that is the station's own, not an answer."""
        self.frame = frame
        self.transmit(frame)

    def transmit(self, frame: Frame) -> None:
        """Put a frame on the air."""
        self.number += frame.packets
        self.locked = None
        self.tx_end_ns = self.busy_ns = frame.end_ns
        self.engine.send(frame)

    def on_triggered(self, exchange: Exchange) -> None:
        """Handle the end of the frames of stations that it has triggered."""

    # The air.

    def sense(self, frame: Frame) -> None:
        """Handle the detection of a frame: lock on to it, or find the medium busy."""
        if self.tx_end_ns > frame.start_ns:
            return
        engine, radio = self.engine, self.engine.radio
        other_w = engine.power_w(self.node, excluded=[frame])
        locks = radio.locks(self.node, frame.received_w[self.node], other_w)
        if self.locked is not None:
            if locks and radio.captures(self.node, frame, self.locked):
                self.locked = frame
                self.busy_ns = max(self.busy_ns, frame.end_ns)
            return
        until = self.now
        if locks:
            self.locked = frame
            until = frame.end_ns
        else:
            until = engine.energy_until_ns(self.node)
        if until > self.now:
            self.freeze()
            self.busy_ns = max(self.busy_ns, until)
            if not locks:
                self.resume()

    def on_own_frame_end(self, frame: Frame) -> None:
        """Handle the end of an own frame."""
        engine, now = self.engine, self.now
        self.busy_ns = max(self.busy_ns, engine.energy_until_ns(self.node))
        if frame.needs_ack:
            engine.env.at(now + TIMEOUT_NS, partial(self.on_ack_timeout, frame), late=TIMEOUT)
        elif frame.service is None:
            self.resume()

    def on_frame_end(self, frame: Frame) -> None:
        """Handle the end of the frame to which the receiver is locked."""
        engine, radio, now = self.engine, self.engine.radio, self.now
        self.locked = None
        self.busy_ns = max(self.busy_ns, engine.energy_until_ns(self.node))
        if self.node in frame.targets:
            decoded = radio.receives(self.node, frame, engine.gain, engine.draw)
        else:
            decoded = radio.decodes(self.node, frame)
        if decoded:
            self.eifs_ns = 0
        else:
            ack_ns = radio.phy.slowest.duration_ns(ACK_BITS)
            self.eifs_ns = now + SIFS_NS + ack_ns
        if self.node in frame.targets and frame.service is None:
            pending = self.frame
            if pending is not None and pending.targets[0] == frame.source:
                self.on_ack_result(pending, decoded)
                return
        elif self.node in frame.targets and decoded:
            if self.tx_end_ns > frame.start_ns:
                raise half_duplex_violation(engine.setup.world.names[self.node], to_s(now))
            frame.reached.append(self.node)
            # A request to send gets no answer during a NAV.
            ready = frame.announced is None or self.nav_ns <= now
            if frame.service is not None and frame.needs_ack and ready:
                if frame.announced is None:
                    frame.service.on_reached(frame.attempts, frame.ack_ns)
                else:
                    frame.service.on_answer(frame.attempts, frame.ack_ns)
                self.busy_ns = max(self.busy_ns, frame.answer_ns)
                self.begin_at(now + SIFS_NS, partial(self.send_answer, frame))
                return
        elif decoded:
            self.busy_ns = max(self.busy_ns, frame.nav_ns)
            self.nav_ns = max(self.nav_ns, frame.nav_ns)
        if self.frame is None:
            self.resume()

    def send_answer(self, frame: Frame) -> None:
        """Answer a frame."""
        self.transmit(answer(self.engine.radio, frame, self.node, self.number))

    def on_ack_timeout(self, frame: Frame) -> None:
        """Handle the expiry of an acknowledgement timeout, unless the node receives one."""
        locked = self.locked
        if (
            locked is not None
            and locked.service is None
            and self.node in locked.targets
            and locked.exchange is frame.exchange
        ):
            return
        self.on_ack_result(frame, False)
        self.engine.schedule_report()

    def on_ack_result(self, frame: Frame, arrived: bool) -> None:
        """Record whether a frame was answered; after a clear to send, schedule the packet."""
        service, now = frame.service, self.now
        if service is None or self.frame is not frame:
            return
        engine = self.engine
        if frame.announced is None:
            known = 0
            if arrived:
                known = 1 if frame.aggregate is None else sum(frame.aggregate.arrived)
            engine.radio.learn(
                frame.source, frame.targets[0], frame.scheme, frame.packets, known,
                frame.start_ns, engine.gain,
            )  # fmt: skip
        if arrived and frame.announced is not None:
            self.announce(frame.announced, service)
        elif arrived:
            service.on_ack(frame.attempts, frame.payload_bits, now)
            self.finish_exchange(frame, service)
        else:
            service.on_failure(frame.attempts, frame.payload_bits, now)
            self.finish_packet(service)

    def announce(self, frame: Frame, service: Service) -> None:
        """Schedule a frame that follows the last one of an exchange."""
        self.frame = frame
        send = partial(self.send_announced, frame, service)
        self.begin_at(frame.start_ns, send)

    def on_multicast_end(self, frame: Frame) -> None:
        """Handle the end of an own multicast frame."""
        if frame.service is not None:
            frame.service.on_multicast(frame.attempts, frame.reached, frame.payload_bits, self.now)
            self.finish_exchange(frame, frame.service)

    def finish_exchange(self, frame: Frame, service: Service) -> None:
        """Go on with the transmission opportunity after an exchange, or end it."""
        engine = self.engine
        engine.end_complete(service, self.now)
        queue = engine.queues[service.function]
        following = next_frame(engine.radio, queue, frame, self.now)
        if following is not None:
            self.announce(following, queue[0])
        else:
            self.finish_packet(service)

    def finish_packet(self, service: Service) -> None:
        """Draw a new backoff after a frame and contend for the next packet, if there is one."""
        self.frame = None
        self.engine.end_complete(service, self.now)
        self.busy_ns = max(self.busy_ns, self.now)
        backoff = self.backoffs[service.function % len(self.backoffs)]
        backoff.draw(service.failures)
        backoff.contends = backoff.wanted
        if backoff.queue:
            backoff.queue[0].begin(self.now)
        if self.locked is None:
            self.resume()
