"""Packet-level CSMA engine: events for every slot, carrier detection, frame and acknowledgement.

Each station is an object that knows only what it receives. It counts its backoff slot by slot and
sums interference over all recent frames. Slow and simple: the oracle of `windowed`.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.aggregated_service import AggregatedService
from wnsim.air.csma.contention import Contention
from wnsim.air.csma.exchange import answer, first_frame, next_frame
from wnsim.air.csma.frame import Frame
from wnsim.air.csma.radio import added
from wnsim.air.csma.service import ACK_BITS, Service
from wnsim.air.csma.slot_backoff import SlotBackoff
from wnsim.core.clock import LAST
from wnsim.core.invariants import half_duplex_violation
from wnsim.core.streams import uniforms
from wnsim.core.units import to_s
from wnsim.phy.wifi import SENSE_NS, SIFS_NS, TIMEOUT_NS

if TYPE_CHECKING:
    from wnsim.air.setup import Setup
    from wnsim.air.transmission import Attempt, Transmission

# Priority within an instant, in the order given in `contention`.
_END, _TIMEOUT, _EXPIRE, _SENSE, _BEGIN, _REPORT, _UPDATE = range(LAST, LAST + 7)


class Packet(Contention):
    """An engine that simulates every slot of every station; see `Contention`."""

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        super().__init__(setup, ended)
        self.queues: dict[int, list[Service]] = defaultdict(list)
        self._service: dict[Attempt, Service] = {}
        self.stations = [_Station(node, self) for node in range(setup.world.nodes)]
        self.frames: list[Frame] = []
        self._updating_ns = self._reporting_ns = self._sensed_ns = -1
        for station in self.stations:
            station.resume()

    # Required by `Contention`.

    def wake(self) -> None:
        """Schedule the processing of changed queues at the end of this instant."""
        if self._updating_ns != self.env.now_ns:
            self._updating_ns = self.env.now_ns
            self.env.at(self.env.now_ns, self._update_queues, late=_UPDATE)

    def on_limit(self, instant_ns: int) -> None:
        """Schedule the handling of a limit of an attempt at an instant [ns]."""
        self.env.at(instant_ns, self._expire, late=_EXPIRE)

    def enqueue(self, transmission: Transmission) -> int:
        """Put a transmission into its queue; return its access function."""
        setup, aggregator = self.setup, self.radio.aggregator
        rules = setup.packet_bits, self.mac, setup.trace
        if aggregator is None or transmission.multicast:
            service = Service(transmission, *rules)
        else:
            service = AggregatedService(transmission, *rules, aggregator)
        insort(self.queues[service.function], service, key=lambda each: each.order)
        self._service.update(dict.fromkeys(transmission.attempts, service))
        return service.function

    def close(self, attempt: Attempt, now_ns: int) -> int:
        """Write the outcome of an attempt that ends; return its access function."""
        service = self._service.pop(attempt)
        service.close(attempt, now_ns)
        if not service.attempts:
            self.queues[service.function].remove(service)
        return service.function

    def acked_bits(self, attempt: Attempt) -> int:
        """Return the number of bits of an attempt received before the present instant."""
        return self._service[attempt].acked_bits(attempt, self.env.now_ns)

    def end_complete(self, service: Service, now_ns: int) -> None:
        """End the attempts of a transmission that have no packets left."""
        for attempt in service.complete():
            self.finalize(attempt, now_ns)

    def _expire(self) -> None:
        self.expire(self.env.now_ns)
        self.schedule_report()

    def schedule_report(self) -> None:
        """Schedule a report at the end of this instant, if an attempt has ended."""
        if self.done and self._reporting_ns != self.env.now_ns:
            self._reporting_ns = self.env.now_ns
            self.env.at(self.env.now_ns, self._on_report, late=_REPORT)
        if self.changed:
            self.wake()

    def _on_report(self) -> None:
        self._reporting_ns = -1
        self.report()

    def _update_queues(self) -> None:
        self._updating_ns = -1
        changed, self.changed = sorted(self.changed), set()
        for place in changed:
            node, rank = divmod(place, len(self.mac.functions))
            self.stations[node].backoffs[rank].on_queue_change()

    # The air.

    def gain(self, source: int, target: int, now_ns: int) -> float:
        """Return the gain of a pair at an instant, averaged over the subbands."""
        gain = self.setup.world.channel.gain_blocks(
            np.array([min(source, target)]),
            np.array([max(source, target)]),
            self.radio.sample(now_ns),
            1,
            self.setup.sample_ns,
        )[0, 0]
        total = gain[0]
        for band in range(1, gain.size):
            total = total + gain[band]
        return float(total / gain.size)

    def draw(self, source: int, node: int, number: int) -> float:
        """Return the draw of a receiver for a frame."""
        return float(uniforms(self.setup.error_key, source, node, number))

    def send(self, frame: Frame) -> None:
        """Put a frame on the air."""
        now = self.env.now_ns
        for other in self.frames:
            if other.end_ns > now:
                other.overlapping.append(frame)
                frame.overlapping.append(other)
        self.frames = [other for other in self.frames if other.end_ns > now]
        self.frames.append(frame)
        self.env.at(now + SENSE_NS, self._sense, late=_SENSE)
        self.env.at(frame.end_ns, partial(self._end, frame), late=_END)

    def _sense(self) -> None:
        """Let nodes in range detect frames that began together, in the order of their sources."""
        now = self.env.now_ns
        if self._sensed_ns == now:
            return
        self._sensed_ns = now
        begun = [frame for frame in self.frames if frame.start_ns + SENSE_NS == now]
        for frame in sorted(begun, key=lambda each: each.source):
            for node in frame.received_w:
                self.stations[node].sense(frame)

    def _end(self, frame: Frame) -> None:
        self.frames.remove(frame)
        self.stations[frame.source].on_own_frame_end(frame)
        for station in self.stations:
            if station.locked is frame:
                station.on_frame_end(frame)
        if frame.service is not None and not frame.needs_ack:
            self.stations[frame.source].on_multicast_end(frame)
        self.schedule_report()

    def power_w(self, node: int, excluded: Frame | None = None) -> float:
        """Return the mean power received at a node now, added in the order of transmission [W]."""
        return added(
            frame.received_w[node]
            for frame in sorted(self.frames, key=lambda each: (each.start_ns, each.source))
            if frame is not excluded and node in frame.received_w
        )

    def energy_until_ns(self, node: int) -> int:
        """Return until when frames on the air exceed a node's energy detection threshold [ns]."""
        now = self.env.now_ns
        ends = sorted({frame.end_ns for frame in self.frames})
        until = now
        for end in ends:
            power_w = added(
                frame.received_w[node]
                for frame in sorted(self.frames, key=lambda each: (each.start_ns, each.source))
                if node in frame.received_w and frame.end_ns >= end
            )
            if power_w >= self.radio.energy_w:
                until = end
        return until


class _Station:
    """A node and its local state."""

    def __init__(self, node: int, engine: Packet) -> None:
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
        self.engine.env.at(instant_ns, action, late=_BEGIN)

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
        if not backoff.queue:
            backoff.contends = False
            return
        due = [each for each in self.backoffs if each is backoff or each.due]
        for each in due:
            each.contends = bool(each.queue)
        winner, *others = [each for each in due if each.contends]
        self.freeze()
        winner.slots = 0
        self.send_packet(winner.queue[0])
        for each in others:
            each.queue[0].on_internal_collision()
            each.draw(each.queue[0].failures)

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

    # The air.

    def sense(self, frame: Frame) -> None:
        """Handle the detection of a frame: lock on to it, or find the medium busy."""
        if self.tx_end_ns > frame.start_ns:
            return
        engine, radio = self.engine, self.engine.radio
        other_w = engine.power_w(self.node, excluded=frame)
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
            engine.env.at(now + TIMEOUT_NS, partial(self.on_ack_timeout, frame), late=_TIMEOUT)
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
        if locked is not None and locked.service is None and self.node in locked.targets:
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
        backoff.contends = bool(backoff.queue)
        if backoff.queue:
            backoff.queue[0].begin(self.now)
        if self.locked is None:
            self.resume()
