"""Service of a transmission in aggregates, with selective retransmission of packets.

A block acknowledgement tells the sender all packets that the receiver has, those of earlier frames
included. Packets that it lacks go into the next frame; without a block acknowledgement all do. The
contention window grows only without one, and restarts after `retry_limit` such failures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wnsim.air.csma.aggregate import Mpdu
from wnsim.air.csma.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wnsim.air.csma.aggregate import Aggregate, Aggregator
    from wnsim.air.transmission import Attempt, Transmission
    from wnsim.mac.csma import Csma
    from wnsim.phy.wifi_formats import Scheme


class AggregatedService(Service):
    """The packets of a transmission to one receiver, several in a frame; see `Service`.

    Parameters
    ----------
    transmission : the transmission
    packet_bits : size of a packet; the last one may be shorter [bit]
    mac : retry rules
    trace : whether attempts record when their bits arrive
    aggregator : limits of an aggregate

    Attributes
    ----------
    failures : frames without a block acknowledgement in a row, since the last restart
    """

    def __init__(
        self,
        transmission: Transmission,
        packet_bits: int,
        mac: Csma,
        trace: bool,
        aggregator: Aggregator,
    ) -> None:
        super().__init__(transmission, packet_bits, mac, trace)
        self._aggregator = aggregator
        self._pending: list[Mpdu] = []
        self._size_bits = transmission.attempts[0].size_bits
        self._cut = self._cut_bits = 0
        self._sent: Aggregate | None = None

    def aggregate(self, scheme: Scheme, longest_ns: int | None = None) -> Aggregate | None:
        """Return the packets of the next frame.

        Parameters
        ----------
        scheme : modulation and coding scheme
        longest_ns : largest duration of a frame of several packets; none: that of all [ns]
        """
        self._sent = self._aggregator.build(self._window(), scheme, longest_ns)
        new = [packet for packet in self._sent.packets if packet.place >= self._cut]
        self._pending += new
        self._cut += len(new)
        self._cut_bits += sum([packet.bits for packet in new])
        return self._sent

    def shortest_bits(self) -> int:
        """Return the length of a frame with the first packet alone [bit]."""
        return self._aggregator.packet_bits(next(self._window()))

    @property
    def answer_bits(self) -> int:
        """Length of a block acknowledgement [bit]."""
        return self._aggregator.answer_bits

    def _window(self) -> Iterator[Mpdu]:
        """Yield the packets that may be sent: those sent before, and new ones."""
        yield from self._pending
        place, left_bits = self._cut, self._size_bits - self._cut_bits
        first = self._pending[0].place if self._pending else place
        while left_bits and place - first < self._aggregator.window:
            bits = min(self._packet_bits, left_bits)
            yield Mpdu(place, bits)
            place += 1
            left_bits -= bits

    def on_sent(self, now_ns: int, duration_ns: int, power: float = 1.0) -> None:
        """Record that packets go on the air; see `Service.on_sent`."""
        if self.on_air_ns < 0:
            self.on_air_ns = now_ns
        self.packets_on_air = len(self._packets)
        for attempt in self.attempts:
            attempt.sent += len(self._packets)
            attempt.repeated += sum([packet.tries > 0 for packet in self._packets])
            self._count(attempt, duration_ns, power)
        for packet in self._packets:
            packet.tries += 1

    def on_reached(self, attempts: tuple[Attempt, ...], ack_ns: int) -> None:
        """Record the packets that the receiver has and answers."""
        super().on_reached(attempts, ack_ns)
        if self._sent is not None:
            for packet, arrived in zip(self._sent.packets, self._sent.arrived, strict=True):
                packet.reached |= arrived

    def on_ack(self, attempts: tuple[Attempt, ...], bits: int, now_ns: int) -> None:
        """Record a block acknowledgement."""
        self.failures = 0
        lost = [packet for packet in self._packets if not packet.reached]
        failed_ns = (now_ns - self.on_air_ns) * len(lost) // len(self._packets)
        for attempt in attempts:
            if attempt in self.counters:
                attempt.failed += len(lost)
                attempt.failed_ns += failed_ns
                self.counters[attempt].air_ns += now_ns - self.on_air_ns - failed_ns
        self._settle(attempts, lost, [each for each in self._pending if each.reached], now_ns)
        self.on_air_ns = -1

    def on_failure(self, attempts: tuple[Attempt, ...], bits: int, now_ns: int) -> None:
        """Record a missing answer."""
        self.failures = (self.failures + 1) % self._mac.retry_limit
        for attempt in attempts:
            if attempt in self.counters:
                self._lose(attempt, now_ns)
        self._settle(attempts, self._packets, [], now_ns)
        self.on_air_ns = -1

    @property
    def _packets(self) -> list[Mpdu]:
        """Packets of the last frame."""
        return [] if self._sent is None else self._sent.packets

    def _settle(
        self, attempts: tuple[Attempt, ...], lost: list[Mpdu], known: list[Mpdu], now_ns: int
    ) -> None:
        """Credit packets known to be received; drop or restart others at the retry limit."""
        done, dropped_bits = set(known), 0
        for packet in lost:
            packet.failures += 1
            if packet.failures < self._mac.retry_limit:
                continue
            if packet.reached:
                done.add(packet)
            elif self._mac.arq:
                packet.failures = 0
            else:
                dropped_bits += packet.bits
                self._pending.remove(packet)
        done_bits = sum([packet.bits for packet in done])
        self._pending = [packet for packet in self._pending if packet not in done]
        for attempt in attempts:
            if attempt in self.counters:
                self.counters[attempt].dropped_bits += dropped_bits
                if done:
                    self._credit(attempt, done_bits, now_ns)
