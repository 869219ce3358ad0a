"""A station that takes part in exchanges of several stations, or the access point that begins them.

See `wnsim.air.csma.multi_user` for the exchanges, and `wnsim.mac.multi_user` for their rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from wnsim.air.csma import multi_user_frames as frames
from wnsim.air.csma.multi_user import MOST_MISSES, Planner
from wnsim.air.csma.plan import Candidate
from wnsim.air.csma.radio import added
from wnsim.air.csma.service import ACK_BITS
from wnsim.air.csma.station import TIMEOUT, Engine, Station
from wnsim.core.units import to_ns
from wnsim.mac.multi_user import MultiUser
from wnsim.phy.wifi import SIFS_NS, TIMEOUT_NS

if TYPE_CHECKING:
    from wnsim.air.csma.frame import Exchange, Frame
    from wnsim.air.csma.service import Service
    from wnsim.air.csma.slot_backoff import SlotBackoff


@dataclass(slots=True)
class Report:
    """What an access point knows to wait at a station.

    Parameters
    ----------
    bits : size of the first message for the access point [bit]
    misses : triggers in a row since then that only others have answered
    """

    bits: int
    misses: int = 0


class MultiUserStation(Station):
    """A station that may be triggered; an access point also triggers.

    Parameters
    ----------
    node : its number
    engine : the engine
    planner : choice of stations and resource units
    """

    def __init__(self, node: int, engine: Engine, planner: Planner) -> None:
        super().__init__(node, engine)
        self._planner = planner
        self._rules = engine.mac.ofdma or MultiUser()
        self.is_access_point = node in engine.setup.world.stations
        self._exchange: Exchange | None = None
        count = len(self.backoffs)
        # Of each access function: reports by station, failures in a row, and the last direction.
        self._reports: list[dict[int, Report]] = [{} for _ in range(count)]
        self._failures = [0] * count
        self._was_uplink = [False] * count

    # Access.

    def polls(self, place: int) -> bool:
        """Return whether it has a trigger frame to send by an access function."""
        reports = self._reports[place % len(self._reports)]
        return self._rules.uplink and len(reports) >= self._rules.fewest

    def prepared(self, backoff: SlotBackoff) -> Callable[[], None] | None:
        """Return how to begin an exchange with several stations, or to send the first packet."""
        exchange = self._next_exchange(backoff) if self.is_access_point else None
        if exchange is not None:
            return partial(self._begin, exchange)
        return super().prepared(backoff) if backoff.queue else None

    def on_internal_collision(self, backoff: SlotBackoff) -> None:
        """Let a backoff begin anew that has ended together with that of a higher category."""
        if backoff.queue:
            super().on_internal_collision(backoff)
        else:
            backoff.draw(0)

    def _next_exchange(self, backoff: SlotBackoff) -> Exchange | None:
        """Return an exchange in the direction whose turn it is; none: a frame to one station."""
        place, now = backoff.place, self.now
        rank = place % len(self.backoffs)
        uplink = self.polls(place) and not (backoff.queue and self._was_uplink[rank])
        self._was_uplink[rank] = uplink
        if uplink:
            reports = self._reports[rank]
            waiting = [Candidate(node, report.bits) for node, report in reports.items()]
            plan = self._planner.uplink(self.node, place, waiting[: self._planner.most], now)
            if plan is not None:
                return frames.uplink(self.node, place, plan, now)
            # No packet of these stations fits in an exchange: they contend themselves.
            reports.clear()
        if not backoff.queue or not self._rules.downlink or backoff.queue[0].multicast:
            return None
        first: dict[int, Service] = {}
        for service in backoff.queue:
            if not service.multicast and len(first) < self._planner.most:
                first.setdefault(service.attempts[0].target, service)
        candidates = [
            Candidate(node, _longest_bits(service), service.shortest_bits())
            for node, service in first.items()
        ]
        plan = self._planner.downlink(self.node, place, candidates, now)
        if plan is None:
            return None
        radio = self.engine.radio
        return frames.downlink(radio, self.node, place, plan, first, self.number, now)

    def _begin(self, exchange: Exchange) -> None:
        """Send the first frame of an exchange."""
        self._exchange = exchange
        if exchange.packets is None:
            self._send_trigger(exchange)
            return
        for part in exchange.packets.parts.values():
            if part.service is not None:
                part.service.on_sent(
                    self.now, exchange.packets.end_ns - exchange.packets.start_ns, part.power
                )
            self.engine.radio.record_sent(part, self.engine.gain)
        self.send(exchange.packets)

    def _send_trigger(self, exchange: Exchange) -> None:
        """Send the trigger frame of an exchange."""
        self.send(frames.trigger(self.engine.radio, exchange, self.number, self.now))

    # Exchanges, as the access point.

    def on_own_frame_end(self, frame: Frame) -> None:
        """Handle the end of an own frame: go on with the exchange to which it belongs."""
        super().on_own_frame_end(frame)
        exchange = frame.exchange
        if exchange is None or exchange is not self._exchange:
            return
        if frame is exchange.packets:
            self.begin_at(self.now + SIFS_NS, partial(self._send_trigger, exchange))
        elif frame is exchange.trigger:
            expire = partial(self._on_trigger_timeout, exchange)
            self.engine.env.at(self.now + TIMEOUT_NS, expire, late=TIMEOUT)
        else:
            self._finish(exchange)

    def _on_trigger_timeout(self, exchange: Exchange) -> None:
        """End an exchange in which no station is heard."""
        if exchange is self._exchange and self.locked not in exchange.group:
            self._finish(exchange)
            self.engine.schedule_report()

    def on_triggered(self, exchange: Exchange) -> None:
        """Acknowledge the packets of the stations, or take note of their acknowledgements."""
        if exchange is not self._exchange:
            return
        if exchange.packets is not None or not exchange.heard:
            self._finish(exchange)
            return
        bits = self._planner.answer_bits(len(exchange.heard))
        for sent in exchange.group:
            if sent.source in exchange.heard and sent.service is not None:
                sent.service.on_reached(sent.attempts, exchange.plan.control.duration_ns(bits))
        self.begin_at(self.now + SIFS_NS, partial(self._send_answer, exchange, bits))

    def _send_answer(self, exchange: Exchange, bits: int) -> None:
        """Acknowledge packets of several stations."""
        self.send(frames.answer(self.engine.radio, exchange, bits, self.number, self.now))

    def _finish(self, exchange: Exchange) -> None:
        """Take note of the results of an exchange, and contend for the next one."""
        engine, now = self.engine, self.now
        self._exchange = self.frame = None
        rank = exchange.function % len(self.backoffs)
        self._failures[rank] += 1
        if exchange.heard:
            self._failures[rank] = 0
        last = self._failures[rank] == engine.mac.retry_limit
        self._failures[rank] %= engine.mac.retry_limit
        if exchange.packets is None:
            self._count_misses(exchange, self._reports[rank], last)
        else:
            for node, part in exchange.packets.parts.items():
                if part.service is not None:
                    heard = node in exchange.heard
                    tell = part.service.on_ack if heard else part.service.on_failure
                    tell(part.attempts, part.payload_bits, now)
                    engine.end_complete(part.service, now)
        self.busy_ns = max(self.busy_ns, now)
        self._contend(self.backoffs[rank], self._failures[rank])
        if self.locked is None:
            self.resume()

    def _count_misses(self, exchange: Exchange, reports: dict[int, Report], last: bool) -> None:
        """Forget the reports of stations that no longer answer triggers.

        A trigger that nobody answers has collided; at the retry limit, it is the last one.
        """
        for node in exchange.users:
            report = reports.get(node)
            if report is not None:
                report.misses += bool(exchange.heard)
                if node in exchange.heard:
                    report.misses = 0
                if last or report.misses >= MOST_MISSES:
                    del reports[node]

    def _contend(self, backoff: SlotBackoff, failures: int) -> None:
        """Draw a backoff and contend, if there is something to send."""
        backoff.draw(failures)
        backoff.contends = backoff.wanted
        if backoff.queue:
            backoff.queue[0].begin(self.now)

    def _on_reports(self, node: int, bits: list[int]) -> None:
        """Take note of what waits at a station, by access function [bit]."""
        for backoff, reports, message in zip(self.backoffs, self._reports, bits, strict=True):
            # Those that reported first come first.
            reports.pop(node, None)
            if message:
                reports[node] = Report(message)
            if self.frame is None and backoff.wanted and not backoff.contends:
                backoff.contends = True
                if not backoff.slots:
                    backoff.draw(0)
                if self.locked is None:
                    backoff.resume()

    # Exchanges, as one of the stations.

    def sense(self, frame: Frame) -> None:
        """Handle the detection of a frame; frames of triggered stations have one preamble."""
        group = frame.group
        if not group:
            super().sense(frame)
            return
        if self.tx_end_ns > frame.start_ns or self.locked is not None:
            return
        engine = self.engine
        power_w = added(each.received_w.get(self.node, 0.0) for each in group)
        other_w = engine.power_w(self.node, excluded=group)
        until = engine.energy_until_ns(self.node)
        locks = engine.radio.locks(self.node, power_w, other_w)
        if locks:
            self.locked = frame
            until = frame.end_ns
        if until > self.now:
            self.freeze()
            self.busy_ns = max(self.busy_ns, until)
            if not locks:
                self.resume()

    def on_frame_end(self, frame: Frame) -> None:
        """Handle the end of the frame to which the receiver is locked."""
        exchange = frame.exchange
        if exchange is None or self.node not in frame.targets:
            super().on_frame_end(frame)
        elif frame.group:
            self._on_group_end(exchange)
        elif frame is exchange.packets or frame is exchange.trigger:
            self._on_request_end(frame, exchange)
        else:
            super().on_frame_end(frame)

    def _on_group_end(self, exchange: Exchange) -> None:
        """Receive the frames of triggered stations."""
        self._end_reception()
        engine = self.engine
        for frame in exchange.group:
            if self.node in frame.received_w and engine.radio.receives(
                self.node, frame, engine.gain, engine.draw
            ):
                exchange.heard.add(frame.source)
        self._free_after(bool(exchange.heard))
        if exchange is not self._exchange and self.frame is None:
            self.resume()

    def _on_request_end(self, frame: Frame, exchange: Exchange) -> None:
        """Receive packets, or a trigger frame, as one of several stations."""
        self._end_reception()
        engine, now = self.engine, self.now
        decoded = engine.radio.receives(self.node, frame, engine.gain, engine.draw)
        self._free_after(decoded)
        if decoded:
            part = frame.parts.get(self.node)
            if part is not None and part.service is not None:
                part.service.on_reached(part.attempts, 0)
            self.busy_ns = max(self.busy_ns, frame.nav_ns)
            if part is None and self.nav_ns <= now and self.frame is None:
                self.begin_at(now + SIFS_NS, partial(self._answer_trigger, exchange))
        if self.frame is None:
            self.resume()

    def _end_reception(self) -> None:
        """Release the receiver."""
        self.locked = None
        self.busy_ns = max(self.busy_ns, self.engine.energy_until_ns(self.node))

    def _free_after(self, decoded: bool) -> None:
        """Set the extended interframe space after a frame that could not be decoded."""
        answer_ns = self.engine.radio.phy.slowest.duration_ns(ACK_BITS)
        self.eifs_ns = 0 if decoded else self.now + SIFS_NS + answer_ns

    def _answer_trigger(self, exchange: Exchange) -> None:
        """Send what a trigger frame requests, if there is something."""
        if self.frame is not None or self.tx_end_ns > self.now:
            return
        radio, packets = self.engine.radio, exchange.packets
        if packets is not None:
            part, bits = packets.parts[self.node], self._planner.acknowledgement_bits
            frame = frames.triggered_answer(radio, exchange, self.node, self.number, bits)
            if part.service is not None:
                duration_ns = frame.parts[exchange.source].end_ns - self.now
                part.service.on_answer(part.attempts, duration_ns)
            self.transmit(frame)
            return
        rank = exchange.function % len(self.backoffs)
        service = self._first_for(exchange.source, rank)
        if service is None or not frames.fits(exchange, self.node, service):
            return
        self.freeze()
        service.begin(self.now)
        frame = frames.triggered_packets(radio, exchange, self.node, service, self.number)
        service.on_sent(self.now, frame.end_ns - self.now)
        radio.record_sent(frame.parts[exchange.source], self.engine.gain)
        self.send(frame)

    def _first_for(self, target: int, rank: int) -> Service | None:
        """Return the first message for a receiver in a queue."""
        for service in self.backoffs[rank].queue:
            if not service.multicast and service.attempts[0].target == target:
                return service
        return None

    def on_ack_result(self, frame: Frame, arrived: bool) -> None:
        """Record whether a frame was answered; report what waits to an access point."""
        service = frame.service
        if service is None or self.frame is not frame:
            return
        if frame.exchange is None:
            super().on_ack_result(frame, arrived)
        else:
            self._on_triggered_result(frame, service, arrived)
        # A clear to send carries no report.
        if arrived and frame.announced is None:
            self._report(frame.targets[0])

    def _on_triggered_result(self, frame: Frame, service: Service, arrived: bool) -> None:
        """Record whether a triggered frame was acknowledged."""
        now = self.now
        backoff = self.backoffs[service.function % len(self.backoffs)]
        if arrived:
            service.on_ack(frame.attempts, frame.payload_bits, now)
            backoff.hold_ns = now + to_ns(1e-3 * self._rules.timer_ms)
        else:
            service.on_failure(frame.attempts, frame.payload_bits, now)
        self.frame = None
        self.engine.end_complete(service, now)
        self.busy_ns = max(self.busy_ns, now)
        if not backoff.slots:
            backoff.draw(service.failures)
        backoff.contends = backoff.wanted
        if backoff.queue:
            backoff.queue[0].begin(now)
        if self.locked is None:
            self.resume()

    def _report(self, target: int) -> None:
        """Report what waits for an access point."""
        station = self.engine.stations[target]
        if isinstance(station, MultiUserStation) and station.is_access_point:
            waiting = [self._first_for(target, rank) for rank in range(len(self.backoffs))]
            station._on_reports(
                self.node,
                [0 if each is None else _longest_bits(each) for each in waiting],
            )


def _longest_bits(service: Service) -> int:
    """Return how much of a message is left [bit]."""
    return max(map(service.remaining_bits, service.attempts))
