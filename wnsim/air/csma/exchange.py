"""Frames of an exchange: request to send, clear to send, packets, and their acknowledgement.

All of them are SIFS apart. The request is answered at its own, basic rate. Its NAV covers the
beginning of the packets' frame, whose own NAV covers the rest; as by the standard's reset of the
NAV, stations that heard a request without an answer are free again soon. In a transmission
opportunity further frames of packets, with their acknowledgements, follow SIFS after the exchange.

Sources: IEEE 802.11-2020, 10.3.2.4 (NAV, its reset), 10.3.2.9 (RTS and CTS) and
10.23.2.8 (transmission opportunities).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wnsim.air.csma.frame import Frame
from wnsim.phy.wifi import SIFS_NS, SLOT_NS
from wnsim.phy.wifi_formats import LEGACY_PREAMBLE_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wnsim.air.csma.radio import Radio
    from wnsim.air.csma.service import Service
    from wnsim.phy.wifi_formats import Scheme

RTS_BITS, CTS_BITS = 20 * 8, 14 * 8
NAV_RESET_NS = 2 * SLOT_NS + LEGACY_PREAMBLE_NS


def first_frame(radio: Radio, service: Service, number: int, now_ns: int) -> Frame:
    """Return the first frame of an exchange: its packets, or a request that announces them.

    Parameters
    ----------
    radio : rates and powers
    service : the transmission to be served
    number : sequence number of the sender's next frame
    now_ns : when the frame begins [ns]
    """
    functions = radio.mac.functions
    txop_ns = functions[service.function % len(functions)].txop_ns
    end_ns = now_ns + txop_ns if txop_ns else 0
    scheme = _scheme(radio, service, now_ns)
    if service.multicast or not radio.announces:
        frame = _packets(radio, service, scheme, number, now_ns, end_ns)
        frame.txop_end_ns = end_ns
        return frame
    control = radio.phy.control(scheme)
    requested_ns = control.duration_ns(RTS_BITS)
    cleared_ns = requested_ns + SIFS_NS + control.duration_ns(CTS_BITS)
    # Whether packets are announced depends on their number: there is room for a request.
    last_ns = end_ns - cleared_ns - SIFS_NS if end_ns else 0
    frame = _packets(radio, service, scheme, number, now_ns, last_ns)
    frame.txop_end_ns = end_ns
    if not radio.protects(frame.bits):
        return frame
    frame.delay(cleared_ns + SIFS_NS)
    request = Frame(
        frame.source, frame.targets, number, now_ns, now_ns + requested_ns, control, RTS_BITS,
        frame.received_w, frame.start_ns + NAV_RESET_NS, now_ns + cleared_ns, service,
        frame.attempts, frame.payload_bits, None, CTS_BITS,
    )  # fmt: skip
    request.announced = frame
    return request


def next_frame(radio: Radio, queue: Sequence[Service], last: Frame, now_ns: int) -> Frame | None:
    """Return the next frame of a transmission opportunity; none: it ends, or nothing fits.

    Parameters
    ----------
    radio : rates and powers
    queue : transmissions that wait for the access function, the current one first
    last : the frame of the opportunity that was sent last
    now_ns : end of its exchange [ns]
    """
    if not queue or not last.txop_end_ns:
        return None
    service = queue[0]
    scheme = _scheme(radio, service, now_ns)
    needed_ns = scheme.duration_ns(service.shortest_bits()) + _answer_ns(radio, service, scheme)
    if now_ns + SIFS_NS + needed_ns > last.txop_end_ns:
        return None
    service.begin(now_ns)
    frame = _packets(radio, service, scheme, last.number, now_ns, last.txop_end_ns - SIFS_NS)
    frame.txop_end_ns = last.txop_end_ns
    frame.delay(SIFS_NS)
    return frame


def _scheme(radio: Radio, service: Service, now_ns: int) -> Scheme:
    """Return the modulation and coding scheme of the packets of a transmission."""
    targets = tuple([attempt.target for attempt in service.attempts])
    of_mean = radio.scheme(service.source, targets, service.transmission.quantile, now_ns)
    if radio.rates is None or service.multicast:
        return of_mean
    return radio.rates.choose(service.source, targets[0], service.failures, of_mean, now_ns)


def _answer_ns(radio: Radio, service: Service, scheme: Scheme) -> int:
    """Return the duration of SIFS and the acknowledgement of packets; 0: they have none [ns]."""
    if service.multicast:
        return 0
    return SIFS_NS + radio.phy.control(scheme).duration_ns(service.answer_bits)


def _packets(
    radio: Radio, service: Service, scheme: Scheme, number: int, now_ns: int, end_ns: int
) -> Frame:
    """Return a frame of packets that begins now.

    Parameters
    ----------
    radio : rates and powers
    service : the transmission to be served
    scheme : modulation and coding scheme
    number : sequence number of the sender's next frame
    now_ns : when the frame begins [ns]
    end_ns : when the answer to several packets must have ended; 0: at any time [ns]
    """
    answer_ns = _answer_ns(radio, service, scheme)
    aggregate = service.aggregate(scheme, end_ns - now_ns - answer_ns if end_ns else None)
    if aggregate is None:
        payload = service.next_bits()
        bits = radio.air_bits(payload)
    else:
        payload, bits = aggregate.payload_bits, aggregate.bits
    source, attempts = service.source, tuple(service.attempts)
    targets = tuple([attempt.target for attempt in attempts])
    last_ns = now_ns + scheme.duration_ns(bits)
    answered_ns = last_ns + answer_ns if answer_ns else 0
    return Frame(
        source, targets, number, now_ns, last_ns, scheme, bits, radio.received_w(source, now_ns),
        answered_ns, answered_ns, service, attempts, payload, aggregate, service.answer_bits,
    )  # fmt: skip


def answer(radio: Radio, frame: Frame, node: int, number: int) -> Frame:
    """Return the acknowledgement of a frame, or the clear to send that answers a request."""
    now_ns = frame.end_ns + SIFS_NS
    nav_ns = 0 if frame.announced is None else frame.announced.nav_ns
    return Frame(
        node, (frame.source,), number, now_ns, frame.answer_ns, radio.phy.control(frame.scheme),
        frame.answer_bits, radio.received_w(node, now_ns), nav_ns,
    )  # fmt: skip
