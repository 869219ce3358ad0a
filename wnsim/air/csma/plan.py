"""Plan of an exchange of an access point with several stations; see `multi_user`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wnsim.phy.wifi import SIFS_NS

if TYPE_CHECKING:
    from wnsim.phy.wifi_formats import Scheme
    from wnsim.phy.wifi_units import Unit


class Candidate(NamedTuple):
    """A station that could take part in an exchange.

    Parameters
    ----------
    node : its number
    bits : size of the message for it, or at it, of which so much is left [bit]
    shortest_bits : length of a frame with the first packet of a message for it [bit]
    """

    node: int
    bits: int
    shortest_bits: int = 0


class User(NamedTuple):
    """A station in an exchange.

    Parameters
    ----------
    node : its number
    unit : its resource unit
    share : of the channel that the unit has
    scheme : of what it sends after the trigger, in that unit
    down : of the packets for it, in that unit; none in the uplink
    """

    node: int
    unit: Unit
    share: float
    scheme: Scheme
    down: Scheme | None = None


class Plan(NamedTuple):
    """An exchange that is to begin.

    Parameters
    ----------
    users : the stations
    control : scheme of the trigger frame, and of the acknowledgement for several stations
    trigger_bits : length of the trigger frame [bit]
    triggered_ns : duration of what the stations send [ns]
    answer_ns : duration of the rest after that, SIFS and an acknowledgement for all; 0 in the
        downlink [ns]
    longest_ns : largest duration of packets in the downlink [ns]
    """

    users: tuple[User, ...]
    control: Scheme
    trigger_bits: int
    triggered_ns: int
    answer_ns: int
    longest_ns: int

    @property
    def rest_ns(self) -> int:
        """Duration of the trigger frame and of all that follows it [ns]."""
        return self.trigger_ns + SIFS_NS + self.triggered_ns + self.answer_ns

    @property
    def trigger_ns(self) -> int:
        """Duration of the trigger frame [ns]."""
        return self.control.duration_ns(self.trigger_bits)
