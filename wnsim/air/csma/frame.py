"""Frames on the air: packets, requests to send, and the answers to both."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from wnsim.air.csma.service import ACK_BITS
from wnsim.phy.wifi import SIFS_NS

if TYPE_CHECKING:
    from wnsim.air.csma.aggregate import Aggregate
    from wnsim.air.csma.service import Service
    from wnsim.air.transmission import Attempt
    from wnsim.phy.wifi_formats import Scheme


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

    Attributes
    ----------
    announced : the frame that a request to send announces
    overlapping : other frames on the air during this one
    reached : addressed receivers that received it
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
    announced: Frame | None = None
    overlapping: list[Frame] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)

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
