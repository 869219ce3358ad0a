"""Transmissions over the air, and the attempts to deliver them to each receiver."""

from __future__ import annotations

from dataclasses import dataclass, field

from wnsim.core.units import Ints, to_s


@dataclass(eq=False, slots=True)
class Attempt:
    """One attempt to transmit the bits of a message to one receiver.

    Parameters
    ----------
    serial : number of the attempt, in the order of submission
    source, target : nodes
    size_bits : bits to be transmitted
    limit_ns : when it is dropped [ns]
    limit_reason : reason given when it is dropped then
    priority : attempts of higher priority are served first
    category : access category, where the medium access has some; empty: that of all messages
    deadline_ns : when the message expires, whether or not a device leaves before [ns]
    weight : weight of the message in allocations of band and power
    carried_bits : bits of the message received over the same link by earlier attempts

    Attributes
    ----------
    batch : number of transmissions that shared its transmitter's band when it started
    power : share of its transmitter's power, where it is fixed at the start or allocated
    band : share of the band, where it is allocated
    noise : noise and interference there over the receiver's noise, where it is allocated
    started_ns, ended_ns : when it started and ended; -1 before [ns]
    delivered, reason, acked_bits : outcome
    sent, failed, repeated : transport blocks or packets sent; not received; sent before
    access_ns : channel-access delay: started, but not transmitting [ns]
    failed_ns : time spent on blocks that were not received [ns]
    airtime_s : transmission time at full power of its transmitter [s]
    receiving_s : time for which its receiver listened to it [s]
    ack_s : time for which its receiver sent acknowledgements, and its transmitter received them [s]
    snr_sum : sum of the linear SINR over blocks sent
    capacity_bits : sum of the Shannon bound over blocks sent [bit]
    progress : instants [ns] and bits received then, if traced
    """

    serial: int
    source: int
    target: int
    size_bits: int
    limit_ns: int
    limit_reason: str
    priority: int = 0
    category: str = ""
    deadline_ns: int = 0
    weight: float = 1.0
    carried_bits: int = 0
    batch: int = 1
    power: float = 1.0
    band: float = 1.0
    noise: float = 1.0
    started_ns: int = -1
    ended_ns: int = -1
    delivered: bool = False
    reason: str = ""
    acked_bits: int = 0
    sent: int = 0
    failed: int = 0
    repeated: int = 0
    access_ns: int = 0
    failed_ns: int = 0
    airtime_s: float = 0.0
    receiving_s: float = 0.0
    ack_s: float = 0.0
    snr_sum: float = 0.0
    capacity_bits: float = 0.0
    progress: list[tuple[Ints, Ints]] = field(default_factory=list)

    def count(self, kinds: Ints, slot_ns: int) -> None:
        """Set counters from the number of slots (5,) of each outcome, see `phy.modem`."""
        idle, new, new_lost, repeated, repeated_lost = (int(number) for number in kinds)
        self.sent = new + new_lost + repeated + repeated_lost
        self.failed = new_lost + repeated_lost
        self.repeated = repeated + repeated_lost
        self.access_ns = idle * slot_ns
        self.failed_ns = self.failed * slot_ns
        self.receiving_s = to_s(self.sent * slot_ns)


@dataclass(eq=False, slots=True)
class Transmission:
    """What a transmitter sends once, to one receiver or to several (multicast).

    Parameters
    ----------
    attempts : one for each receiver, all of one source and of equal size, priority and category
    quantile : share of the receivers whose channel may be worse than the one for which the rate is
        selected

    Attributes
    ----------
    airtime_s : transmission time at full power counted for attempts that have ended [s]
    serial, source : number of its first attempt, and the transmitter
    targets : the receivers
    nodes : the transmitter and the receivers
    order : key of the order in which waiting transmissions start: by priority, then by arrival
    """

    attempts: tuple[Attempt, ...]
    quantile: float = 0.0
    airtime_s: float = 0.0
    serial: int = field(init=False)
    source: int = field(init=False)
    targets: tuple[int, ...] = field(init=False)
    nodes: tuple[int, ...] = field(init=False)
    order: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        first = self.attempts[0]
        self.serial, self.source = first.serial, first.source
        self.targets = tuple([attempt.target for attempt in self.attempts])
        self.nodes = (self.source, *self.targets)
        self.order = -first.priority, first.serial

    @property
    def multicast(self) -> bool:
        """Whether it has several receivers."""
        return len(self.attempts) > 1 and len(set(self.targets)) > 1

    def withdraw(self, attempt: Attempt) -> bool:
        """Remove one of its attempts before it starts; return whether any is left."""
        remaining = tuple(other for other in self.attempts if other is not attempt)
        if remaining:
            self.attempts = remaining
            self.__post_init__()
        return bool(remaining)

    def take_airtime(self, attempt: Attempt) -> float:
        """Count the airtime of an attempt that has ended; return the part not yet counted [s]."""
        more_s = max(attempt.airtime_s - self.airtime_s, 0.0)
        self.airtime_s += more_s
        return more_s
