"""Transport: packets, queues, and behavior on link failure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wnsim.core.params import parameters


@parameters
class Transport:
    """Treatment of messages between the application and the air interface.

    Parameters
    ----------
    packet_bytes : largest packet, without headers [byte]
    packet_header_bytes : headers of each packet, sent with it [byte]; 40 are IPv4, UDP and 12 for
        the layers below
    queue_bytes : size of a device's queue of messages that have not ended; a message that does not
        fit is dropped [byte]; none: unlimited
    on_link_failure : behavior on link failure during a transfer: with `discard` the message is
        dropped, with `resume` the transfer continues from the last acknowledged byte when both
        devices are available again, until the message expires
    link_failure_timeout_s : time without any received data after which a link is considered failed
        [s]; none: a link fails only if a device leaves
    retry_s : time after which a failed link is tried again, if its devices are available [s]
    routing : paths of messages: with `rates` by the rates of links now, with `contacts` by those
        of the contact plan, of satellites, a file or the devices' motion, by which each node
        stores a message until its next contact
    max_hops : largest number of hops of a message between devices: above 1, other devices relay it
        over the path of shortest expected time
    multicast : how a message to several receivers goes over relays: with `paths` over a path to
        each of them; with `tree` along a tree, on which each device receives it at most once and
        sends it on to all of its next devices at once; with `flood` in segments, which each
        receiver that has them passes on to those that it reaches best
    segment_bytes : size of the segments of a flooded message [byte]
    trace : whether packets.csv has a row for each packet
    """

    packet_bytes: int = Field(default=1460, ge=1, le=10**9)
    packet_header_bytes: int = Field(default=40, ge=0, le=10**6)
    queue_bytes: int | None = Field(default=None, ge=1)
    on_link_failure: Literal["discard", "resume"] = "discard"
    link_failure_timeout_s: float | None = Field(default=None, ge=1e-3, le=1e9)
    retry_s: float = Field(default=1.0, ge=1e-3, le=1e9)
    routing: Literal["rates", "contacts"] = "rates"
    max_hops: int = Field(default=1, ge=1, le=1000)
    multicast: Literal["paths", "tree", "flood"] = "paths"
    segment_bytes: int = Field(default=1_000_000, ge=1_000, le=10**9)
    trace: bool = False

    def __post_init__(self) -> None:
        if self.routing == "contacts":
            if self.max_hops == 1:
                raise ValueError("routing contacts needs relays, max_hops above 1, got 1")
            if self.on_link_failure != "resume":
                raise ValueError(
                    "routing contacts needs on_link_failure resume: what a contact does not carry "
                    f"is sent in the next one, got {self.on_link_failure}"
                )
            if self.multicast != "paths":
                raise ValueError(
                    "routing contacts has a route for each receiver, got multicast "
                    f"{self.multicast}"
                )
        if self.multicast != "paths" and self.max_hops == 1:
            raise ValueError(f"multicast {self.multicast} needs relays, max_hops above 1, got 1")
        if self.multicast == "flood" and self.trace:
            raise ValueError("trace follows packets in order, which segments of a flood are not in")

    def packets(self, size_bytes: int) -> int:
        """Return the number of packets of a message."""
        return -(-size_bytes // self.packet_bytes)

    def segment_bits(self, size_bytes: int) -> list[int]:
        """Return the size of each segment of a message on the air, of whole packets [bit]."""
        segment_bytes = max(self.segment_bytes // self.packet_bytes, 1) * self.packet_bytes
        whole, rest = divmod(size_bytes, segment_bytes)
        sizes = [segment_bytes] * whole + ([rest] if rest else [])
        return [self.air_bits(each) for each in sizes]

    def air_bits(self, size_bytes: int) -> int:
        """Return the size of a message on the air, headers included [bit]."""
        return 8 * (size_bytes + self.packets(size_bytes) * self.packet_header_bytes)
