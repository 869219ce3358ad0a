"""Frames of an exchange: request to send, clear to send, packets, and their acknowledgement.

All of them are SIFS apart. The request is answered at its own, basic rate. Its NAV covers the
beginning of the packets' frame, whose own NAV covers the rest; as by the standard's reset of the
NAV, stations that heard a request without an answer are free again soon.

Sources: IEEE 802.11-2020, 10.3.2.4 (NAV, its reset) and 10.3.2.9 (RTS and CTS).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wnsim.air.csma.frame import ACK_BITS, Frame
from wnsim.phy.wifi import SIFS_NS, SLOT_NS
from wnsim.phy.wifi_formats import LEGACY_PREAMBLE_NS

if TYPE_CHECKING:
    from wnsim.air.csma.radio import Radio
    from wnsim.air.csma.service import Service

_RTS_BITS, _CTS_BITS = 20 * 8, 14 * 8
_NAV_RESET_NS = 2 * SLOT_NS + LEGACY_PREAMBLE_NS


def first_frame(radio: Radio, service: Service, node: int, number: int, now_ns: int) -> Frame:
    """Return the first frame of an exchange: its packets, or a request that announces them.

    Parameters
    ----------
    radio : rates and powers
    service : the transmission to be served
    node, number : the sender, and the sequence number of its next frame
    now_ns : when the frame begins [ns]
    """
    targets = tuple([attempt.target for attempt in service.attempts])
    scheme = radio.scheme(node, targets, service.transmission.quantile, now_ns)
    aggregate = service.aggregate(scheme)
    if aggregate is None:
        payload, answer_bits = service.next_bits(), ACK_BITS
        bits = radio.air_bits(payload)
    else:
        payload, answer_bits = aggregate.payload_bits, aggregate.answer_bits
        bits = aggregate.bits
    attempts, received_w = tuple(service.attempts), radio.received_w(node, now_ns)
    begin_ns, request = now_ns, None
    if not service.multicast and radio.protects(bits):
        control = radio.phy.control(scheme)
        end_ns = now_ns + control.duration_ns(_RTS_BITS)
        answer_ns = end_ns + SIFS_NS + control.duration_ns(_CTS_BITS)
        begin_ns = answer_ns + SIFS_NS
        request = Frame(
            node, targets, number, now_ns, end_ns, control, _RTS_BITS, received_w,
            begin_ns + _NAV_RESET_NS, answer_ns, service, attempts, payload, None, _CTS_BITS,
        )  # fmt: skip
    end_ns = begin_ns + scheme.duration_ns(bits)
    answer_ns = 0
    if not service.multicast:
        answer_ns = end_ns + SIFS_NS + radio.phy.control(scheme).duration_ns(answer_bits)
    frame = Frame(
        node, targets, number, begin_ns, end_ns, scheme, bits, received_w, answer_ns, answer_ns,
        service, attempts, payload, aggregate, answer_bits,
    )  # fmt: skip
    if request is None:
        return frame
    request.announced = frame
    return request


def answer(radio: Radio, frame: Frame, node: int, number: int) -> Frame:
    """Return the acknowledgement of a frame, or the clear to send that answers a request."""
    now_ns = frame.end_ns + SIFS_NS
    nav_ns = 0 if frame.announced is None else frame.announced.nav_ns
    return Frame(
        node, (frame.source,), number, now_ns, frame.answer_ns, radio.phy.control(frame.scheme),
        frame.answer_bits, radio.received_w(node, now_ns), nav_ns,
    )  # fmt: skip
