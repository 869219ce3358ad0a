"""Packet-level CSMA engine: events for every slot, carrier detection, frame and acknowledgement.

Each station is an object that knows only what it receives. It counts its backoff slot by slot and
sums interference over all recent frames. Slow and simple: the oracle of `windowed`.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.aggregated_service import AggregatedService
from wnsim.air.csma.contention import Contention
from wnsim.air.csma.multi_user import planner_of
from wnsim.air.csma.multi_user_station import MultiUserStation
from wnsim.air.csma.radio import added
from wnsim.air.csma.service import Service
from wnsim.air.csma.station import END, EXPIRE, REPORT, SENSE, UPDATE, Station
from wnsim.core.streams import uniforms
from wnsim.phy.wifi import SENSE_NS

if TYPE_CHECKING:
    from wnsim.air.csma.frame import Frame
    from wnsim.air.setup import Setup
    from wnsim.air.transmission import Attempt, Transmission


class Packet(Contention):
    """An engine that simulates every slot of every station; see `Contention`."""

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        super().__init__(setup, ended)
        self.queues: dict[int, list[Service]] = defaultdict(list)
        self._service: dict[Attempt, Service] = {}
        self.stations = self._stations(setup)
        self.frames: list[Frame] = []
        self._updating_ns = self._reporting_ns = self._sensed_ns = -1
        for station in self.stations:
            station.resume()

    def _stations(self, setup: Setup) -> list[Station]:
        """Return a station for each node."""
        nodes, planner = range(setup.world.nodes), planner_of(setup, self.radio)
        if planner is None:
            return [Station(node, self) for node in nodes]
        return [MultiUserStation(node, self, planner) for node in nodes]

    # Required by `Contention`.

    def wake(self) -> None:
        """Schedule the processing of changed queues at the end of this instant."""
        if self._updating_ns != self.env.now_ns:
            self._updating_ns = self.env.now_ns
            self.env.at(self.env.now_ns, self._update_queues, late=UPDATE)

    def on_limit(self, instant_ns: int) -> None:
        """Schedule the handling of a limit of an attempt at an instant [ns]."""
        self.env.at(instant_ns, self._expire, late=EXPIRE)

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
            self.env.at(self.env.now_ns, self._on_report, late=REPORT)
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
        self.env.at(now + SENSE_NS, self._sense, late=SENSE)
        self.env.at(frame.end_ns, partial(self._end, frame), late=END)

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
        if not any(other in self.frames for other in frame.group):
            ended = frame.group or [frame]
            for station in self.stations:
                if station.locked in ended:
                    station.on_frame_end(frame)
            if frame.group and frame.exchange is not None:
                self.stations[frame.exchange.source].on_triggered(frame.exchange)
        if frame.service is not None and not frame.needs_ack:
            self.stations[frame.source].on_multicast_end(frame)
        self.schedule_report()

    def power_w(self, node: int, excluded: Collection[Frame] = ()) -> float:
        """Return the mean power received at a node now, added in the order of transmission [W]."""
        return added(
            frame.received_w[node]
            for frame in sorted(self.frames, key=lambda each: (each.start_ns, each.source))
            if frame not in excluded and node in frame.received_w
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
