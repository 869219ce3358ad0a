"""Messages between devices: handed over at one instant, delivered or given up at another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from wnsim import streams
from wnsim.air import Air
from wnsim.flow import Flow
from wnsim.units import NS_PER_S, linear_to_db, to_ns, to_s

if TYPE_CHECKING:
    from wnsim.clock import Clock
    from wnsim.mac import Mac
    from wnsim.world import Snapshot, World

# An instant that no simulation reaches: 292 years.
_FAR_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Message:
    """Something one device tells another.

    Parameters
    ----------
    source, target : devices
    size_bytes : what the air has to carry [byte]
    lifetime_s : how long after it was sent it is of use [s]
    payload : the content, which the network never looks at
    round : round of learning or traffic, for the records
    header_bytes : part of the size that is header [byte]
    """

    source: int
    target: int
    size_bytes: int
    lifetime_s: float
    payload: Any = None
    round: int = 0
    header_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of a message: one row of `transfers.csv`.

    Parameters
    ----------
    message : the message
    sent_s, started_s, ended_s : handed over; on the air (NaN if never); delivered or given up [s]
    delivered : whether all of it arrived in time
    reason : empty if delivered, else `deadline` or `left` (a device vanished)
    acked_bytes : what had arrived when it ended [byte]
    blocks, failed_blocks : transport blocks sent, and how many of them failed
    block_s : length of a block [s]
    mean_snr_db : mean over its blocks of the linear SNR [dB], NaN if it sent none
    """

    message: Message
    sent_s: float
    started_s: float
    ended_s: float
    delivered: bool
    reason: str
    acked_bytes: int
    blocks: int
    failed_blocks: int
    block_s: float
    mean_snr_db: float

    @property
    def latency_s(self) -> float:
        """From being handed over to being delivered or given up [s]."""
        return self.ended_s - self.sent_s

    @property
    def queue_s(self) -> float:
        """Waiting for other messages and for the next block to begin [s]."""
        return (self.ended_s if math.isnan(self.started_s) else self.started_s) - self.sent_s

    @property
    def air_s(self) -> float:
        """On the air, retransmissions included [s]."""
        return 0.0 if math.isnan(self.started_s) else self.ended_s - self.started_s

    @property
    def retransmission_s(self) -> float:
        """Part of the air time that went into blocks that failed [s]."""
        return self.failed_blocks * self.block_s


class Network:
    """All devices' radios.

    Parameters
    ----------
    env : the simulation's clock
    world : devices, channel and physical layer
    mac : medium access
    block_ns : block length [ns]
    csi_delay_s : age of the channel knowledge from which rates are chosen, rounded up to whole
        blocks [s]
    seed : seed of the block errors

    Attributes
    ----------
    inbox : one store of received messages per device
    transfers : what became of every message, in the order of ending
    """

    def __init__(
        self,
        env: Clock,
        world: World,
        mac: Mac,
        block_ns: int,
        csi_delay_s: float,
        seed: int,
    ) -> None:
        self.env = env
        self.inbox = [simpy.Store(env) for _ in range(world.count)]
        self.transfers: list[Transfer] = []
        self._world = world
        self._mac = mac
        self._block_ns = block_ns
        self._csi_delay_blocks = -(-to_ns(csi_delay_s) // block_ns)
        self._error_key = streams.key(seed, "block errors")
        self._airs: dict[int, Air] = {}
        self._pending: dict[Flow, tuple[Message, simpy.Event]] = {}

    @property
    def now_s(self) -> float:
        """The present instant [s]."""
        return to_s(self.env.now_ns)

    @property
    def in_flight(self) -> int:
        """Number of messages that were sent and have neither been delivered nor given up."""
        return len(self._pending)

    def timeout(self, duration_s: float) -> simpy.Event:
        """Return an event that fires after a duration [s]."""
        return self.env.timeout(to_ns(duration_s))

    def snapshot(self) -> Snapshot:
        """Return what a topology policy may see of the world now."""
        return self._world.snapshot(self.now_s)

    def next_presence_s(self) -> float | None:
        """Return how long until a device appears or vanishes; None if that never happens [s]."""
        wait_s = self._world.motion.next_change_s(self.now_s) - self.now_s
        # At least one tick of the clock, or an instant between two ticks would never be reached.
        return None if math.isinf(wait_s) else max(wait_s, to_s(1))

    def send(self, message: Message) -> simpy.Event:
        """Hand over a message; the event fires with its `Transfer`, delivered or not.

        A delivered message also appears in the inbox of its target.

        Raises
        ------
        ValueError
            if it is sent to its own source, is empty or has no lifetime
        """
        if message.source == message.target:
            raise ValueError(f"a message needs two devices, got {message.source} twice")
        if message.size_bytes < 1:
            raise ValueError(f"a message must have at least 1 byte, got {message.size_bytes}")
        if not message.lifetime_s > 0:
            raise ValueError(f"lifetime_s must be positive, got {message.lifetime_s}")
        now = self.env.now_ns
        expires_ns = now + to_ns(message.lifetime_s)
        vanishes_ns = min(self._vanishes_ns(end) for end in (message.source, message.target))
        flow = Flow(
            source=message.source,
            target=message.target,
            size_bits=8 * message.size_bytes,
            sent_ns=now,
            limit_ns=max(now, min(expires_ns, vanishes_ns)),
            limit_reason="left" if vanishes_ns < expires_ns else "deadline",
        )
        event = self.env.event()
        self._pending[flow] = (message, event)
        domain = self._mac.domain(message.source)
        if domain not in self._airs:
            self._airs[domain] = Air(
                self.env,
                self._world,
                self._mac,
                self._block_ns,
                self._csi_delay_blocks,
                self._error_key,
                self._ended,
            )
        self._airs[domain].push(flow)
        return event

    def _vanishes_ns(self, device: int) -> int:
        """Return when a device that is there now vanishes; now, if it is not there [ns]."""
        motion = self._world.motion
        if not motion.present(np.array([device]), np.array([self.now_s]))[0, 0]:
            return self.env.now_ns
        end_s = motion.presence_end_s(device, self.now_s)
        return _FAR_NS if math.isinf(end_s) else int(end_s * NS_PER_S)

    def _ended(self, flow: Flow) -> None:
        message, event = self._pending.pop(flow)
        started = flow.started_ns >= 0
        transfer = Transfer(
            message=message,
            sent_s=to_s(flow.sent_ns),
            started_s=to_s(flow.started_ns) if started else math.nan,
            ended_s=to_s(flow.ended_ns),
            delivered=flow.delivered,
            reason="" if flow.delivered else flow.limit_reason,
            acked_bytes=flow.acked_bits // 8,
            blocks=flow.blocks,
            failed_blocks=flow.failed_blocks,
            block_s=to_s(self._block_ns),
            mean_snr_db=float(linear_to_db(flow.snr_sum / flow.blocks))
            if flow.blocks
            else math.nan,
        )
        self.transfers.append(transfer)
        if flow.delivered:
            self.inbox[message.target].put(message)
        event.succeed(transfer)
