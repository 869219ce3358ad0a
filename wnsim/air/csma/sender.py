"""A station in rounds of contention: what it sends, and what became of its packets so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wnsim.air.csma.service import Service
    from wnsim.air.flow import Flow
    from wnsim.mac.csma import Csma
    from wnsim.phy.wifi import Scheme


@dataclass(slots=True)
class Sender:
    """A station's present stream, what its full packets take, and what became of them.

    Parameters
    ----------
    service, flow, target : its stream, and who receives it
    left : full packets that are to arrive before the last packet
    bits, data, ack : length of packets with headers [bit]; modulation and code, of answers too
    data_ns, exchange_ns : duration of a packet, and of one with its answer [ns]
    steady : whether packets and their answers arrive if nothing collides

    Attributes
    ----------
    again : whether the present packet was sent before
    starts_ns : when it sent [ns]
    ends_ns : when packets arrived for good [ns]; perhaps not all, if that is not to be told
    won : how many came
    kept, dropped : packets given up after too many retries: those that had arrived although no
        answer came, and others
    last_ns : when something last arrived for good [ns]
    """

    service: Service
    flow: Flow
    target: int
    left: int
    bits: int
    data: Scheme
    ack: Scheme
    data_ns: int
    exchange_ns: int
    steady: bool
    again: bool
    starts_ns: list[int] = field(default_factory=list)
    ends_ns: list[int] = field(default_factory=list)
    won: int = 0
    kept: int = 0
    dropped: int = 0
    last_ns: int = -1

    def win(self, now_ns: int) -> None:
        """Take in that the answer to a packet came."""
        self.won += 1
        self._arrive(now_ns)
        self.flow.repeated += self.service.tries > 0
        self._renew()

    def fail(self, start_ns: int, now_ns: int, reached: bool, mac: Csma) -> None:
        """Take in that no answer came to a packet, and whether it arrived all the same."""
        flow, service = self.flow, self.service
        flow.repeated += service.tries > 0
        flow.lost += 1
        flow.lost_ns += now_ns - start_ns
        service.tries += 1
        service.failures += 1
        service.reached |= reached
        self.again = True
        if service.failures < mac.retry_limit:
            return
        if service.reached:
            self.kept += 1
            self._arrive(now_ns)
            self._renew()
        elif mac.arq:
            service.failures = 0
        else:
            self.left -= 1
            self.dropped += 1
            self._renew()

    def renew(self) -> None:
        """Take in that a packet that was sent before has been answered."""
        self.flow.repeated += self.service.tries > 0
        self._renew()

    def _arrive(self, now_ns: int) -> None:
        self.left -= 1
        self.last_ns = now_ns
        self.ends_ns.append(now_ns)

    def _renew(self) -> None:
        """Go on to the next packet."""
        self.service.failures = self.service.tries = 0
        self.service.reached = self.again = False
