"""Packet-by-packet service of a transmission, and the counters of its attempts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import to_s

if TYPE_CHECKING:
    from wnsim.air.csma.aggregate import Aggregate
    from wnsim.air.transmission import Attempt, Transmission
    from wnsim.mac.csma import Csma
    from wnsim.phy.wifi_formats import Scheme


# Length of an acknowledgement [bit].
ACK_BITS = 14 * 8


@dataclass(slots=True)
class Counters:
    """Counters of an attempt besides its own fields.

    Attributes
    ----------
    arrived_bits, dropped_bits : received; dropped at the retry limit [bit]
    air_ns, sent_ns, heard_ns, ack_ns : duration of successful exchanges; of all frames, at their
        share of the transmitter's power, and as their receiver listens to them; of the
        acknowledgements that answer them [ns]
    last_ns, last_bits : instant [ns] and size [bit] of the last reception
    """

    arrived_bits: int = 0
    dropped_bits: int = 0
    air_ns: int = 0
    sent_ns: int = 0
    heard_ns: int = 0
    ack_ns: int = 0
    last_ns: int = -1
    last_bits: int = 0


class Service:
    """The packets of a transmission.

    A transmission with several attempts is a multicast, or it is for one receiver, an access point
    that forwards it to several devices: it is then sent once, and acknowledged.

    Parameters
    ----------
    transmission : the transmission
    packet_bits : size of a packet; the last one may be shorter [bit]
    mac : retry rules
    trace : whether attempts record when their bits arrive

    Attributes
    ----------
    attempts : attempts under way, in order
    function : access function of the transmitter that sends them
    failures : failed exchanges of the current packet since its last restart
    tries : number of times that it was sent
    reached : whether the receiver has it, acknowledged or not
    on_air_ns : when its current frame began; -1 if there is none [ns]
    packets_on_air : number of packets in that frame, 0 in a request to send
    """

    def __init__(
        self, transmission: Transmission, packet_bits: int, mac: Csma, trace: bool
    ) -> None:
        self.transmission = transmission
        self.source = transmission.source
        self.function = mac.function_of(transmission.source, transmission.attempts[0].category)
        self.priority = transmission.attempts[0].priority
        self.serial = transmission.serial
        self.multicast = transmission.multicast
        self.attempts = list(transmission.attempts)
        self.counters = {attempt: Counters() for attempt in transmission.attempts}
        self.failures = self.tries = 0
        self.reached = False
        self.on_air_ns = -1
        self.packets_on_air = 0
        self._packet_bits = packet_bits
        self._mac = mac
        self._trace = trace

    @property
    def order(self) -> tuple[int, int]:
        """Sort key in a queue."""
        return (-self.priority, self.serial)

    def begin(self, now_ns: int) -> None:
        """Record that the transmission has reached the head of its queue."""
        for attempt in self.attempts:
            if attempt.started_ns < 0:
                attempt.started_ns = now_ns

    def aggregate(self, _scheme: Scheme, _longest_ns: int | None = None) -> Aggregate | None:
        """Return the packets of the next frame; none: it carries the current packet alone."""
        return None

    def shortest_bits(self) -> int:
        """Return the length of the shortest frame that may be sent next, with headers [bit]."""
        return 8 * (-(-self.next_bits() // 8) + self._mac.header_bytes)

    @property
    def answer_bits(self) -> int:
        """Length of an acknowledgement [bit]."""
        return ACK_BITS

    def next_bits(self) -> int:
        """Return the size of the current packet [bit]."""
        return min(
            self._packet_bits, max(self.remaining_bits(attempt) for attempt in self.attempts)
        )

    def remaining_bits(self, attempt: Attempt) -> int:
        """Return the number of bits of an attempt still to be sent."""
        counters = self.counters[attempt]
        return attempt.size_bits - counters.arrived_bits - counters.dropped_bits

    def on_request(self, now_ns: int, duration_ns: int) -> None:
        """Record that a request to send goes on the air."""
        self.on_air_ns = now_ns
        self.packets_on_air = 0
        for attempt in self.attempts:
            self._count(attempt, duration_ns)

    def on_sent(self, now_ns: int, duration_ns: int, power: float = 1.0) -> None:
        """Record that a packet goes on the air, as the first frame of an exchange or later.

        Parameters
        ----------
        now_ns, duration_ns : beginning and duration of its frame [ns]
        power : share of the transmitter's power
        """
        if self.on_air_ns < 0:
            self.on_air_ns = now_ns
        self.packets_on_air = 1
        for attempt in self.attempts:
            attempt.sent += 1
            attempt.repeated += self.tries > 0
            self._count(attempt, duration_ns, power)
        self.tries += 1

    def on_reached(self, attempts: tuple[Attempt, ...], ack_ns: int) -> None:
        """Record that the receiver has the current packet and answers with an acknowledgement."""
        self.reached = True
        self.on_answer(attempts, ack_ns)

    def on_answer(self, attempts: tuple[Attempt, ...], ack_ns: int) -> None:
        """Record that the receiver answers a frame."""
        for attempt in attempts:
            if attempt in self.counters:
                self.counters[attempt].ack_ns += ack_ns

    def _receive(self, attempt: Attempt, bits: int, now_ns: int) -> None:
        """Record that a frame delivered bits of an attempt."""
        counters = self.counters[attempt]
        counters.air_ns += now_ns - self.on_air_ns
        self._credit(attempt, bits, now_ns)

    def _lose(self, attempt: Attempt, now_ns: int) -> None:
        """Record that a frame delivered nothing of an attempt."""
        attempt.failed += self.packets_on_air
        attempt.failed_ns += now_ns - self.on_air_ns

    def on_ack(self, attempts: tuple[Attempt, ...], bits: int, now_ns: int) -> None:
        """Record the acknowledgement of the current packet."""
        for attempt in attempts:
            if attempt in self.counters:
                self._receive(attempt, bits, now_ns)
        self._next()

    def on_failure(self, attempts: tuple[Attempt, ...], bits: int, now_ns: int) -> None:
        """Record a missing answer; at the retry limit, drop or restart the packet."""
        self.failures += 1
        last = self.failures >= self._mac.retry_limit
        for attempt in attempts:
            if attempt not in self.counters:
                continue
            self._lose(attempt, now_ns)
            if last and self.reached:
                self._credit(attempt, bits, now_ns)
            elif last and not self._mac.arq:
                self.counters[attempt].dropped_bits += min(bits, self.remaining_bits(attempt))
        if last and self._mac.arq and not self.reached:
            self.failures = 0
            self.on_air_ns = -1
        elif last:
            self._next()
        else:
            self.on_air_ns = -1

    def on_internal_collision(self) -> None:
        """Record that a higher category of the same station sends in place of this one.

        The window grows as after a failure. No packet is lost, not even at the retry limit, at
        which the window restarts.
        """
        if not self.multicast:
            self.failures = (self.failures + 1) % self._mac.retry_limit

    def on_multicast(
        self, attempts: tuple[Attempt, ...], reached: list[int], bits: int, now_ns: int
    ) -> None:
        """Record the end of a multicast frame."""
        for attempt in attempts:
            if attempt in self.counters:
                if attempt.target in reached:
                    self._receive(attempt, bits, now_ns)
                else:
                    self._lose(attempt, now_ns)
        self._next()

    def complete(self) -> list[Attempt]:
        """Return the attempts with no bits left to send."""
        return [attempt for attempt in self.attempts if self.remaining_bits(attempt) == 0]

    def acked_bits(self, attempt: Attempt, now_ns: int) -> int:
        """Return the number of bits of an attempt received before an instant."""
        counters = self.counters[attempt]
        return counters.arrived_bits - (counters.last_bits if counters.last_ns >= now_ns else 0)

    def close(self, attempt: Attempt, now_ns: int) -> None:
        """Write the outcome of an attempt that ends."""
        done = self.remaining_bits(attempt) == 0
        counters = self.counters.pop(attempt)
        self.attempts.remove(attempt)
        if not done and self.on_air_ns >= 0:
            attempt.failed += self.packets_on_air
            attempt.failed_ns += now_ns - self.on_air_ns
        attempt.delivered = done and not counters.dropped_bits
        if done and not attempt.delivered:
            attempt.limit_reason = "retry-limit"
        attempt.acked_bits = counters.arrived_bits
        attempt.airtime_s = to_s(counters.sent_ns)
        # Attempts with one receiver share its time, and the acknowledgements.
        if self.multicast or not self.attempts:
            attempt.receiving_s = to_s(counters.heard_ns)
            attempt.ack_s = to_s(counters.ack_ns)
        if attempt.started_ns >= 0:
            attempt.access_ns = now_ns - attempt.started_ns - attempt.failed_ns - counters.air_ns

    def _count(self, attempt: Attempt, duration_ns: int, power: float = 1.0) -> None:
        """Add the duration of a frame to an attempt [ns]."""
        counters = self.counters[attempt]
        counters.sent_ns += round(duration_ns * power)
        counters.heard_ns += duration_ns

    def _credit(self, attempt: Attempt, bits: int, now_ns: int) -> None:
        """Add received bits to an attempt."""
        counters = self.counters[attempt]
        counters.last_bits = min(bits, self.remaining_bits(attempt))
        counters.last_ns = now_ns
        counters.arrived_bits += counters.last_bits
        if self._trace:
            attempt.progress.append((np.array([now_ns]), np.array([counters.last_bits])))

    def _next(self) -> None:
        """Advance to the next packet."""
        self.failures = self.tries = 0
        self.reached = False
        self.on_air_ns = -1
