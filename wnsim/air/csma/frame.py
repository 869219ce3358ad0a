"""Frames on the air: packets, requests to send, the answers to both, and exchanges of several."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from wnsim.air.csma.service import ACK_BITS
from wnsim.phy.wifi import SIFS_NS

if TYPE_CHECKING:
    from wnsim.air.csma.aggregate import Aggregate
    from wnsim.air.csma.plan import Plan, User
    from wnsim.air.csma.service import Service
    from wnsim.air.transmission import Attempt
    from wnsim.phy.wifi_formats import Scheme
    from wnsim.phy.wifi_units import Unit


@dataclass(eq=False, slots=True)
class Frame:
    """One frame of a station.

    Parameters
    ----------
    source, targets : transmitter and addressed receivers
    number : sequence number of its first packet among those of its source
    start_ns, end_ns : first and last instant on the air, preamble included [ns]
    scheme, bits : modulation and coding scheme, length with all headers [bit]
    received_w : mean received power at each node in range of the source [W]
    nav_ns : end of the NAV that it sets at overhearing stations; 0: none [ns]
    answer_ns : when the answer to it ends, an acknowledgement or CTS; 0: none [ns]
    service : whose packet it carries or announces; none for an answer
    attempts : attempts of that transmission under way when it was sent
    payload_bits : payload for each of them [bit]
    aggregate : its packets, if it is aggregated
    answer_bits : length of the answer [bit]
    txop_end_ns : end of the transmission opportunity; 0: it is this exchange alone [ns]
    unit : resource unit in which it is sent; none: the whole channel
    band, power : share of the channel, and of its transmitter's power, that it has
    exchange : exchange with several stations to which it belongs, if any

    Attributes
    ----------
    announced : the frame that a request to send announces
    overlapping : other frames on the air during this one
    reached : addressed receivers that received it
    parts : what is sent to each receiver in its own resource unit, or in one to an access point
    group : frames of several stations that begin and end together, itself among them
    """

    source: int
    targets: tuple[int, ...]
    number: int
    start_ns: int
    end_ns: int
    scheme: Scheme
    bits: int
    received_w: dict[int, float]
    nav_ns: int = 0
    answer_ns: int = 0
    service: Service | None = None
    attempts: tuple[Attempt, ...] = ()
    payload_bits: int = 0
    aggregate: Aggregate | None = None
    answer_bits: int = ACK_BITS
    txop_end_ns: int = 0
    unit: Unit | None = None
    band: float = 1.0
    power: float = 1.0
    exchange: Exchange | None = field(default=None, repr=False)
    announced: Frame | None = None
    overlapping: list[Frame] = field(default_factory=list, repr=False)
    reached: list[int] = field(default_factory=list)
    parts: dict[int, Frame] = field(default_factory=dict, repr=False)
    group: list[Frame] = field(default_factory=list, repr=False)

    def delay(self, by_ns: int) -> None:
        """Let it, and its answer, begin later [ns]."""
        self.start_ns += by_ns
        self.end_ns += by_ns
        if self.answer_ns:
            self.nav_ns += by_ns
            self.answer_ns += by_ns

    @property
    def function(self) -> int:
        """Access function that sends it; -1 for an answer."""
        return -1 if self.service is None else self.service.function

    @property
    def packets(self) -> int:
        """Number of its packets, each of which has a number among those of its source."""
        if self.parts:
            return max([part.packets for part in self.parts.values()])
        return 1 if self.aggregate is None else len(self.aggregate.packets)

    @property
    def spans_ns(self) -> list[tuple[int, int]]:
        """Beginning and end of each packet of an aggregate [ns]."""
        edges = [] if self.aggregate is None else self.aggregate.edges_bits
        first_ns = self.start_ns + self.scheme.preamble_ns
        length_ns = self.end_ns - first_ns
        return list(pairwise([first_ns + length_ns * edge // self.bits for edge in edges]))

    @property
    def ack_ns(self) -> int:
        """Duration of the answer to it [ns]."""
        return self.answer_ns - self.end_ns - SIFS_NS

    @property
    def needs_ack(self) -> bool:
        """Whether it must be answered."""
        return self.answer_ns > 0


@dataclass(eq=False, slots=True)
class Exchange:
    """An exchange with several stations.

    Parameters
    ----------
    source : the access point
    function : its access function
    plan : what was planned: stations, resource units, schemes
    begin_ns : beginning of the frames of the stations [ns]
    end_ns : end of the last frame, if all stations are heard [ns]

    Attributes
    ----------
    packets : the frame with packets for the stations; none in the uplink
    trigger : the trigger frame, once it is sent
    group : frames of the stations
    heard : stations whose frames the access point has received
    """

    source: int
    function: int
    plan: Plan
    begin_ns: int
    end_ns: int
    packets: Frame | None = None
    trigger: Frame | None = None
    group: list[Frame] = field(default_factory=list)
    heard: set[int] = field(default_factory=set)

    @property
    def users(self) -> dict[int, User]:
        """The stations, by number."""
        return {user.node: user for user in self.plan.users}
