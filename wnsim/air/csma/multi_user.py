"""Exchanges of an access point with several stations at once: who takes part, and when.

Downlink: packets for several stations, SIFS, a trigger frame that requests their block
acknowledgements (MU-BAR), SIFS, these acknowledgements. Uplink: a trigger frame, SIFS, packets of
several stations, SIFS, a block acknowledgement for all of them. See `wnsim.mac.multi_user`. Both
engines have their exchanges planned here; their frames are those of each engine.

Sources: IEEE 802.11ax-2021, 9.3.1.22 (trigger frames), 9.3.1.8 (block acknowledgement for several
stations), 26.5 (exchanges).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wnsim.air.csma.aggregate import Mpdu
from wnsim.air.csma.plan import Candidate, Plan, User
from wnsim.phy.wifi import SIFS_NS, Wifi
from wnsim.phy.wifi_units import UnitFormats, split_by_weight, split_equally, whole

if TYPE_CHECKING:
    from wnsim.air.csma.aggregate import Aggregator
    from wnsim.air.csma.radio import Radio
    from wnsim.air.setup import Setup
    from wnsim.mac.multi_user import MultiUser
    from wnsim.phy.wifi_formats import Scheme

# Triggers in a row that only others answer after which the report of a station is forgotten.
MOST_MISSES = 3
# Signal field A, from which overhearing stations know the duration of an exchange [bit].
SIGNAL_BITS = 52
# Trigger frame without its fields of stations; that of a station in one that requests packets, and
# in one that requests an acknowledgement [bit].
_TRIGGER_BITS, _TRIGGERED_BITS, _REQUESTED_BITS = 8 * 28, 8 * 6, 8 * 9
# Acknowledgement for several stations without their fields; that of a station, without the bitmap.
_ANSWER_BITS, _ANSWERED_BITS = 8 * 22, 8 * 4


def planner_of(setup: Setup, radio: Radio) -> Planner | None:
    """Return the planner of exchanges with several stations; none: frames are for one."""
    phy, rules, aggregator = setup.world.phy, radio.mac.ofdma, radio.aggregator
    if rules is None or aggregator is None or not isinstance(phy, Wifi):
        return None
    width_mhz = round(setup.world.bandwidth_hz / 1e6)
    return Planner(radio, rules, aggregator, phy, width_mhz, setup.packet_bits)


class Planner:
    """Choice of the stations and resource units of exchanges.

    Parameters
    ----------
    radio : rates and powers
    rules : parameters
    aggregator : limits of aggregates
    phy : parameters of the radio
    width_mhz : width of the channel [MHz]
    packet_bits : size of a packet [bit]

    Attributes
    ----------
    most : largest number of stations in an exchange
    acknowledgement_bits : length of the acknowledgement of one station [bit]
    """

    def __init__(
        self,
        radio: Radio,
        rules: MultiUser,
        aggregator: Aggregator,
        phy: Wifi,
        width_mhz: int,
        packet_bits: int,
    ) -> None:
        self._radio, self._rules, self._aggregator = radio, rules, aggregator
        self._packet_bits = packet_bits
        self._formats = UnitFormats(width_mhz, phy.streams, round(1e3 * phy.guard_interval_us))
        self.most = min(rules.most_stations, whole(width_mhz).places)
        self.acknowledgement_bits = aggregator.answer_bits
        self._txop_ns = [each.txop_ns for each in radio.mac.functions]

    def downlink(
        self, source: int, function: int, candidates: Sequence[Candidate], now_ns: int
    ) -> Plan | None:
        """Return an exchange with stations for which messages wait; none: they are too few.

        Parameters
        ----------
        source : the access point
        function : its access function
        candidates : stations, up to `most`, in the order of the first message for each
        now_ns : when the exchange begins [ns]
        """
        for count in range(len(candidates), self._rules.fewest - 1, -1):
            found = candidates[:count]
            schemes = [self._scheme(source, each.node, now_ns) for each in found]
            weights = [
                each.bits / scheme.rate_bps for each, scheme in zip(found, schemes, strict=True)
            ]
            users = tuple(
                [
                    user._replace(down=self._formats.downlink(scheme, user.unit, count))
                    for user, scheme in zip(
                        self._users(source, found, weights, now_ns), schemes, strict=True
                    )
                ]
            )
            bits = self.acknowledgement_bits
            answer_ns = max([user.scheme.duration_ns(bits) for user in users])
            trigger_bits = _TRIGGER_BITS + _REQUESTED_BITS * count
            plan = Plan(users, self._control(schemes), trigger_bits, answer_ns, 0, 0)
            longest_ns = self._longest_ns(function, SIFS_NS + plan.rest_ns)
            if all(
                user.down is not None and user.down.duration_ns(each.shortest_bits) <= longest_ns
                for user, each in zip(users, found, strict=True)
            ):
                return plan._replace(longest_ns=longest_ns)
        return None

    def uplink(
        self, source: int, function: int, candidates: Sequence[Candidate], now_ns: int
    ) -> Plan | None:
        """Return an exchange with stations that have messages; none: they are too few.

        Parameters
        ----------
        source : the access point
        function : its access function
        candidates : stations that reported, up to `most`, the earliest report first
        now_ns : when the exchange begins [ns]
        """
        for count in range(len(candidates), self._rules.fewest - 1, -1):
            found = candidates[:count]
            weights = [
                each.bits / self._scheme(each.node, source, now_ns).rate_bps for each in found
            ]
            users = self._users(source, found, weights, now_ns)
            control = self._control([self._scheme(source, each.node, now_ns) for each in found])
            answer_ns = SIFS_NS + control.duration_ns(self.answer_bits(count))
            plan = Plan(users, control, _TRIGGER_BITS + _TRIGGERED_BITS * count, 0, answer_ns, 0)
            longest_ns = self._longest_ns(function, plan.rest_ns)
            packets_ns = max(
                [
                    self._packets_ns(each.bits, user.scheme, longest_ns)
                    for user, each in zip(users, found, strict=True)
                ]
            )
            if packets_ns <= longest_ns:
                return plan._replace(triggered_ns=packets_ns)
        return None

    def answer_bits(self, stations: int) -> int:
        """Return the length of the acknowledgement for a number of stations [bit]."""
        return _ANSWER_BITS + (_ANSWERED_BITS + self._aggregator.bitmap_bits) * stations

    def _users(
        self, source: int, found: Sequence[Candidate], weights: Sequence[float], now_ns: int
    ) -> tuple[User, ...]:
        """Return the stations with their resource units, and the schemes of triggered frames."""
        width_mhz = self._formats.width_mhz
        if self._rules.split == "equal":
            units = split_equally(width_mhz, len(weights))
        else:
            units = split_by_weight(width_mhz, weights)
        users = []
        for each, unit in zip(found, units, strict=True):
            share = self._formats.share(unit)
            # All of a station's power is in its unit.
            scheme = self._radio.unit_scheme(each.node, source, 1.0 / share, now_ns)
            users.append(User(each.node, unit, share, self._formats.triggered(scheme, unit)))
        return tuple(users)

    def _scheme(self, source: int, target: int, now_ns: int) -> Scheme:
        """Return the scheme of a link on the whole channel."""
        return self._radio.unit_scheme(source, target, 1.0, now_ns)

    def _control(self, schemes: Sequence[Scheme]) -> Scheme:
        """Return the scheme of control frames to stations with these schemes."""
        return self._radio.phy.control(min(schemes, key=lambda each: each.rate_bps))

    def _longest_ns(self, function: int, rest_ns: int) -> int:
        """Return the largest duration of a frame of packets, with others in the exchange [ns]."""
        txop_ns = self._txop_ns[function % len(self._txop_ns)]
        longest_ns = self._aggregator.duration_ns
        return min(longest_ns, txop_ns - rest_ns) if txop_ns else longest_ns

    def _packets_ns(self, message_bits: int, scheme: Scheme, longest_ns: int) -> int:
        """Return the duration of a frame for a message of which the size is known [ns].

        A message that does not fit gets the whole of the largest duration: where its packets end is
        known to the station alone, which pads what remains.
        """
        count = min(-(-message_bits // self._packet_bits), self._aggregator.window)
        sizes = [self._packet_bits] * count
        if count * self._packet_bits > message_bits:
            sizes[-1] = message_bits - (count - 1) * self._packet_bits
        packets = (Mpdu(place, bits) for place, bits in enumerate(sizes))
        frame = self._aggregator.build(packets, scheme, longest_ns)
        shortest_ns = scheme.duration_ns(frame.bits)
        if len(frame.packets) == min(count, self._aggregator.most_packets):
            return shortest_ns
        most_bits = min(scheme.most_bits(longest_ns), self._aggregator.longest_bits(scheme))
        return max(shortest_ns, scheme.duration_ns(most_bits))
