"""The packet engine: events for every slot, carrier, frame and acknowledgement of every station.

Each station is an object that knows only what it hears. It counts its backoff slot by slot, and
looks through all frames of late for what disturbs it. Slow, and meant to be so simple that one
can see that it is right: the oracle of `windowed`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.contention import Contention
from wnsim.air.csma.frame import Frame
from wnsim.air.csma.radio import ACK_BITS
from wnsim.core.clock import LAST
from wnsim.core.invariants import at_once
from wnsim.core.streams import uniforms
from wnsim.core.units import to_s
from wnsim.phy.wifi import DIFS_NS, SENSE_NS, SIFS_NS, SLOT_NS, TIMEOUT_NS

if TYPE_CHECKING:
    from wnsim.air.air import Setup
    from wnsim.air.csma.service import Service
    from wnsim.air.flow import Flow

# How late in an instant, in the order of `contention`.
_END, _MISSING, _LIMIT, _SENSE, _BEGIN, _REPORT, _LOOK = range(LAST, LAST + 7)


class Packet(Contention):
    """An engine that looks at every slot of every station; see `Contention`."""

    def __init__(self, setup: Setup, ended: Callable[[Flow], None]) -> None:
        super().__init__(setup, ended)
        self.stations = [_Station(node, self) for node in range(setup.world.nodes)]
        self.frames: list[Frame] = []
        self._looking_ns = self._reporting_ns = self._sensed_ns = -1
        for station in self.stations:
            station.resume()

    # What `Contention` asks for.

    def wake(self) -> None:
        """Look at the stations whose queue has changed, at the end of this instant."""
        if self._looking_ns != self.env.now_ns:
            self._looking_ns = self.env.now_ns
            self.env.at(self.env.now_ns, self._look, late=_LOOK)

    def limit(self, instant_ns: int) -> None:
        """Take in that a flow has a limit at an instant."""
        self.env.at(instant_ns, self._limit, late=_LIMIT)

    def _limit(self) -> None:
        self.expire(self.env.now_ns)
        self.close()

    def close(self) -> None:
        """Report and look again at the end of this instant, if anything has ended."""
        if self.done and self._reporting_ns != self.env.now_ns:
            self._reporting_ns = self.env.now_ns
            self.env.at(self.env.now_ns, self._report_all, late=_REPORT)
        if self.fresh:
            self.wake()

    def _report_all(self) -> None:
        self._reporting_ns = -1
        self.report()

    def _look(self) -> None:
        self._looking_ns = -1
        fresh, self.fresh = sorted(self.fresh), set()
        for node in fresh:
            self.stations[node].look()

    # The air.

    def gain(self, source: int, target: int, now_ns: int) -> float:
        """Return the gain of a pair at an instant: the mean over the subbands."""
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
        """Return the draw of a receiver on a frame."""
        return float(uniforms(self.setup.error_key, source, node, number))

    def send(self, frame: Frame) -> None:
        """Put a frame on the air."""
        now = self.env.now_ns
        for other in self.frames:
            if other.end_ns > now:
                other.met.append(frame)
                frame.met.append(other)
        self.frames = [other for other in self.frames if other.end_ns > now]
        self.frames.append(frame)
        self.env.at(now + SENSE_NS, self._sense, late=_SENSE)
        self.env.at(frame.end_ns, partial(self._end, frame), late=_END)

    def _sense(self) -> None:
        """Let frames that began together be noticed, in the order of their sources."""
        now = self.env.now_ns
        if self._sensed_ns == now:
            return
        self._sensed_ns = now
        begun = [frame for frame in self.frames if frame.start_ns + SENSE_NS == now]
        for frame in sorted(begun, key=lambda each: each.source):
            for node in frame.heard_w:
                self.stations[node].sense(frame)

    def _end(self, frame: Frame) -> None:
        self.frames.remove(frame)
        self.stations[frame.source].sent(frame)
        for station in self.stations:
            if station.held is frame:
                station.release(frame)
        if frame.service is not None and not frame.asks:
            self.stations[frame.source].told(frame)
        self.close()

    def power_w(self, node: int, but: Frame | None = None) -> float:
        """Return the mean power that a node hears now, in the order in which it came up [W]."""
        return sum(
            frame.heard_w[node]
            for frame in sorted(self.frames, key=lambda each: (each.start_ns, each.source))
            if frame is not but and node in frame.heard_w
        )

    def loud_until_ns(self, node: int) -> int:
        """Return until when a node hears more than its threshold if nothing is added [ns]."""
        now = self.env.now_ns
        ends = sorted({frame.end_ns for frame in self.frames})
        until = now
        for end in ends:
            power_w = sum(
                frame.heard_w[node]
                for frame in sorted(self.frames, key=lambda each: (each.start_ns, each.source))
                if node in frame.heard_w and frame.end_ns >= end
            )
            if power_w >= self.radio.energy_w:
                until = end
        return until


class _Station:
    """A node, and what it knows."""

    def __init__(self, node: int, engine: Packet) -> None:
        self.node, self.engine = node, engine
        self.mac = engine.mac
        self.held: Frame | None = None
        self.frame: Frame | None = None
        self.talks_until_ns = 0
        self.busy_until_ns = 0
        self.penalty_until_ns = 0
        self.slots = 0
        self.contends = False
        self.asked_ns = 0
        self.backoffs = self.number = 0
        # The event that ends the present slot, or DIFS; older ones are void.
        self.clock = 0
        self.tick_ns = -1

    @property
    def now(self) -> int:
        return self.engine.env.now_ns

    @property
    def free_ns(self) -> int:
        return max(self.busy_until_ns, self.penalty_until_ns)

    # Backoff.

    def look(self) -> None:
        """Take in that the queue has changed."""
        queue = self.engine.queues[self.node]
        if self.frame is not None:
            return
        if not queue:
            self.contends = False
            return
        queue[0].begin(self.now)
        if not self.contends:
            self.contends = True
            if self.busy_until_ns > self.now and self.slots == 0:
                self.draw_backoff(0)
            elif self.slots == 0 and self.tick_ns < 0 and self.free_ns + DIFS_NS <= self.now:
                self.engine.env.at(self.now, partial(self.go, self.clock), late=_BEGIN)

    def draw_backoff(self, failures: int) -> None:
        draw = float(uniforms(self.engine.radio.backoff_key, self.node, self.node, self.backoffs))
        self.backoffs += 1
        self.slots = int(draw * (self.mac.window(failures) + 1))

    def resume(self) -> None:
        """Begin to wait for DIFS, once the medium falls idle."""
        self.clock += 1
        self.tick_ns = max(self.free_ns + DIFS_NS, self.now)
        self.engine.env.at(self.tick_ns, partial(self.tick, self.clock, True), late=_BEGIN)

    def stop(self) -> None:
        """Stop counting: the medium has become busy."""
        if self.tick_ns == self.now and self.now >= self.free_ns + DIFS_NS + SLOT_NS:
            self.slots = max(self.slots - 1, 0)
        self.clock += 1
        self.tick_ns = -1

    def tick(self, clock: int, first: bool) -> None:
        """Take in that DIFS or a slot has passed in silence."""
        if clock != self.clock:
            return
        if not first:
            self.slots -= 1
        self.tick_ns = -1
        if self.slots > 0:
            self.tick_ns = self.now + SLOT_NS
            self.engine.env.at(self.tick_ns, partial(self.tick, clock, False), late=_BEGIN)
        elif self.contends:
            self.go(clock)

    def go(self, clock: int) -> None:
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
        engine, radio, now = self.engine, self.engine.radio, self.now
        service.begin(now)
        payload = service.next_bits()
        targets = tuple(flow.target for flow in service.flows)
        quantile = service.stream.quantile
        heard_w = radio.heard_w(self.node, now)
        scheme = radio.scheme(self.node, targets, quantile, now)
        bits = radio.air_bits(payload)
        end = now + scheme.duration_ns(bits)
        nav = 0
        if not service.several:
            nav = end + SIFS_NS + radio.phy.control(scheme).duration_ns(ACK_BITS)
        frame = Frame(
            self.node, targets, self.number, now, end, scheme, bits, heard_w, nav, service,
            tuple(service.flows), payload,
        )  # fmt: skip
        self.number += 1
        self.frame = frame
        self.held = None
        self.talks_until_ns = self.busy_until_ns = end
        service.sent(now, end - now)
        radio.count(frame, engine.gain)
        engine.send(frame)

    # The air.

    def sense(self, frame: Frame) -> None:
        """Take in that a frame has been on the air for a while."""
        if self.talks_until_ns > frame.start_ns:
            return
        engine, radio = self.engine, self.engine.radio
        other_w = engine.power_w(self.node, but=frame)
        notable = radio.locks(self.node, frame.heard_w[self.node], other_w)
        if self.held is not None:
            if notable and radio.captures(self.node, frame, self.held):
                self.held = frame
                self.busy_until_ns = max(self.busy_until_ns, frame.end_ns)
            return
        until = self.now
        if notable:
            self.held = frame
            until = frame.end_ns
        else:
            until = engine.loud_until_ns(self.node)
        if until > self.now:
            self.stop()
            self.busy_until_ns = max(self.busy_until_ns, until)
            if not notable:
                self.resume()

    def sent(self, frame: Frame) -> None:
        """Take in the end of a frame of one's own."""
        engine, now = self.engine, self.now
        self.busy_until_ns = max(self.busy_until_ns, engine.loud_until_ns(self.node))
        if frame.asks:
            engine.env.at(now + TIMEOUT_NS, partial(self.missing, frame), late=_MISSING)
        elif frame.service is None:
            self.resume()

    def release(self, frame: Frame) -> None:
        """Take in the end of a frame that one has listened to."""
        engine, radio, now = self.engine, self.engine.radio, self.now
        self.held = None
        self.busy_until_ns = max(self.busy_until_ns, engine.loud_until_ns(self.node))
        if self.node in frame.targets:
            read = radio.arrives(self.node, frame, engine.gain, engine.draw)
        else:
            read = radio.reads(self.node, frame)
        if read:
            self.penalty_until_ns = 0
        else:
            ack_ns = radio.phy.slowest.duration_ns(ACK_BITS)
            self.penalty_until_ns = now + SIFS_NS + ack_ns
        if self.node in frame.targets and frame.service is None:
            mine = self.frame
            if mine is not None and mine.targets[0] == frame.source:
                self.answered(mine, read)
                return
        elif self.node in frame.targets and read:
            if self.talks_until_ns > frame.start_ns:
                raise at_once(engine.setup.world.names[self.node], to_s(now))
            frame.reached.append(self.node)
            if frame.asks:
                if frame.service is not None:
                    frame.service.reached = True
                self.busy_until_ns = max(self.busy_until_ns, frame.nav_ns)
                engine.env.at(now + SIFS_NS, partial(self.acknowledge, frame), late=_BEGIN)
                return
        elif read:
            self.busy_until_ns = max(self.busy_until_ns, frame.nav_ns)
        if self.frame is None:
            self.resume()

    def acknowledge(self, frame: Frame) -> None:
        """Answer a frame."""
        radio, now = self.engine.radio, self.now
        scheme = radio.phy.control(frame.scheme)
        heard_w = radio.heard_w(self.node, now)
        ack = Frame(
            self.node, (frame.source,), self.number, now, frame.nav_ns, scheme, ACK_BITS, heard_w
        )
        self.number += 1
        self.held = None
        self.talks_until_ns = self.busy_until_ns = frame.nav_ns
        self.engine.send(ack)

    def missing(self, frame: Frame) -> None:
        """Take in that it is too late for an acknowledgement to begin."""
        held = self.held
        if held is not None and held.service is None and self.node in held.targets:
            return
        self.answered(frame, False)
        self.engine.close()

    def answered(self, frame: Frame, arrived: bool) -> None:
        """Take in whether a frame was acknowledged."""
        service, now = frame.service, self.now
        if service is None or self.frame is not frame:
            return
        if arrived:
            service.succeed(frame.flows, frame.payload_bits, now)
        else:
            service.fail(frame.flows, frame.payload_bits, now)
        self.over(service)

    def told(self, frame: Frame) -> None:
        """Take in the end of a broadcast of one's own."""
        if frame.service is not None:
            frame.service.spread(frame.flows, frame.reached, frame.payload_bits, self.now)
            self.over(frame.service)

    def over(self, service: Service) -> None:
        """Go on after a packet has been dealt with, one way or the other."""
        self.frame = None
        self.engine.complete(service, self.now)
        self.busy_until_ns = max(self.busy_until_ns, self.now)
        self.draw_backoff(service.failures)
        queue = self.engine.queues[self.node]
        self.contends = bool(queue)
        if queue:
            queue[0].begin(self.now)
        if self.held is None:
            self.resume()
