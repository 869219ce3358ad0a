"""What comes of frames that begin together where everybody hears everybody.

All of them end together, and so do the acknowledgements of those that arrive: who locks on to
which of them, and who can read it, follows from mean gains and is found out once for each set of
senders. Only whether a frame arrives at its receiver is decided each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wnsim.air.csma.frame import Frame
from wnsim.air.csma.radio import ACK_BITS
from wnsim.phy.wifi import SIFS_NS, TIMEOUT_NS, Scheme

if TYPE_CHECKING:
    from collections.abc import Callable

    from wnsim.air.csma.sender import Sender
    from wnsim.air.csma.windowed import Windowed

_MOST_PATTERNS = 8192


@dataclass(slots=True)
class Outcome:
    """What came of frames, at instants relative to their beginning.

    Parameters
    ----------
    idle_ns : from when on nobody sends [ns]
    busy_ns, eifs_ns : of nodes that find the medium busy for longer than that, or wait because
        they could not read something [ns]
    acked : whether the acknowledgement of each frame came
    reached : whether each frame arrived
    over_ns : when each sender knows [ns]
    """

    idle_ns: int
    busy_ns: dict[int, int]
    eifs_ns: dict[int, int]
    acked: list[bool]
    reached: list[bool]
    over_ns: list[int]


@dataclass(slots=True)
class Pattern:
    """Frames that begin together, and what nodes make of them.

    Parameters
    ----------
    frames : in the order of their sources
    heard : whether the receiver of each has locked on to it
    readers, deaf : others that have locked on to one of them and can read it, or cannot
    gains, errors : from all sources to the receiver of each frame, and the error that they make
    steady_ns : until when gains stay what they were when they were last looked at [ns]
    outcome : what comes of the frames until then, if that is certain
    """

    frames: list[Frame]
    heard: list[bool]
    readers: list[int]
    deaf: list[int]
    gains: list[list[float]]
    errors: list[float]
    steady_ns: int = -1
    outcome: Outcome | None = None

    @property
    def certain(self) -> bool:
        """Whether it is known which of the frames arrive."""
        return all(error in (0.0, 1.0) for error in self.errors)


class Clash:
    """Outcomes of frames that begin together.

    Parameters
    ----------
    engine : whose world they are in
    """

    def __init__(self, engine: Windowed) -> None:
        self._engine = engine
        self._patterns: dict[tuple[object, ...], Pattern] = {}
        self.eifs_ns = SIFS_NS + engine.radio.phy.slowest.duration_ns(ACK_BITS)

    def forget(self) -> None:
        """Take in that mean gains have changed."""
        self._patterns = {}

    def outcome(
        self,
        pairs: list[tuple[int, int]],
        like: Sender,
        start_ns: int,
        number: Callable[[int], int],
    ) -> Outcome:
        """Return what comes of frames.

        Parameters
        ----------
        pairs : sources and their receivers, in the order of sources
        like : one of the senders; all use the same rate and length
        start_ns : when they begin [ns]
        number : of the next frame of a node
        """
        sent = self._pattern(tuple(pairs), like.data, like.bits, start_ns)
        if sent.outcome is None or start_ns >= sent.steady_ns:
            reached = self._arrive(sent, start_ns, number)
            answers = sorted(
                (target, source)
                for (source, target), came in zip(pairs, reached, strict=True)
                if came
            )
            acks = self._pattern(tuple(answers), like.ack, ACK_BITS, start_ns)
            arrived = self._arrive(acks, start_ns + like.data_ns + SIFS_NS, number)
            outcome = self._outcome(like, sent, reached, acks, arrived)
            steady = start_ns < min(sent.steady_ns, acks.steady_ns)
            sent.outcome = outcome if steady and sent.certain and acks.certain else None
            return outcome
        return sent.outcome

    def _outcome(
        self, like: Sender, sent: Pattern, reached: list[bool], acks: Pattern, arrived: list[bool]
    ) -> Outcome:
        """Return what comes of frames of which these arrive, and of their answers these."""
        end_ns, nav_ns = like.data_ns, like.exchange_ns
        eifs_ns = dict.fromkeys(sent.deaf, end_ns + self.eifs_ns)
        for frame, heard, came in zip(sent.frames, sent.heard, reached, strict=True):
            if heard and not came:
                eifs_ns[frame.targets[0]] = end_ns + self.eifs_ns
        over_ns = [end_ns + TIMEOUT_NS] * len(reached)
        acked = [False] * len(reached)
        if not acks.frames:
            busy_ns = dict.fromkeys(sent.readers, nav_ns)
            busy_ns.update((frame.source, end_ns + TIMEOUT_NS) for frame in sent.frames)
            return Outcome(end_ns, busy_ns, eifs_ns, acked, reached, over_ns)
        for node in acks.readers:
            eifs_ns.pop(node, None)
        eifs_ns.update(dict.fromkeys(acks.deaf, nav_ns + self.eifs_ns))
        place = {frame.source: place for place, frame in enumerate(sent.frames)}
        for ack, heard, came in zip(acks.frames, acks.heard, arrived, strict=True):
            source = ack.targets[0]
            if heard:
                acked[place[source]], over_ns[place[source]] = came, nav_ns
                if not came:
                    eifs_ns[source] = nav_ns + self.eifs_ns
        busy_ns = {frame.source: at for frame, at in zip(sent.frames, over_ns, strict=True)}
        return Outcome(nav_ns, busy_ns, eifs_ns, acked, reached, over_ns)

    def _pattern(
        self, pairs: tuple[tuple[int, int], ...], scheme: Scheme, bits: int, now_ns: int
    ) -> Pattern:
        """Return who locks on to which of some frames; they are taken to begin at 0."""
        known = self._patterns.get((pairs, scheme, bits))
        if known is not None:
            return known
        radio = self._engine.radio
        end_ns = scheme.duration_ns(bits)
        frames = [
            Frame(source, (target,), 0, 0, end_ns, scheme, bits, radio.heard_w(source, now_ns))
            for source, target in pairs
        ]
        held: dict[int, Frame] = {}
        senders = {source for source, _ in pairs}
        for frame in frames:
            frame.met = [other for other in frames if other is not frame]
            for node, power_w in frame.heard_w.items():
                if node in senders:
                    continue
                other_w = sum([other.heard_w[node] for other in frame.met])
                if radio.locks(node, power_w, other_w) and (
                    node not in held or radio.captures(node, frame, held[node])
                ):
                    held[node] = frame
        readers: list[int] = []
        deaf: list[int] = []
        for node, frame in held.items():
            if node not in frame.targets:
                (readers if radio.reads(node, frame) else deaf).append(node)
        heard = [
            held.get(target) is frame for (_, target), frame in zip(pairs, frames, strict=True)
        ]
        pattern = Pattern(frames, heard, readers, deaf, [[] for _ in pairs], [1.0] * len(pairs))
        if len(self._patterns) >= _MOST_PATTERNS:
            self._patterns = {}
        self._patterns[pairs, scheme, bits] = pattern
        return pattern

    def _arrive(self, pattern: Pattern, start_ns: int, number: Callable[[int], int]) -> list[bool]:
        """Return which of some frames arrive."""
        if start_ns >= pattern.steady_ns:
            self._look(pattern, start_ns)
        draw = self._engine.draws.draw
        return [
            error == 0.0
            or (error < 1.0 and draw(each.source, each.targets[0], number(each.source)) >= error)
            for each, error in zip(pattern.frames, pattern.errors, strict=True)
        ]

    def _look(self, pattern: Pattern, start_ns: int) -> None:
        """Find out the error probability of each frame at its receiver; 1 if that is deaf to it."""
        paths, steady = self._engine.paths, True
        sources = [each.source for each in pattern.frames]
        for place, frame in enumerate(pattern.frames):
            if not pattern.heard[place]:
                continue
            target = frame.targets[0]
            gains = [paths.gain(source, target, start_ns) for source in sources]
            if pattern.gains[place] != gains:
                of = dict(zip(sources, gains, strict=True))
                pattern.gains[place] = gains
                pattern.errors[place] = self._error(frame, of)
            spans = [paths.span(source, target, start_ns) for source in sources]
            steady = steady and all(least == most for least, most in spans)
        pattern.steady_ns = paths.end_ns if steady else -1

    def _error(self, frame: Frame, gains: dict[int, float]) -> float:
        """Return the error probability of a frame at its receiver by the gains of sources there."""
        return self._engine.radio.error(
            frame.targets[0], frame, lambda source, _target, _at_ns: gains[source]
        )
