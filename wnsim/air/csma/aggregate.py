"""Aggregates: packets of one transmission that share a frame (A-MPDU).

Each packet has a delimiter of 4 bytes, and all but the last are padded to 4 bytes. It is received
or lost on its own: with its share of the frame's bits, in its interval of the interference, by its
own draw.

Sources: IEEE 802.11-2020, 9.7.1 (format), 9.3.1.8 (block acknowledgement), 10.12 (limits).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wnsim.phy.wifi_formats import STANDARDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wnsim.mac.csma import Aggregation
    from wnsim.phy.wifi_formats import Scheme

_DELIMITER_BYTES, _ALIGNED_BYTES = 4, 4
# Packets that a block acknowledgement covers, and its length with a bitmap of as many [byte].
_SHORT, _LONG = (64, 32), (256, 56)


@dataclass(eq=False, slots=True)
class Mpdu:
    """A packet that the sender does not know to be received.

    Parameters
    ----------
    place : number among the packets of its transmission
    bits : payload [bit]

    Attributes
    ----------
    tries, failures : how often it was sent; and without an acknowledgement since its last restart
    reached : whether the receiver has it
    """

    place: int
    bits: int
    tries: int = 0
    failures: int = 0
    reached: bool = False


@dataclass(eq=False, slots=True)
class Aggregate:
    """The packets of a frame.

    Parameters
    ----------
    packets : in order
    edges_bits : where each of them begins in the frame, and the length of the frame [bit]
    answer_bits : length of the block acknowledgement [bit]

    Attributes
    ----------
    arrived : whether each of them was received, once the frame has ended
    """

    packets: list[Mpdu]
    edges_bits: list[int]
    answer_bits: int
    arrived: list[bool] = field(default_factory=list)

    @property
    def bits(self) -> int:
        """Length of the frame [bit]."""
        return self.edges_bits[-1]

    @property
    def payload_bits(self) -> int:
        """Payload of all packets [bit]."""
        return sum([packet.bits for packet in self.packets])


class Aggregator:
    """Limits of aggregates.

    Parameters
    ----------
    aggregation : its parameters
    standard : letter of the Wi-Fi standard
    header_bytes : medium access header of each packet [byte]

    Attributes
    ----------
    most_packets : largest number of packets of a frame
    window : how many packets may be under way, from the first one not acknowledged
    delimiter_bits, aligned_bits : delimiter of a packet, and its alignment [bit]
    answer_bits : length of a block acknowledgement [bit]
    bitmap_bits : length of its part that names the packets [bit]
    duration_ns : largest duration of a frame of several packets [ns]
    """

    def __init__(self, aggregation: Aggregation, standard: str, header_bytes: int) -> None:
        self.most_packets = aggregation.packets
        self.delimiter_bits, self.aligned_bits = 8 * _DELIMITER_BYTES, 8 * _ALIGNED_BYTES
        self.duration_ns = round(1e3 * aggregation.duration_us)
        self._longest_bits = 8 * STANDARDS[standard].most_bytes
        self._header_bytes = _DELIMITER_BYTES + header_bytes
        self.window, answer_bytes = _SHORT if self.most_packets <= _SHORT[0] else _LONG
        self.answer_bits = 8 * answer_bytes
        self.bitmap_bits = self.window
        self._limits_bits: dict[Scheme, int] = {}

    def packet_bits(self, packet: Mpdu) -> int:
        """Return the length of a packet with its delimiter and headers [bit]."""
        return self.frame_bits(packet.bits)

    def frame_bits(self, payload_bits: int) -> int:
        """Return the length of a frame with one packet of a size [bit]."""
        return 8 * (-(-payload_bits // 8) + self._header_bytes)

    def longest_bits(self, scheme: Scheme) -> int:
        """Return the largest length of a frame of several packets [bit]."""
        limit = self._limits_bits.get(scheme)
        if limit is None:
            limit = min(scheme.most_bits(self.duration_ns), self._longest_bits)
            self._limits_bits[scheme] = limit
        return limit

    def build(
        self, packets: Iterable[Mpdu], scheme: Scheme, longest_ns: int | None = None
    ) -> Aggregate:
        """Return an aggregate of the first one of some packets, and of as many more as fit.

        Parameters
        ----------
        packets : in order
        scheme : modulation and coding scheme
        longest_ns : duration within which they must fit; none: no further limit [ns]
        """
        limit = self.longest_bits(scheme)
        if longest_ns is not None:
            limit = min(limit, scheme.most_bits(longest_ns))
        chosen: list[Mpdu] = []
        edges = [0]
        for packet in packets:
            begin = -(-edges[-1] // (8 * _ALIGNED_BYTES)) * 8 * _ALIGNED_BYTES
            end = begin + self.packet_bits(packet)
            if chosen and end > limit:
                break
            chosen.append(packet)
            edges[-1] = begin
            edges.append(end)
            if len(chosen) == self.most_packets:
                break
        return Aggregate(chosen, edges, self.answer_bits)
