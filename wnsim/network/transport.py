"""How messages are cut into packets, wait, and survive broken links."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wnsim.core.params import parameters


@parameters
class Transport:
    """What happens to messages between the application and the air.

    Parameters
    ----------
    packet_bytes : largest packet, its headers not counted [byte]
    packet_header_bytes : headers of each packet, carried on the air with it [byte]; 40 are IPv4,
        UDP and 12 for the layers below
    queue_bytes : a device's queue of messages that have not ended; a message that does not fit is
        refused [byte]; none: without bound
    on_link_failure : what a link that breaks in the middle of a transfer costs: with `discard` the
        message is lost, with `resume` the transfer goes on from the last acknowledged byte when
        both devices are there again, until the message's lifetime is over
    link_failure_timeout_s : a link on which nothing arrived between two looks, so long apart, has
        broken [s]; none: only a device that vanishes breaks a link
    retry_s : time until a broken link whose devices are there is tried again [s]
    trace : whether every packet gets a row in packets.csv
    """

    packet_bytes: int = Field(default=1460, ge=1, le=10**9)
    packet_header_bytes: int = Field(default=40, ge=0, le=10**6)
    queue_bytes: int | None = Field(default=None, ge=1)
    on_link_failure: Literal["discard", "resume"] = "discard"
    link_failure_timeout_s: float | None = Field(default=None, ge=1e-3, le=1e9)
    retry_s: float = Field(default=1.0, ge=1e-3, le=1e9)
    trace: bool = False

    def packets(self, size_bytes: int) -> int:
        """Return into how many packets a message is cut."""
        return -(-size_bytes // self.packet_bytes)

    def air_bits(self, size_bytes: int) -> int:
        """Return what the air has to carry for a message, headers included [bit]."""
        return 8 * (size_bytes + self.packets(size_bytes) * self.packet_header_bytes)
