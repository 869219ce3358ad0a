"""One attempt to carry bits from one device to another, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from wnsim.core.units import Ints, to_s


@dataclass(eq=False, slots=True)
class Flow:
    """Bits under way to one receiver.

    Parameters
    ----------
    serial : number of the flow, in the order of being handed over
    source, target : nodes
    size_bits : what is to be carried
    limit_ns : when it is given up [ns]
    limit_reason : why it is given up then
    priority : of two that wait the higher one goes first
    deadline_ns : until when it is of use, whether or not a device vanishes before that [ns]
    carried_bits : of the same message over the same link, by attempts before

    Attributes
    ----------
    batch : number of streams among which its transmitter split the band when it went on the air
    power : share of its transmitter's power, where that is fixed when it goes on the air
    started_ns, ended_ns : on the air; delivered or given up; -1 before [ns]
    delivered, reason, acked_bits : outcome
    sent, lost, repeated : blocks or packets sent; those that did not arrive; those that were sent
        before
    access_ns : on the air without sending [ns]
    lost_ns : sending what did not arrive [ns]
    airtime_s : seconds at full power of its transmitter [s]
    receiving_s : time for which its receiver listened to it [s]
    snr_sum : sum over what was sent of the SINR, linear
    capacity_bits : sum over what was sent of what Shannon's bound allows [bit]
    progress : instants [ns] and bits that arrived then, if that is to be remembered
    """

    serial: int
    source: int
    target: int
    size_bits: int
    limit_ns: int
    limit_reason: str
    priority: int = 0
    deadline_ns: int = 0
    carried_bits: int = 0
    batch: int = 1
    power: float = 1.0
    started_ns: int = -1
    ended_ns: int = -1
    delivered: bool = False
    reason: str = ""
    acked_bits: int = 0
    sent: int = 0
    lost: int = 0
    repeated: int = 0
    access_ns: int = 0
    lost_ns: int = 0
    airtime_s: float = 0.0
    receiving_s: float = 0.0
    snr_sum: float = 0.0
    capacity_bits: float = 0.0
    progress: list[tuple[Ints, Ints]] = field(default_factory=list)

    def count(self, kinds: Ints, slot_ns: int) -> None:
        """Take in the number of slots (5,) of each outcome, see `phy.modem`."""
        idle, new, new_lost, repeated, repeated_lost = (int(number) for number in kinds)
        self.sent = new + new_lost + repeated + repeated_lost
        self.lost = new_lost + repeated_lost
        self.repeated = repeated + repeated_lost
        self.access_ns = idle * slot_ns
        self.lost_ns = self.lost * slot_ns
        self.receiving_s = to_s(self.sent * slot_ns)


@dataclass(eq=False, slots=True)
class Stream:
    """What a transmitter sends once, for one receiver or for several at the same time.

    Parameters
    ----------
    flows : one for each receiver, of one source and of equal size and priority
    quantile : share of the receivers that may be worse than the one for which the rate is chosen

    Attributes
    ----------
    airtime_s : seconds at full power of its transmitter, of the receivers that have ended [s]
    """

    flows: tuple[Flow, ...]
    quantile: float = 0.0
    airtime_s: float = 0.0

    @property
    def several(self) -> bool:
        """Whether several receivers hear it, not one on behalf of several."""
        return len({flow.target for flow in self.flows}) > 1

    @property
    def nodes(self) -> list[int]:
        """The transmitter and the receivers."""
        return [self.flows[0].source, *(flow.target for flow in self.flows)]

    def take_airtime(self, flow: Flow) -> float:
        """Take in the airtime of a flow that has ended; return what is not counted yet [s]."""
        more_s = max(flow.airtime_s - self.airtime_s, 0.0)
        self.airtime_s += more_s
        return more_s

    @property
    def serial(self) -> int:
        """Number of its first flow."""
        return self.flows[0].serial

    @property
    def source(self) -> int:
        """The transmitter."""
        return self.flows[0].source
