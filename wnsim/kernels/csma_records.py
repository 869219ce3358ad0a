"""What the CSMA kernel works on: parameters, tables, and the state of stations and frames.

Rows of tables are records. An index of -1 stands for none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints

Table = NDArray[Any]


# Backoff draws of an access function that are computed at a time.
BACKOFFS = 128


def _integers(*names: str) -> list[tuple[str, type]]:
    return [(name, np.int64) for name in names]


NODE = np.dtype(
    _integers(
        "busy_ns",  # end of the period in which it senses the medium as busy
        "eifs_ns",  # end of the extended interframe space after a frame that it could not decode
        "nav_ns",  # end of the part of the busy period that decoded frames set
        "sensed_ns",  # when it last sensed a frame without locking on to it
        "tx_end_ns",  # end of its last own frame
        "number",  # sequence number of its next frame
        "locked",  # frame to which its receiver is locked
        "sending",  # frame that it has on the air, that is not answered yet, or is about to begin
        "near_first",  # its first row among `CsmaTables.near_node`, and how many there are
        "near_count",
        "near_interval",  # interval of mean gains for which they hold
        "point",  # row of an access point that serves several stations at once
    ),
    align=True,
)
"""A station."""

FUNCTION = np.dtype(
    _integers(
        "slots",  # remaining backoff when the medium last fell idle
        "contends",  # whether it has a packet to send
        "asked_ns",  # when it began to contend for that packet
        "head",  # first service of its queue
        "drawn",  # backoff draws used from `CsmaTables.backoffs`
        "hold_ns",  # until when it does not contend after a triggered frame
        "reports",  # stations that have reported to it, of an access point
        "failures",  # exchanges in a row in which no station was heard
        "was_uplink",  # whether the last one was in the uplink
    ),
    align=True,
)
"""An access function of a station."""

SERVICE = np.dtype(
    _integers(
        "source",
        "function",
        "next",  # next one in the queue
        "multicast",  # whether it has several receivers
        "target",  # receiver of the first attempt
        "attempts",  # first of its attempts, and how many there are
        "count",
        "alive",  # attempts under way
        "packets",  # of the size; the last one is shorter
        "last_bits",
        "last_level",  # row of `CsmaTables.level` of frames of its last packet
        "scheme",  # of its next frame, and until which interval of mean gains it holds
        "scheme_interval",
        "failures",  # as in `wnsim.air.csma.service`
        "tries",
        "reached",
        "on_air_ns",
        "packets_on_air",
        "board",  # row of `CsmaState.boards`, for aggregates
        "pending",  # packets on the board, and those of its last frame
        "sent",
        "cut",  # first packet that was never sent
    ),
    align=True,
)
"""The packets of a transmission."""

ATTEMPT = np.dtype(
    [
        *_integers(
            "target",
            "size",
            "alive",
            "left",  # frames that had been built when it ended
            "last",  # whether it was the last one of its transmission to end
            "got",  # whether its receiver has the multicast frame on the air
            "started_ns",
            "ended_ns",
            "sent",
            "repeated",
            "failed",
            "failed_ns",
            "arrived",
            "dropped",
            "air_ns",
            "sent_ns",
            "heard_ns",
            "ack_ns",
            "last_ns",
            "last_bits",
        ),
        ("snr_sum", np.float64),
        ("capacity_bits", np.float64),
    ],
    align=True,
)
"""An attempt to deliver a transmission to one receiver; see `wnsim.air.csma.service.Counters`."""

PACKET = np.dtype(_integers("place", "tries", "failures", "reached"), align=True)
"""A packet of an aggregate; see `wnsim.air.csma.aggregate.Mpdu`."""

FRAME = np.dtype(
    [
        *_integers(
            "source",
            "target",  # the receiver, or the first one
            "service",  # whose packets it carries or announces; none for an answer
            "announced",  # frame that a request to send announces
            "built",  # frames that had been built when it was, itself included
            "number",
            "start_ns",
            "end_ns",
            "scheme",
            "bits",
            "level",  # row of `CsmaTables.level` of its packet, or of the last one of an aggregate
            "packets",
            "aligned_bits",  # length of packets of an aggregate that others follow; 0: it is none
            "near_first",
            "near_count",
            "nav_ns",
            "answer_ns",
            "answer_bits",
            "answer_level",
            "payload_bits",
            "txop_end_ns",
            "arrived",  # packets of an aggregate that were received
            "answered",  # whether it was
            "live",  # whether it is referred to
            "role",  # in an exchange with several stations, see `wnsim.kernels.csma`
            "exchange",  # number of that exchange
            "part",  # what it carries in its resource unit, if it is triggered
            "first",  # first place of the unit, the number of places and of tones; 0: all
            "places",
            "tones",
        ),
        ("band", np.float64),  # share of the channel, and of its transmitter's power
        ("power", np.float64),
    ],
    align=True,
)
"""A frame; see `wnsim.air.csma.frame.Frame`."""

POINT = np.dtype(
    _integers(
        "exchange",  # number of its exchange; none: it has none under way
        "function",  # that began it
        "uplink",  # whether it has no packets of the access point
        "users",  # number of stations
        "control",  # scheme of the trigger frame, and of the acknowledgement for all
        "trigger_bits",
        "trigger_level",
        "begin_ns",  # of the frames of the stations, and their duration
        "triggered_ns",
        "answer_ns",  # duration of SIFS and the acknowledgement for all
        "longest_ns",  # largest duration of packets of the access point
        "end_ns",
        "heard",  # stations whose frames it has received
    ),
    align=True,
)
"""An access point and its exchange; see `wnsim.air.csma.plan.Plan`."""

USER = np.dtype(
    [
        *_integers(
            "node",
            "service",  # message for it, with its size and the length of its first packet, in the
            "bits",  # downlink
            "shortest_bits",
            "scheme",  # of what it sends, and of the packets for it
            "down",
            "part",  # frame of the packets for it
            "first",  # its resource unit, as in `FRAME`
            "places",
            "tones",
            "got",  # whether it has received the last frame
            "heard",  # whether the access point has received what it sent
        ),
        ("share", np.float64),  # of the channel that the unit has
    ],
    align=True,
)
"""A station in an exchange; see `wnsim.air.csma.plan.User`."""

REPORT = np.dtype(_integers("bits", "order", "misses"), align=True)
"""What waits at a station; 0 bits: nothing that is known. Lower orders reported earlier."""

SCHEME = np.dtype(
    [
        *_integers(
            "data_bits", "symbol_ns", "grid_ns", "preamble_ns", "control", "most_bits", "code"
        ),
        ("hopeless", np.float64),
    ],
    align=True,
)
"""A modulation and coding scheme; see `wnsim.phy.wifi_formats.Scheme`.

`control` is the scheme of answers to its frames on the whole channel, `most_bits` the largest
length of an aggregate, `code` the row of its modulation and code rate, by which `hazard` and
`level` are ordered.
"""

CREDIT = np.dtype(_integers("attempt", "at_ns", "bits"), align=True)
"""Bits of an attempt that were received."""

LOG = np.dtype(_integers("started", "ended"), align=True)
"""Attempts that have started, and others that have ended, in their order."""

EVENT = np.dtype(_integers("at_ns", "key", "frame"), align=True)
"""An event; the key tells its kind and node."""

HASHED = np.dtype(_integers("key", "row"), align=True)
"""A place of a hash table; a key of -1 stands for none."""

NEAR = np.dtype([("node", np.int64), ("power_w", np.float64)], align=True)
"""A node in range of another one, and the mean power there."""

ROOM = np.dtype(
    [
        *_integers(
            "air",  # frames on the air by beginning and source,
            "past",  # frames that ended during one of them,
            "free",  # and free rows of frames
            "other",  # frames that overlap the one that ends, and of those that interfere with it
            "begin_ns",  # beginning, end and power
            "end_ns",
            "member",  # triggered frames that end together
            "result",  # frames whose answer, or lack of one, is to be handled
        ),
        ("power_w", np.float64),
        ("term", np.float64),  # of a sum
    ],
    align=True,
)
"""Lists of frames."""

PART = np.dtype([(name, np.float64) for name in ("edge", "sinr", "share", "partial")], align=True)
"""Lists of parts of a frame with constant interference."""

CURSOR = np.dtype(
    _integers(
        "now_ns",  # instant that is being processed
        "limit_ns",  # earliest limit of an attempt
        "start_ns",  # earliest start; -1: to be computed
        "air",  # number of frames on the air, of frames that ended during one of them,
        "past",
        "events",  # of events, of free frames, of frames built so far,
        "free",
        "built",
        "started",  # and of attempts that started, attempts that ended, and credits
        "ended",
        "credits",
        "results",  # of frames whose answer, or lack of one, is to be handled, and is already,
        "handled",
        "learned",  # whether the choice of rates knows of it
        "finishing",  # frame whose exchange has ended
        "first_sample",  # first sample of `CsmaTables.gain`
        "samples",
        "source",  # subject of the request that `advance` returns
        "target",
        "at_ns",
        "number",
        "service",
        "place",
        "plan",  # answer to the request for a plan, see `wnsim.kernels.csma`
        "exchanges",  # number of exchanges with several stations, and of reports so far
        "reports",
    ),
    align=True,
)
"""Where the simulation stands."""


class CsmaRules(NamedTuple):
    """Parameters of the medium access.

    Parameters
    ----------
    slot_ns, sifs_ns, sense_ns, timeout_ns, nav_reset_ns : see `wnsim.phy.wifi` and
        `wnsim.air.csma.exchange` [ns]
    eifs_ns : extended interframe space, less DIFS [ns]
    capture_ns : time after the beginning of a frame in which a receiver may change to another [ns]
    interval_ns, sample_ns : time for which mean gains, and gains, are constant [ns]
    packet_bits, header_bits : size of a packet, and medium access header [bit]
    delimiter_bits, aligned_bits : delimiter of a packet in an aggregate, and alignment [bit]
    most_packets, window : of an aggregate; packets that may be under way
    ack_bits, block_ack_bits, rts_bits, cts_bits : lengths of control frames [bit]
    retry_limit, arq : see `wnsim.mac.csma.Csma`
    unprotected_bits : length above which a frame is announced; -1: none is [bit]
    rated : whether the choice of rates learns from each frame
    traced : whether credits are recorded
    detection_w, detection, energy_w, capture : thresholds, as powers [W] and ratios
    bandwidth_hz : bandwidth
    rarest : error probabilities below it count as 0
    hazard_db, hazard_step_db : grid of `CsmaTables.hazard` [dB]
    most_users : largest number of stations in an exchange; 0: all frames are for one
    fewest_users, polled : smallest number; whether there are exchanges in the uplink
    timer_ns : time for which a triggered station does not contend [ns]
    most_misses : triggers in a row that only others answer after which a report is forgotten
    signal_scheme, signal_level : rows of scheme and length of the signal field of exchanges
    answer_level : row of the length of an acknowledgement for no station, others follow
    answer_bits, answered_bits : that length, and how much longer it is for each station [bit]
    """

    slot_ns: int
    sifs_ns: int
    sense_ns: int
    timeout_ns: int
    nav_reset_ns: int
    eifs_ns: int
    capture_ns: int
    interval_ns: int
    sample_ns: int
    packet_bits: int
    header_bits: int
    delimiter_bits: int
    aligned_bits: int
    most_packets: int
    window: int
    ack_bits: int
    block_ack_bits: int
    rts_bits: int
    cts_bits: int
    retry_limit: int
    arq: bool
    unprotected_bits: int
    rated: bool
    traced: bool
    detection_w: float
    detection: float
    energy_w: float
    capture: float
    bandwidth_hz: float
    rarest: float
    hazard_db: float
    hazard_step_db: float
    most_users: int
    fewest_users: int
    polled: bool
    timer_ns: int
    most_misses: int
    signal_scheme: int
    signal_level: int
    answer_level: int
    answer_bits: int
    answered_bits: int


class CsmaTables(NamedTuple):
    """What Python computes for the kernel.

    Parameters
    ----------
    tx_w, noise_w : (N,) power and noise of each node [W]
    space_ns, txop_ns, boundary : (A,) access functions of a node, see
        `wnsim.mac.edca.AccessFunction`
    windows : (A, 17) slots of the contention window plus one, by failures
    near : records `NEAR`, by nodes, ascending
    scheme : records `SCHEME`
    hazard : (C, H) logarithms of loss rates by SNR
    level : (L, C, 2) SNR of each length and scheme from which frames are never lost, and from
        which at most one half are; rows 0 to 5 are those of acknowledgements, block
        acknowledgements, requests to send, clear to send, and of whole packets, alone and last in
        an aggregate; row 6 of those that are followed by others
    backoffs : (N A, BACKOFFS) backoff draws of each access function
    links : records `HASHED` of directed links, source * N + target
    draw_first, draws : (R,) and (R, D) reception draws of a link from a number on
    pairs : records `HASHED` of pairs, smaller node * N + larger node
    gain : (P, T) gains of pairs in the samples of a window
    """

    tx_w: Floats
    noise_w: Floats
    space_ns: Ints
    txop_ns: Ints
    boundary: Ints
    windows: Ints
    near: Table
    scheme: Table
    hazard: Floats
    level: Floats
    backoffs: Floats
    links: Table
    draw_first: Ints
    draws: Floats
    pairs: Table
    gain: Floats


class CsmaState(NamedTuple):
    """State of the simulation.

    Parameters
    ----------
    cursor : one record `CURSOR`
    nodes, functions, services, attempts, frames, log, credits : records of these names
    starts_ns : (N A,) when each access function will send unless its node senses a frame before
        [ns]
    boards : (B, W) records `PACKET`
    events : heap of records `EVENT`
    room, parts : lists of frames, and of parts of a frame
    arrived : (U, W) which packets of an aggregate were received, by each of several receivers
    points : (P,) records `POINT`
    users : (P, U) records `USER` of the exchange of each access point
    reports : (P A, N) records `REPORT` for each of its access functions
    """

    cursor: Table
    nodes: Table
    functions: Table
    services: Table
    attempts: Table
    frames: Table
    starts_ns: Ints
    boards: Table
    events: Table
    log: Table
    credits: Table
    room: Table
    parts: Table
    arrived: NDArray[np.bool_]
    points: Table
    users: Table
    reports: Table
