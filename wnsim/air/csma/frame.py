"""Frames on the air: data packets and acknowledgements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wnsim.phy.wifi import SIFS_NS

if TYPE_CHECKING:
    from wnsim.air.csma.service import Service
    from wnsim.air.transmission import Attempt
    from wnsim.phy.wifi_formats import Scheme


@dataclass(eq=False, slots=True)
class Frame:
    """One frame of a station.

    Parameters
    ----------
    source, targets : transmitter and addressed receivers
    number : sequence number among the frames of its source
    start_ns, end_ns : first and last instant on the air, preamble included [ns]
    scheme, bits : modulation and coding scheme, length with all headers [bit]
    received_w : mean received power at each node in range of the source [W]
    nav_ns : end of the NAV that it sets at overhearing stations; 0: none, no acknowledgement [ns]
    service : whose packet it carries; none for an acknowledgement
    attempts : attempts of that transmission under way when it was sent
    payload_bits : payload for each of them [bit]

    Attributes
    ----------
    overlapping : other frames on the air during this one
    receivers : nodes that have locked on to it
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
    service: Service | None = None
    attempts: tuple[Attempt, ...] = ()
    payload_bits: int = 0
    overlapping: list[Frame] = field(default_factory=list)
    receivers: list[int] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)

    @property
    def ack_ns(self) -> int:
        """Duration of its acknowledgement [ns]."""
        return self.nav_ns - self.end_ns - SIFS_NS

    @property
    def needs_ack(self) -> bool:
        """Whether it must be acknowledged."""
        return self.nav_ns > 0
