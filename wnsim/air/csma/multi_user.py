"""Exchanges of an access point with several stations at once: who takes part, and when.

Downlink: packets for several stations, SIFS, a trigger frame that requests their block
acknowledgements (MU-BAR), SIFS, these acknowledgements. Uplink: a trigger frame, SIFS, packets of
several stations, SIFS, a block acknowledgement for all of them. See `wnsim.mac.multi_user`.

Sources: IEEE 802.11ax-2021, 9.3.1.22 (trigger frames), 9.3.1.8 (block acknowledgement for several
stations), 26.5 (exchanges).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wnsim.air.csma.aggregate import Mpdu
from wnsim.air.csma.frame import Exchange, Frame, User
from wnsim.phy.wifi import SIFS_NS
from wnsim.phy.wifi_units import UnitFormats, split_by_weight, split_equally, whole

if TYPE_CHECKING:
    from wnsim.air.csma.aggregate import Aggregator
    from wnsim.air.csma.radio import Radio
    from wnsim.air.csma.service import Service
    from wnsim.mac.multi_user import MultiUser
    from wnsim.phy import Wifi
    from wnsim.phy.wifi_formats import Scheme
    from wnsim.phy.wifi_units import Unit

# Signal field A, from which overhearing stations know the duration of an exchange [bit].
_SIGNAL_BITS = 52
# Trigger frame without its fields of stations; that of a station in one that requests packets, and
# in one that requests an acknowledgement [bit].
TRIGGER_BITS, TRIGGERED_BITS, REQUESTED_BITS = 8 * 28, 8 * 6, 8 * 9
# Acknowledgement for several stations without their fields; that of a station, without the bitmap.
ANSWER_BITS, ANSWERED_BITS = 8 * 22, 8 * 4


class Planner:
    """Choice of the stations and resource units of exchanges, and the frames of these.

    Parameters
    ----------
    radio : rates and powers
    rules : parameters
    aggregator : limits of aggregates
    phy : parameters of the radio
    width_mhz : width of the channel [MHz]
    packet_bits : size of a packet [bit]
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
        self._most = min(rules.most_stations, whole(width_mhz).places)
        functions = radio.mac.functions
        self._txop_ns = [each.txop_ns for each in functions]

    def downlink(
        self, source: int, queue: Sequence[Service], number: int, now_ns: int
    ) -> Exchange | None:
        """Return an exchange with stations for which messages wait; none: they are too few.

        Parameters
        ----------
        source : the access point
        queue : messages that wait, the first one first
        number : sequence number of the sender's next frame
        now_ns : when the exchange begins [ns]
        """
        if queue[0].multicast:
            return None
        first: dict[int, Service] = {}
        for service in queue:
            if not service.multicast and len(first) < self._most:
                first.setdefault(service.attempts[0].target, service)
        function, stations = queue[0].function, list(first)
        schemes = {node: self._radio.unit_scheme(source, node, 1.0, now_ns) for node in stations}
        answer_bits = self._aggregator.answer_bits
        while len(stations) >= self._rules.fewest:
            units = self._units(
                [_longest_bits(first[node]) / schemes[node].rate_bps for node in stations]
            )
            users = {
                node: User(unit, self._triggered(node, source, unit, now_ns))
                for node, unit in zip(stations, units, strict=True)
            }
            control = self._control([schemes[node] for node in stations])
            trigger_bits = TRIGGER_BITS + REQUESTED_BITS * len(stations)
            answer_ns = max([user.scheme.duration_ns(answer_bits) for user in users.values()])
            rest_ns = SIFS_NS + control.duration_ns(trigger_bits) + SIFS_NS + answer_ns
            longest_ns = self._longest_ns(function, rest_ns)
            own = {
                node: self._formats.downlink(schemes[node], user.unit, len(stations))
                for node, user in users.items()
            }
            if all(
                own[node].duration_ns(first[node].shortest_bits()) <= longest_ns
                for node in stations
            ):
                break
            stations.pop()
        else:
            return None
        for node, user in users.items():
            service, share = first[node], self._formats.share(user.unit)
            service.begin(now_ns)
            user.packets = self._part(
                source, node, number, now_ns, own[node], service, longest_ns, user.unit, share
            )
        parts = {node: user.packets for node, user in users.items() if user.packets}
        end_ns = max([part.end_ns for part in parts.values()])
        over_ns = end_ns + rest_ns
        exchange = Exchange(
            source, function, users, trigger_bits, control, (over_ns - answer_ns, over_ns), over_ns
        )
        exchange.packets = self._container(source, tuple(users), number, now_ns, end_ns, exchange)
        exchange.packets.parts = parts
        for part in parts.values():
            part.overlapping = exchange.packets.overlapping
        return exchange

    def uplink(
        self, source: int, function: int, reports: Mapping[int, int], now_ns: int
    ) -> Exchange | None:
        """Return an exchange with stations that have messages; none: they are too few.

        Parameters
        ----------
        source : the access point
        function : its access function
        reports : size of the message that waits at each station [bit]
        now_ns : when the exchange begins [ns]
        """
        stations = list(reports)[: self._most]
        schemes = {node: self._radio.unit_scheme(source, node, 1.0, now_ns) for node in stations}
        while len(stations) >= self._rules.fewest:
            units = self._units(
                [
                    reports[node] / self._radio.unit_scheme(node, source, 1.0, now_ns).rate_bps
                    for node in stations
                ]
            )
            users = {
                node: User(unit, self._triggered(node, source, unit, now_ns))
                for node, unit in zip(stations, units, strict=True)
            }
            control = self._control([schemes[node] for node in stations])
            trigger_bits = TRIGGER_BITS + TRIGGERED_BITS * len(stations)
            trigger_ns = control.duration_ns(trigger_bits)
            answer_ns = control.duration_ns(self.answer_bits(len(stations)))
            rest_ns = trigger_ns + 2 * SIFS_NS + answer_ns
            longest_ns = self._longest_ns(function, rest_ns)
            bits = {
                node: self._frame_bits(reports[node], user.scheme, longest_ns)
                for node, user in users.items()
            }
            data_ns = max([user.scheme.duration_ns(bits[node]) for node, user in users.items()])
            if data_ns <= longest_ns:
                break
            stations.pop()
        else:
            return None
        begin_ns = now_ns + trigger_ns + SIFS_NS
        return Exchange(
            source, function, users, trigger_bits, control, (begin_ns, begin_ns + data_ns),
            begin_ns + data_ns + SIFS_NS + answer_ns,
        )  # fmt: skip

    def trigger(self, exchange: Exchange, number: int, now_ns: int) -> Frame:
        """Return the trigger frame of an exchange."""
        control, bits = exchange.control, exchange.trigger_bits
        exchange.trigger = Frame(
            exchange.source, tuple(exchange.users), number, now_ns,
            now_ns + control.duration_ns(bits), control, bits,
            self._radio.received_w(exchange.source, now_ns), exchange.end_ns, exchange=exchange,
        )  # fmt: skip
        return exchange.trigger

    def triggered(
        self, exchange: Exchange, node: int, number: int, service: Service | None
    ) -> Frame:
        """Return the frame of a triggered station: packets, or an acknowledgement without any."""
        user, (begin_ns, end_ns) = exchange.users[node], exchange.triggered_ns
        share = self._formats.share(user.unit)
        frame = self._container(node, (exchange.source,), number, begin_ns, end_ns, exchange)
        if service is None:
            bits = self._aggregator.answer_bits
            part = Frame(
                node, frame.targets, number, begin_ns, begin_ns + user.scheme.duration_ns(bits),
                user.scheme, bits, frame.received_w, unit=user.unit, band=share,
            )  # fmt: skip
        else:
            part = self._part(
                node, exchange.source, number, begin_ns, user.scheme, service, end_ns - begin_ns,
                user.unit, share,
            )  # fmt: skip
            part.power = 1.0
            frame.service, frame.attempts = service, part.attempts
            frame.payload_bits, frame.answer_ns = part.payload_bits, exchange.end_ns
        frame.unit, frame.band, frame.group = user.unit, share, exchange.group
        frame.parts[exchange.source] = part
        part.overlapping = frame.overlapping
        exchange.group.append(frame)
        return frame

    def fits(self, exchange: Exchange, node: int, service: Service) -> bool:
        """Return whether a packet of a message fits in the triggered frame of a station."""
        begin_ns, end_ns = exchange.triggered_ns
        scheme = exchange.users[node].scheme
        return scheme.duration_ns(service.shortest_bits()) <= end_ns - begin_ns

    def answer(self, exchange: Exchange, number: int, now_ns: int) -> Frame:
        """Return the acknowledgement for all stations that were heard."""
        targets = tuple([node for node in exchange.users if node in exchange.heard])
        bits = self.answer_bits(len(targets))
        return Frame(
            exchange.source, targets, number, now_ns, now_ns + exchange.control.duration_ns(bits),
            exchange.control, bits, self._radio.received_w(exchange.source, now_ns),
            exchange=exchange,
        )  # fmt: skip

    def answer_bits(self, stations: int) -> int:
        """Return the length of the acknowledgement for a number of stations [bit]."""
        return ANSWER_BITS + (ANSWERED_BITS + self._aggregator.bitmap_bits) * stations

    def _units(self, weights: Sequence[float]) -> list[Unit]:
        """Return a resource unit for each of some stations."""
        width_mhz = self._formats.width_mhz
        if self._rules.split == "equal":
            return split_equally(width_mhz, len(weights))
        return split_by_weight(width_mhz, weights)

    def _triggered(self, node: int, target: int, unit: Unit, now_ns: int) -> Scheme:
        """Return the scheme of a triggered frame: all power is in the unit."""
        gain = 1.0 / self._formats.share(unit)
        scheme = self._radio.unit_scheme(node, target, gain, now_ns)
        return self._formats.triggered(scheme, unit)

    def _control(self, schemes: Sequence[Scheme]) -> Scheme:
        """Return the scheme of control frames to stations with these schemes."""
        return self._radio.phy.control(min(schemes, key=lambda each: each.rate_bps))

    def _longest_ns(self, function: int, rest_ns: int) -> int:
        """Return the largest duration of a frame of packets, with others in the exchange [ns]."""
        txop_ns = self._txop_ns[function % len(self._txop_ns)]
        longest_ns = self._aggregator.duration_ns
        return min(longest_ns, txop_ns - rest_ns) if txop_ns else longest_ns

    def _frame_bits(self, message_bits: int, scheme: Scheme, longest_ns: int) -> int:
        """Return the length of a frame with as much of a message as fits [bit]."""
        count = min(-(-message_bits // self._packet_bits), self._aggregator.window)
        sizes = [self._packet_bits] * count
        if count * self._packet_bits > message_bits:
            sizes[-1] = message_bits - (count - 1) * self._packet_bits
        packets = (Mpdu(place, bits) for place, bits in enumerate(sizes))
        return self._aggregator.build(packets, scheme, longest_ns).bits

    def _part(
        self,
        source: int,
        target: int,
        number: int,
        now_ns: int,
        scheme: Scheme,
        service: Service,
        longest_ns: int,
        unit: Unit,
        share: float,
    ) -> Frame:
        """Return the packets of a service in a resource unit."""
        aggregate = service.aggregate(scheme, longest_ns)
        if aggregate is None:
            raise TypeError("multi-user frames must carry aggregates")
        return Frame(
            source, (target,), number, now_ns, now_ns + scheme.duration_ns(aggregate.bits), scheme,
            aggregate.bits, self._radio.received_w(source, now_ns), service=service,
            attempts=tuple(service.attempts), payload_bits=aggregate.payload_bits,
            aggregate=aggregate, unit=unit, band=share, power=share,
        )  # fmt: skip

    def _container(
        self,
        source: int,
        targets: tuple[int, ...],
        number: int,
        begin_ns: int,
        end_ns: int,
        exchange: Exchange,
    ) -> Frame:
        """Return a frame, without its parts, as stations sense it that it is not for."""
        return Frame(
            source, targets, number, begin_ns, end_ns, self._radio.phy.slowest, _SIGNAL_BITS,
            self._radio.received_w(source, begin_ns), exchange.end_ns, exchange=exchange,
        )  # fmt: skip


def _longest_bits(service: Service) -> int:
    """Return how much of a message is left [bit]."""
    return max([service.remaining_bits(attempt) for attempt in service.attempts])
