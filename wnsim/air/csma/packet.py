"""Packet-level CSMA engine: events for every slot, carrier detection, frame and acknowledgement.

Each station is an object that knows only what it receives. It counts its backoff slot by slot and
sums interference over all recent frames. Slow and simple: the oracle of `windowed`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.contention import Contention
from wnsim.air.csma.exchange import answer, first_frame
from wnsim.air.csma.frame import ACK_BITS, Frame
from wnsim.core.clock import LAST
from wnsim.core.invariants import half_duplex_violation
from wnsim.core.streams import uniforms
from wnsim.core.units import to_s
from wnsim.phy.wifi import DIFS_NS, SENSE_NS, SIFS_NS, SLOT_NS, TIMEOUT_NS

if TYPE_CHECKING:
    from wnsim.air.csma.service import Service
    from wnsim.air.setup import Setup
    from wnsim.air.transmission import Attempt

# Priority within an instant, in the order given in `contention`.
_END, _TIMEOUT, _EXPIRE, _SENSE, _BEGIN, _REPORT, _UPDATE = range(LAST, LAST + 7)


class Packet(Contention):
    """An engine that simulates every slot of every station; see `Contention`."""

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        super().__init__(setup, ended)
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
        for node in changed:
            self.stations[node].on_queue_change()

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
        return sum(
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
            power_w = sum(
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
        self.mac = engine.mac
        self.locked: Frame | None = None
        self.frame: Frame | None = None
        self.tx_end_ns = 0
        self.busy_ns = 0
        self.eifs_ns = self.nav_ns = 0
        self.slots = 0
        self.contends = False
        self.asked_ns = 0
        self.backoffs = self.number = 0
        # Number of the event that ends the current slot or DIFS; earlier ones are void.
        self.clock = 0
        self.tick_ns = -1

    @property
    def now(self) -> int:
        return self.engine.env.now_ns

    @property
    def free_ns(self) -> int:
        return max(self.busy_ns, self.eifs_ns)

    # Backoff.

    def on_queue_change(self) -> None:
        """Begin or stop contending after a change of the queue."""
        queue = self.engine.queues[self.node]
        if self.frame is not None:
            return
        if not queue:
            self.contends = False
            return
        queue[0].begin(self.now)
        if not self.contends:
            self.contends = True
            if self.busy_ns > self.now and self.slots == 0:
                self.draw_backoff(0)
            elif self.slots == 0 and self.tick_ns < 0 and self.free_ns + DIFS_NS <= self.now:
                self.engine.env.at(self.now, partial(self.start, self.clock), late=_BEGIN)

    def draw_backoff(self, failures: int) -> None:
        draw = float(uniforms(self.engine.radio.backoff_key, self.node, self.node, self.backoffs))
        self.backoffs += 1
        self.slots = int(draw * (self.mac.contention_window(failures) + 1))

    def resume(self) -> None:
        """Wait for DIFS after the medium falls idle."""
        self.clock += 1
        self.tick_ns = max(self.free_ns + DIFS_NS, self.now)
        self.engine.env.at(self.tick_ns, partial(self.tick, self.clock, True), late=_BEGIN)

    def freeze(self) -> None:
        """Freeze the backoff: the medium has become busy."""
        if self.tick_ns == self.now and self.now >= self.free_ns + DIFS_NS + SLOT_NS:
            self.slots = max(self.slots - 1, 0)
        self.clock += 1
        self.tick_ns = -1

    def tick(self, clock: int, first: bool) -> None:
        """Handle the end of DIFS or of an idle slot."""
        if clock != self.clock:
            return
        if not first:
            self.slots -= 1
        self.tick_ns = -1
        if self.slots > 0:
            self.tick_ns = self.now + SLOT_NS
            self.engine.env.at(self.tick_ns, partial(self.tick, clock, False), late=_BEGIN)
        elif self.contends:
            self.start(clock)

    def start(self, clock: int) -> None:
        """Send the packet at the head of the queue."""
        queue = self.engine.queues[self.node]
        if clock != self.clock or not self.contends or self.frame is not None:
            return
        if not queue:
            self.contends = False
            return
        self.clock += 1
        self.tick_ns = -1
        self.send_packet(queue[0])

    def send_packet(self, service: Service) -> None:
        engine, now = self.engine, self.now
        service.begin(now)
        frame = first_frame(engine.radio, service, self.node, self.number, now)
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
        service.on_sent(self.now, frame.end_ns - self.now)
        self.engine.radio.record_sent(frame, self.engine.gain)
        self.send(frame)

    def send(self, frame: Frame) -> None:
        """Send a frame that is the station's own, not an answer."""
        self.frame = frame
        self.transmit(frame)

    def transmit(self, frame: Frame) -> None:
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
                engine.env.at(now + SIFS_NS, partial(self.send_answer, frame), late=_BEGIN)
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
        if arrived and frame.announced is not None:
            self.frame = frame.announced
            send = partial(self.send_announced, frame.announced, service)
            self.engine.env.at(now + SIFS_NS, send, late=_BEGIN)
            return
        if arrived:
            service.on_ack(frame.attempts, frame.payload_bits, now)
        else:
            service.on_failure(frame.attempts, frame.payload_bits, now)
        self.finish_packet(service)

    def on_multicast_end(self, frame: Frame) -> None:
        """Handle the end of an own multicast frame."""
        if frame.service is not None:
            frame.service.on_multicast(frame.attempts, frame.reached, frame.payload_bits, self.now)
            self.finish_packet(frame.service)

    def finish_packet(self, service: Service) -> None:
        """Draw a new backoff after a frame and contend for the next packet, if there is one."""
        self.frame = None
        self.engine.end_complete(service, self.now)
        self.busy_ns = max(self.busy_ns, self.now)
        self.draw_backoff(service.failures)
        queue = self.engine.queues[self.node]
        self.contends = bool(queue)
        if queue:
            queue[0].begin(self.now)
        if self.locked is None:
            self.resume()
