"""Station in the contention rounds of a clique: its full packets and their outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wnsim.phy.wifi import SIFS_NS

if TYPE_CHECKING:
    from wnsim.air.csma.service import Service
    from wnsim.air.transmission import Attempt
    from wnsim.mac.csma import Csma
    from wnsim.phy.wifi_formats import Scheme


@dataclass(slots=True)
class Sender:
    """A station's current transmission, the duration of its full packets, and their outcome.

    Parameters
    ----------
    service, attempt, target : its transmission, and the receiver
    remaining : full packets to be received before the last packet
    bits, data, ack : length of packets with headers [bit]; modulation and coding scheme of packets
        and of acknowledgements
    data_ns, exchange_ns : duration of a packet, and of a packet with its acknowledgement [ns]
    error_free : whether packets and acknowledgements are always received in absence of collisions

    Attributes
    ----------
    resent : whether the current packet was sent before
    starts_ns : instants of transmission [ns]
    ends_ns : instants of final reception, possibly incomplete without a trace [ns]
    acked, answered : number of acknowledged packets; of acknowledgements sent
    received_unacked, dropped : packets that met the retry limit: received without an
        acknowledgement, and others
    last_ns : last final reception [ns]
    """

    service: Service
    attempt: Attempt
    target: int
    remaining: int
    bits: int
    data: Scheme
    ack: Scheme
    data_ns: int
    exchange_ns: int
    error_free: bool
    resent: bool
    starts_ns: list[int] = field(default_factory=list)
    ends_ns: list[int] = field(default_factory=list)
    acked: int = 0
    answered: int = 0
    received_unacked: int = 0
    dropped: int = 0
    last_ns: int = -1

    @property
    def ack_ns(self) -> int:
        """Duration of an acknowledgement [ns]."""
        return self.exchange_ns - self.data_ns - SIFS_NS

    def on_ack(self, now_ns: int) -> None:
        """Record the acknowledgement of a packet in a round with several senders."""
        self.acked += 1
        self._receive(now_ns)
        self.attempt.repeated += self.service.tries > 0
        self._next()

    def on_failure(self, start_ns: int, now_ns: int, reached: bool, mac: Csma) -> None:
        """Record a missing acknowledgement, and whether the packet was received nevertheless."""
        attempt, service = self.attempt, self.service
        attempt.repeated += service.tries > 0
        attempt.failed += 1
        attempt.failed_ns += now_ns - start_ns
        service.tries += 1
        service.failures += 1
        service.reached |= reached
        self.resent = True
        if service.failures < mac.retry_limit:
            return
        if service.reached:
            self.received_unacked += 1
            self._receive(now_ns)
            self._next()
        elif mac.arq:
            service.failures = 0
        else:
            self.remaining -= 1
            self.dropped += 1
            self._next()

    def on_resent_ack(self) -> None:
        """Record the acknowledgement of a packet that was sent before."""
        self.attempt.repeated += self.service.tries > 0
        self._next()

    def _receive(self, now_ns: int) -> None:
        self.remaining -= 1
        self.last_ns = now_ns
        self.ends_ns.append(now_ns)

    def _next(self) -> None:
        """Advance to the next packet."""
        self.service.failures = self.service.tries = 0
        self.service.reached = self.resent = False
