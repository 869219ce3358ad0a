"""Frames of exchanges with several stations, in the packet engine; see `multi_user`.

What a station sends after a trigger, and an access point to several stations, is one frame on the
air for those that overhear it, with a part of its own in each resource unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wnsim.air.csma.frame import Exchange, Frame
from wnsim.air.csma.multi_user import SIGNAL_BITS
from wnsim.phy.wifi import SIFS_NS

if TYPE_CHECKING:
    from wnsim.air.csma.plan import Plan, User
    from wnsim.air.csma.radio import Radio
    from wnsim.air.csma.service import Service
    from wnsim.phy.wifi_formats import Scheme


def downlink(
    radio: Radio,
    source: int,
    function: int,
    plan: Plan,
    services: Mapping[int, Service],
    number: int,
    now_ns: int,
) -> Exchange:
    """Return an exchange that begins with packets for several stations.

    Parameters
    ----------
    radio : powers
    source, function : the access point, and its access function
    plan : what was planned
    services : the message for each station
    number : sequence number of the sender's next frame
    now_ns : when the exchange begins [ns]
    """
    parts: dict[int, Frame] = {}
    for user in plan.users:
        service = services[user.node]
        service.begin(now_ns)
        part = _part(radio, source, user, user.down, service, number, now_ns, plan.longest_ns)
        part.power = user.share
        parts[user.node] = part
    end_ns = max([part.end_ns for part in parts.values()])
    over_ns = end_ns + SIFS_NS + plan.rest_ns
    exchange = Exchange(source, function, plan, over_ns - plan.triggered_ns, over_ns)
    exchange.packets = _container(
        radio, source, tuple(parts), number, now_ns, end_ns, exchange, parts
    )
    return exchange


def uplink(source: int, function: int, plan: Plan, now_ns: int) -> Exchange:
    """Return an exchange that begins with a trigger frame, see `downlink`."""
    begin_ns = now_ns + plan.trigger_ns + SIFS_NS
    return Exchange(source, function, plan, begin_ns, now_ns + plan.rest_ns)


def trigger(radio: Radio, exchange: Exchange, number: int, now_ns: int) -> Frame:
    """Return the trigger frame of an exchange."""
    plan = exchange.plan
    exchange.trigger = Frame(
        exchange.source, tuple(exchange.users), number, now_ns, now_ns + plan.trigger_ns,
        plan.control, plan.trigger_bits, radio.received_w(exchange.source, now_ns),
        exchange.end_ns, exchange=exchange,
    )  # fmt: skip
    return exchange.trigger


def triggered_packets(
    radio: Radio, exchange: Exchange, node: int, service: Service, number: int
) -> Frame:
    """Return packets of a triggered station, padded to those of the others."""
    begin_ns, duration_ns = exchange.begin_ns, exchange.plan.triggered_ns
    user = exchange.users[node]
    part = _part(radio, node, user, user.scheme, service, number, begin_ns, duration_ns)
    frame = _triggered(radio, exchange, node, number, part)
    frame.service, frame.attempts = service, part.attempts
    frame.payload_bits, frame.answer_ns = part.payload_bits, exchange.end_ns
    return frame


def triggered_answer(radio: Radio, exchange: Exchange, node: int, number: int, bits: int) -> Frame:
    """Return the acknowledgement of a triggered station, of a length [bit]."""
    user, begin_ns = exchange.users[node], exchange.begin_ns
    part = Frame(
        node, (exchange.source,), number, begin_ns, begin_ns + user.scheme.duration_ns(bits),
        user.scheme, bits, {}, unit=user.unit, band=user.share,
    )  # fmt: skip
    return _triggered(radio, exchange, node, number, part)


def fits(exchange: Exchange, node: int, service: Service) -> bool:
    """Return whether a packet of a message fits in the triggered frame of a station."""
    scheme = exchange.users[node].scheme
    return scheme.duration_ns(service.shortest_bits()) <= exchange.plan.triggered_ns


def answer(radio: Radio, exchange: Exchange, bits: int, number: int, now_ns: int) -> Frame:
    """Return the acknowledgement, of a length [bit], for all stations that were heard."""
    targets = tuple([node for node in exchange.users if node in exchange.heard])
    control = exchange.plan.control
    return Frame(
        exchange.source, targets, number, now_ns, now_ns + control.duration_ns(bits), control,
        bits, radio.received_w(exchange.source, now_ns), exchange=exchange,
    )  # fmt: skip


def _part(
    radio: Radio,
    source: int,
    user: User,
    scheme: Scheme | None,
    service: Service,
    number: int,
    now_ns: int,
    longest_ns: int,
) -> Frame:
    """Return packets in a resource unit, for a station or from it."""
    aggregate = None if scheme is None else service.aggregate(scheme, longest_ns)
    if scheme is None or aggregate is None:
        raise TypeError("multi-user frames must carry aggregates")
    attempts = tuple(service.attempts)
    return Frame(
        source, (attempts[0].target,), number, now_ns, now_ns + scheme.duration_ns(aggregate.bits),
        scheme, aggregate.bits, {}, service=service, attempts=attempts,
        payload_bits=aggregate.payload_bits, aggregate=aggregate, unit=user.unit, band=user.share,
    )  # fmt: skip


def _triggered(radio: Radio, exchange: Exchange, node: int, number: int, part: Frame) -> Frame:
    """Return the frame of a triggered station around what it sends in its resource unit."""
    parts = {exchange.source: part}
    end_ns = exchange.begin_ns + exchange.plan.triggered_ns
    frame = _container(
        radio, node, (exchange.source,), number, exchange.begin_ns, end_ns, exchange, parts
    )
    frame.unit, frame.band, frame.group = part.unit, part.band, exchange.group
    exchange.group.append(frame)
    return frame


def _container(
    radio: Radio,
    source: int,
    targets: tuple[int, ...],
    number: int,
    begin_ns: int,
    end_ns: int,
    exchange: Exchange,
    parts: dict[int, Frame],
) -> Frame:
    """Return a frame as stations sense it that it is not for; its parts are on the air with it."""
    frame = Frame(
        source, targets, number, begin_ns, end_ns, radio.phy.slowest, SIGNAL_BITS,
        radio.received_w(source, begin_ns), exchange.end_ns, exchange=exchange, parts=parts,
    )  # fmt: skip
    for part in parts.values():
        part.overlapping = frame.overlapping
    return frame
