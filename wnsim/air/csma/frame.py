"""A frame on the air: a packet of data or the acknowledgement of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wnsim.air.csma.service import Service
    from wnsim.air.flow import Flow
    from wnsim.phy.wifi import Scheme


@dataclass(eq=False, slots=True)
class Frame:
    """What a station sends at one go.

    Parameters
    ----------
    source, targets : nodes
    number : of the frame, in the order of sending of its source
    start_ns, end_ns : on the air, preamble included [ns]
    scheme, bits : modulation and code, length with all headers [bit]
    heard_w : mean power that reaches each node that can hear the source [W]
    nav_ns : until when others that read it stay silent; 0: it asks for no silence [ns]
    service : whose packet it is, or none for an acknowledgement
    flows : of that packet, those under way when it was sent
    payload_bits : what it carries of them [bit]

    Attributes
    ----------
    met : frames that were on the air with it
    locked : nodes that listen to it
    reached : targets that received it
    """

    source: int
    targets: tuple[int, ...]
    number: int
    start_ns: int
    end_ns: int
    scheme: Scheme
    bits: int
    heard_w: dict[int, float]
    nav_ns: int = 0
    service: Service | None = None
    flows: tuple[Flow, ...] = ()
    payload_bits: int = 0
    met: list[Frame] = field(default_factory=list)
    locked: list[int] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)

    @property
    def asks(self) -> bool:
        """Whether it wants to be acknowledged."""
        return self.nav_ns > 0
