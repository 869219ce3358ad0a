"""Outcome of colliding frames in a fully connected (single-clique) cell.

The frames begin and end together, and so do the acknowledgements of those that are received.
Which node locks on to which frame, and which node can decode it, follows from mean gains and is
computed once for each set of senders. Only the reception of each frame is drawn every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wnsim.air.csma.frame import Frame
from wnsim.air.csma.service import ACK_BITS
from wnsim.phy.wifi import SIFS_NS, TIMEOUT_NS
from wnsim.phy.wifi_formats import Scheme

if TYPE_CHECKING:
    from collections.abc import Callable

    from wnsim.air.csma.radio import Radio
    from wnsim.air.csma.sender import Sender
    from wnsim.air.csma.states import StationStates

_MOST_COLLISIONS = 8192


@dataclass(slots=True)
class CollisionOutcome:
    """Outcome of simultaneous frames, at instants relative to their beginning.

    Parameters
    ----------
    idle_ns : when the last frame or acknowledgement ends [ns]
    busy_ns, eifs_ns : end of the busy period or of the EIFS of nodes that wait for longer [ns]
    acked : whether each frame is acknowledged
    reached : whether each frame is received
    known_ns : when each sender knows its result [ns]
    """

    idle_ns: int
    busy_ns: dict[int, int]
    eifs_ns: dict[int, int]
    acked: list[bool]
    reached: list[bool]
    known_ns: list[int]


@dataclass(slots=True)
class SimultaneousFrames:
    """Simultaneous frames, and their reception at all nodes.

    Parameters
    ----------
    frames : in the order of their sources
    locked : whether the receiver of each frame has locked on to it
    overhearing, undecodable : other nodes that have locked on to one of them and can decode it, or
        cannot
    gains, errors : gains from all sources to the receiver of each frame, and its error probability
    steady_ns : until when the gains last used are constant [ns]
    outcome : outcome until then, if it does not depend on draws
    """

    frames: list[Frame]
    locked: list[bool]
    overhearing: list[int]
    undecodable: list[int]
    gains: list[list[float]]
    errors: list[float]
    steady_ns: int = -1
    outcome: CollisionOutcome | None = None

    @property
    def certain(self) -> bool:
        """Whether the reception of every frame is certain."""
        return all(error in (0.0, 1.0) for error in self.errors)


class CollisionModel:
    """Outcomes of simultaneous frames.

    Parameters
    ----------
    radio : powers and error probabilities
    states : draws and link gains
    """

    def __init__(self, radio: Radio, states: StationStates) -> None:
        self._radio, self._states = radio, states
        self._collisions: dict[tuple[object, ...], SimultaneousFrames] = {}
        self.eifs_ns = SIFS_NS + radio.phy.slowest.duration_ns(ACK_BITS)

    def clear(self) -> None:
        """Discard what depends on mean gains, which have changed."""
        self._collisions = {}

    def outcome(
        self,
        pairs: list[tuple[int, int]],
        like: Sender,
        start_ns: int,
        number: Callable[[int], int],
    ) -> CollisionOutcome:
        """Return the outcome of simultaneous frames.

        Parameters
        ----------
        pairs : sources and their receivers, in the order of sources
        like : one of the senders; all use the same rate and length
        start_ns : when the frames begin [ns]
        number : sequence number of the next frame of a node
        """
        sent = self._simultaneous(tuple(pairs), like.data, like.bits, start_ns)
        if sent.outcome is None or start_ns >= sent.steady_ns:
            reached = self._received(sent, start_ns, number)
            answers = sorted(
                (target, source)
                for (source, target), received in zip(pairs, reached, strict=True)
                if received
            )
            acks = self._simultaneous(tuple(answers), like.ack, ACK_BITS, start_ns)
            arrived = self._received(acks, start_ns + like.data_ns + SIFS_NS, number)
            outcome = self._outcome(like, sent, reached, acks, arrived)
            steady = start_ns < min(sent.steady_ns, acks.steady_ns)
            sent.outcome = outcome if steady and sent.certain and acks.certain else None
            return outcome
        return sent.outcome

    def _outcome(
        self,
        like: Sender,
        sent: SimultaneousFrames,
        reached: list[bool],
        acks: SimultaneousFrames,
        arrived: list[bool],
    ) -> CollisionOutcome:
        """Return the outcome, given which frames and which acknowledgements are received."""
        end_ns, nav_ns = like.data_ns, like.exchange_ns
        eifs_ns = dict.fromkeys(sent.undecodable, end_ns + self.eifs_ns)
        for frame, locked, received in zip(sent.frames, sent.locked, reached, strict=True):
            if locked and not received:
                eifs_ns[frame.targets[0]] = end_ns + self.eifs_ns
        known_ns = [end_ns + TIMEOUT_NS] * len(reached)
        acked = [False] * len(reached)
        if not acks.frames:
            busy_ns = dict.fromkeys(sent.overhearing, nav_ns)
            busy_ns.update((frame.source, end_ns + TIMEOUT_NS) for frame in sent.frames)
            return CollisionOutcome(end_ns, busy_ns, eifs_ns, acked, reached, known_ns)
        for node in acks.overhearing:
            eifs_ns.pop(node, None)
        eifs_ns.update(dict.fromkeys(acks.undecodable, nav_ns + self.eifs_ns))
        place = {frame.source: place for place, frame in enumerate(sent.frames)}
        for ack, locked, received in zip(acks.frames, acks.locked, arrived, strict=True):
            source = ack.targets[0]
            if locked:
                acked[place[source]], known_ns[place[source]] = received, nav_ns
                if not received:
                    eifs_ns[source] = nav_ns + self.eifs_ns
        busy_ns = {frame.source: at for frame, at in zip(sent.frames, known_ns, strict=True)}
        return CollisionOutcome(nav_ns, busy_ns, eifs_ns, acked, reached, known_ns)

    def _simultaneous(
        self, pairs: tuple[tuple[int, int], ...], scheme: Scheme, bits: int, now_ns: int
    ) -> SimultaneousFrames:
        """Return which nodes lock on to which of some frames, taken to begin at 0."""
        known = self._collisions.get((pairs, scheme, bits))
        if known is not None:
            return known
        radio = self._radio
        end_ns = scheme.duration_ns(bits)
        frames = [
            Frame(source, (target,), 0, 0, end_ns, scheme, bits, radio.received_w(source, now_ns))
            for source, target in pairs
        ]
        locked_on: dict[int, Frame] = {}
        senders = {source for source, _ in pairs}
        for frame in frames:
            frame.overlapping = [other for other in frames if other is not frame]
            for node, power_w in frame.received_w.items():
                if node in senders:
                    continue
                other_w = sum([other.received_w[node] for other in frame.overlapping])
                if radio.locks(node, power_w, other_w) and (
                    node not in locked_on or radio.captures(node, frame, locked_on[node])
                ):
                    locked_on[node] = frame
        overhearing: list[int] = []
        undecodable: list[int] = []
        for node, frame in locked_on.items():
            if node not in frame.targets:
                (overhearing if radio.decodes(node, frame) else undecodable).append(node)
        locked = [
            locked_on.get(target) is frame for (_, target), frame in zip(pairs, frames, strict=True)
        ]
        collision = SimultaneousFrames(
            frames, locked, overhearing, undecodable, [[] for _ in pairs], [1.0] * len(pairs)
        )
        if len(self._collisions) >= _MOST_COLLISIONS:
            self._collisions = {}
        self._collisions[pairs, scheme, bits] = collision
        return collision

    def _received(
        self, collision: SimultaneousFrames, start_ns: int, number: Callable[[int], int]
    ) -> list[bool]:
        """Return which of some frames are received."""
        if start_ns >= collision.steady_ns:
            self._update_errors(collision, start_ns)
        draw = self._states.draws.draw
        return [
            error == 0.0
            or (error < 1.0 and draw(each.source, each.targets[0], number(each.source)) >= error)
            for each, error in zip(collision.frames, collision.errors, strict=True)
        ]

    def _update_errors(self, collision: SimultaneousFrames, start_ns: int) -> None:
        """Compute the error probability of each frame at its receiver, 1 if it is not locked on."""
        link_gains, steady = self._states.gains, True
        sources = [each.source for each in collision.frames]
        for place, frame in enumerate(collision.frames):
            if not collision.locked[place]:
                continue
            target = frame.targets[0]
            gains = [link_gains.gain(source, target, start_ns) for source in sources]
            if collision.gains[place] != gains:
                of = dict(zip(sources, gains, strict=True))
                collision.gains[place] = gains
                collision.errors[place] = self._error_probability(frame, of)
            bounds = [link_gains.bounds(source, target, start_ns) for source in sources]
            steady = steady and all(least == most for least, most in bounds)
        collision.steady_ns = link_gains.end_ns if steady else -1

    def _error_probability(self, frame: Frame, gains: dict[int, float]) -> float:
        """Return the error probability of a frame, given the gains of all sources."""
        return self._radio.error_probability(
            frame.targets[0], frame, lambda source, _target, _at_ns: gains[source]
        )
