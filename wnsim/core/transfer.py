"""Messages between devices, and the records of their transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DELIVERED, LATE, LOST = OUTCOMES = ("delivered", "late", "lost")
"""Outcomes of a message: all of it received by its deadline; not all of it by its deadline; given
up before its deadline, for a reason."""
LATE_REASON = "deadline"
"""Reason of late messages; all others are reasons of lost ones."""
BELOW_THRESHOLD = "below-threshold"
"""Reason of messages whose senders were too weak for over-the-air computation all the time."""
LOST_REASONS = (
    "departed", "link-failure", "retry-limit", "queue-overflow", "battery", "crash", "link-outage",
    "station-failure", BELOW_THRESHOLD,
)  # fmt: skip
SIDE_KINDS = ("background", "probe")
"""Kinds of messages that belong neither to learning nor to the section `traffic`."""
QUERY_KINDS = ("query", "answer")
"""Kinds of messages of collaborative inference."""
SPLIT_KINDS = ACTIVATION, GRADIENT = "activation", "gradient"
"""Kinds of messages of split learning: up, the activations at the cut of the model; down, their
gradients."""
OTHER_KINDS = (*SIDE_KINDS, "control", "backhaul", *QUERY_KINDS)
"""Kinds of messages whose outcomes do not count: the same, and messages that form clusters or
select clients, those between base stations and server alone, and those of queries, which have
metrics of their own."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message from one node to another.

    Parameters
    ----------
    source, target : devices, or base stations
    size_bytes : size, header included [byte]
    lifetime_s : time after submission until it expires [s]
    payload : content, opaque to the network
    round : round of learning or traffic, for the records
    header_bytes : part of the size that is header [byte]
    priority : messages of higher priority are sent first if they wait at a device; concurrent
        transmissions share resources regardless of priority
    category : access category, where the medium access has some; empty: that of all messages
    kind : type of the message, for the records
    weight : weight in allocations of band and power, of an update that in an average
    """

    source: int
    target: int
    size_bytes: int
    lifetime_s: float
    payload: Any = None
    round: int = 0
    header_bytes: int = 0
    priority: int = 0
    category: str = ""
    kind: str = "update"
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Transfer:
    """Outcome of a message: one row of `transfers.csv`.

    The time from submission to the end is the sum of `queue_s`, `channel_access_s`, `airtime_s`,
    `retransmission_s` and `backhaul_s`.

    Parameters
    ----------
    message : the message
    sent_s, started_s, ended_s : submission; first start on the air (NaN if never); delivery or
        failure [s]
    delivered : whether all of it was received by its deadline
    reason : empty if delivered; `deadline` if late, that is if not all of it was received by its
        deadline; else the reason for which it was lost before: `departed` (a device left the
        scene), `link-failure` (nothing was received for a while), `queue-overflow`, `retry-limit`
        (a packet met the retry limit of the medium access), `battery`, `below-threshold` (too
        weak for over-the-air computation all the time), or by a fault `crash`, `link-outage` (also
        of a satellite that has set) or `station-failure`
    acked_bytes : bytes received by the end, packet headers included [byte]
    carried_bytes : the same, summed over the hops; a hop that serves several receivers is counted
        for one of them [byte]
    air_bytes : size on the air, packet headers included; of values that are added over the air,
        the size that they would have in digital form [byte]
    packets : number of packets; 0 for values that are added over the air
    hops : number of hops, 1 except through base stations and relays; of a flooded message that of
        its last segment
    attempts : number of attempts started, at least one for each hop
    receivers : number of receivers of the same multicast
    queue_s : waiting for other messages, for the next slot, or for a failed link [s]
    channel_access_s : channel-access delay: started, but waiting for its turn or for feedback [s]
    airtime_s : transmission time of blocks that were received, and the time that signals travel on
        each hop, where `channel.propagation_delay` counts it [s]
    retransmission_s : transmission time of blocks that were not received [s]
    backhaul_s : between base stations [s]
    blocks, failed_blocks, retransmitted_blocks : transport blocks or packets sent, or coherence
        blocks of values that are added over the air; not received; sent before
    mean_snr_db : mean linear SINR over them [dB], NaN if there were none
    capacity_bytes : Shannon bound for their time and band [byte]
    """

    message: Message
    sent_s: float
    started_s: float
    ended_s: float
    delivered: bool
    reason: str
    acked_bytes: int
    carried_bytes: int
    air_bytes: int
    packets: int
    hops: int
    attempts: int
    receivers: int
    queue_s: float
    channel_access_s: float
    airtime_s: float
    retransmission_s: float
    backhaul_s: float
    blocks: int
    failed_blocks: int
    retransmitted_blocks: int
    mean_snr_db: float
    capacity_bytes: float

    @property
    def outcome(self) -> str:
        """One of `OUTCOMES`."""
        if self.delivered:
            return DELIVERED
        return LATE if self.reason == LATE_REASON else LOST

    @property
    def latency_s(self) -> float:
        """Time from submission to delivery or failure [s]."""
        return self.ended_s - self.sent_s


@dataclass(frozen=True, slots=True)
class Packet:
    """Reception of a packet of a message: one row of `packets.csv`.

    Parameters
    ----------
    message : the message
    hop : index of the hop, from 0
    number : index of the packet, from 0
    size_bytes : size, headers included [byte]
    arrived_s : when its last bit was received [s]
    """

    message: Message
    hop: int
    number: int
    size_bytes: int
    arrived_s: float
