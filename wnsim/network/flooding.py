"""Flooding: messages to several receivers, passed on in segments by all receivers that have them.

A message is cut into segments of whole packets. A device that sends no segment, and has segments
that others still need, sends one of them at once to those of its neighbours for which the number of
receivers, times the rate to them, is largest. A receiver decodes a segment before it sends it on,
receives one segment of a message at a time, and each segment once. A segment fails if the mean rate
of its link falls below half of the expected one; the receiver may get it from any other device
then, and from the same one after the time of a retry. The message has arrived with its last
segment.

The rate to several receivers is that at the mean SNR of the weakest of them at each instant, as if
their links faded independently by Rayleigh: the least of exponential variables is exponential, and
the reciprocals of the means add up.

Scope: only receivers pass a message on. Devices know the mean rates of all links, a tenth of a
second ago at most, and the segments of all others, at no cost; there is no control traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import NS_PER_S, db_to_linear, to_ns

if TYPE_CHECKING:
    from wnsim.air import Attempt, Transmission
    from wnsim.core.clock import Clock
    from wnsim.network.delivery import Delivery, Hop
    from wnsim.network.transport import Transport
    from wnsim.world import Snapshot

# Age of the rates that devices know [ns].
_UPDATE_NS = NS_PER_S // 10
# A segment fails once the rate of its link is below this share of the expected one.
_LEAST_SHARE = 0.5


@dataclass(eq=False, slots=True)
class _Flood:
    """A message on its way.

    Parameters
    ----------
    deliveries : delivery to each receiver that has not ended
    bits : size of each segment on the air [bit]
    has : (segments, devices) whether a device has received a segment
    needs : (devices,) whether a device waits for a segment, and receives none

    Attributes
    ----------
    paths : hops over which a device has received a segment, or receives it
    sending : segment on its way to a receiver
    """

    deliveries: dict[int, Delivery]
    bits: list[int]
    has: NDArray[np.bool_]
    needs: NDArray[np.bool_]
    paths: dict[tuple[int, int], list[Hop]] = field(default_factory=dict)
    sending: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Choice:
    """A segment that a device may send.

    Parameters
    ----------
    flood, segment : the message, and which of its segments
    targets : its receivers
    total_bps : sum of the expected rates to them [bit/s]
    """

    flood: _Flood
    segment: int
    targets: list[int]
    total_bps: float

    def conflicts(self, other: _Choice) -> bool:
        """Return whether another choice has a receiver of the same message."""
        return self.flood is other.flood and not set(self.targets).isdisjoint(other.targets)


class Flooding:
    """Choice of the segments that devices send, and of their receivers.

    Parameters
    ----------
    env : the simulation's clock
    snapshot : returns the world at the present instant, as devices know it
    transport : size of segments, largest number of hops
    start : sends a number of bits to the receivers of some deliveries
    cancel : drops an attempt that is under way
    finish : called with a delivery, whether it is delivered, and otherwise the reason
    """

    def __init__(
        self,
        env: Clock,
        snapshot: Callable[[], Snapshot],
        transport: Transport,
        *,
        start: Callable[[Sequence[Sequence[Delivery]], int], Transmission],
        cancel: Callable[[Attempt, str], None],
        finish: Callable[[Delivery, bool, str], None],
    ) -> None:
        self._env = env
        self._snapshot = snapshot
        self._transport = transport
        self._start = start
        self._cancel = cancel
        self._finish = finish
        self._known: tuple[int, Snapshot] | None = None
        self._floods: dict[_Flood, None] = {}
        self._flood_of: dict[Delivery, _Flood] = {}
        # Number of receivers of each device that is sending.
        self._sending: dict[int, int] = {}
        # Until when links are not used, by transmitter and receiver [ns].
        self._failed: dict[Hop, int] = {}
        # What may begin at this instant: all floods at some devices, or some floods at all.
        self._free: set[int] = set()
        self._changed: dict[_Flood, None] = {}
        self._scheduled_ns = -1

    def __contains__(self, delivery: Delivery) -> bool:
        """Return whether a delivery is on its way by flooding."""
        return delivery in self._flood_of

    def submit(self, deliveries: Sequence[Delivery]) -> None:
        """Take over a message at its source."""
        first, count = deliveries[0], self._now().world.count
        bits = self._transport.segment_bits(first.message.size_bytes)
        flood = _Flood(
            {each.message.target: each for each in deliveries},
            bits,
            np.zeros((len(bits), count), dtype=np.bool_),
            np.zeros(count, dtype=np.bool_),
        )
        source = first.message.source
        flood.has[:, source] = True
        flood.needs[list(flood.deliveries)] = True
        flood.paths = {(segment, source): [] for segment in range(len(bits))}
        self._floods[flood] = None
        self._flood_of |= dict.fromkeys(deliveries, flood)
        self._env.at(first.expires_ns, partial(self._expire, flood))
        self._change(flood)

    def ended(self, delivery: Delivery, attempt: Attempt) -> None:
        """Handle the end of a segment's way to a receiver."""
        flood, target, source = self._flood_of[delivery], attempt.target, attempt.source
        segment = flood.sending.pop(target)
        self._sending[source] -= 1
        if not self._sending[source]:
            del self._sending[source]
            self._free.add(source)
        self._change(flood)
        if attempt.delivered:
            flood.has[segment, target] = True
            if flood.has[:, target].all():
                self._end(delivery, True, "")
                return
        else:
            del flood.paths[segment, target]
            if self._env.now_ns >= delivery.expires_ns:
                self._end(delivery, False, attempt.reason)
                return
            delivery.discard()
            self._failed[source, target] = self._env.now_ns + to_ns(self._transport.retry_s)
        flood.needs[target] = True

    def _end(self, delivery: Delivery, delivered: bool, reason: str) -> None:
        """End the delivery to a receiver."""
        flood = self._flood_of.pop(delivery)
        del flood.deliveries[delivery.message.target]
        if not flood.deliveries:
            del self._floods[flood]
        self._finish(delivery, delivered, reason)

    def _expire(self, flood: _Flood) -> None:
        """End the deliveries of a message that has expired, but those on the air."""
        for target, delivery in list(flood.deliveries.items()):
            if target not in flood.sending:
                flood.needs[target] = False
                self._end(delivery, False, "deadline")

    def _change(self, flood: _Flood) -> None:
        """Let devices send segments of a message later at this instant."""
        self._changed[flood] = None
        if self._scheduled_ns != self._env.now_ns:
            self._scheduled_ns = self._env.now_ns
            self._env.at(self._env.now_ns, self._dispatch)

    def _dispatch(self) -> None:
        """Let free devices send, those first that can do so to the most, at the highest rates."""
        self._scheduled_ns = -1
        free, changed = self._free, self._changed
        self._free, self._changed = set(), {}
        floods = {
            device: list(self._floods if device in free else changed)
            for device in range(self._now().world.count)
            if device not in self._sending
        }
        choices: dict[int, _Choice] = {}
        undecided = list(floods)
        while undecided or choices:
            for device in undecided:
                choices.pop(device, None)
                found = self._choice(device, floods[device])
                if found is not None:
                    choices[device] = found
            if not choices:
                break
            device = max(choices, key=lambda each: (choices[each].total_bps, -each))
            choice = choices.pop(device)
            self._transmit(device, choice)
            undecided = [other for other in choices if choices[other].conflicts(choice)]
        again_ns = self._env.now_ns + to_ns(self._transport.retry_s)
        for flood in changed:
            if flood.deliveries and not flood.sending:
                self._env.at(again_ns, partial(self._change, flood))

    def _choice(self, device: int, floods: Sequence[_Flood]) -> _Choice | None:
        """Return the segment of some messages that a device can send to the most, if any."""
        now = self._now()
        snr = np.where(now.present & now.present[device], db_to_linear(now.snr_db[device]), 0.0)
        for (source, target), until_ns in self._failed.items():
            if source == device and until_ns > self._env.now_ns:
                snr[target] = 0.0
        order = np.argsort(-snr, kind="stable")
        order = order[snr[order] > 0.0]
        best: _Choice | None = None
        for flood in floods:
            targets = order[flood.needs[order]]
            segments = [
                segment
                for segment in np.flatnonzero(flood.has[:, device]).tolist()
                if len(flood.paths[segment, device]) < self._transport.max_hops
            ]
            if not segments or not targets.size:
                continue
            lacks = ~flood.has[np.ix_(np.array(segments), targets)]
            inverse = np.cumsum(lacks / snr[targets], axis=1)
            rate_bps = now.rate_at_bps(lacks / np.where(lacks, inverse, 1.0))
            total_bps = lacks.cumsum(axis=1) * rate_bps
            place = int(total_bps.argmax())
            if total_bps.flat[place] > (0.0 if best is None else best.total_bps):
                row, last = divmod(place, targets.size)
                chosen = targets[: last + 1][lacks[row, : last + 1]].tolist()
                best = _Choice(flood, segments[row], chosen, float(total_bps.flat[place]))
        return best

    def _transmit(self, device: int, choice: _Choice) -> None:
        """Send a segment to some receivers."""
        flood, segment, targets = choice.flood, choice.segment, choice.targets
        for target in targets:
            path = [*flood.paths[segment, device], (device, target)]
            flood.paths[segment, target] = path
            flood.sending[target] = segment
            flood.needs[target] = False
            flood.deliveries[target].take(path)
        self._sending[device] = len(targets)
        bits = flood.bits[segment]
        transmission = self._start([[flood.deliveries[target]] for target in targets], bits)
        self._watch(transmission.attempts, _LEAST_SHARE * choice.total_bps / len(targets))

    def _watch(self, attempts: Sequence[Attempt], least_bps: float) -> None:
        """Drop attempts whose links have become slower than a rate [bit/s], now and later."""
        attempts = [each for each in attempts if each.ended_ns < 0]
        for attempt in attempts:
            snr = db_to_linear(self._now().snr_db[attempt.source, attempt.target])
            if self._now().rate_at_bps(snr) < least_bps:
                self._cancel(attempt, "link-failure")
        if attempts:
            # Not within the phase of an instant in which slots begin.
            at_ns = self._env.now_ns + _UPDATE_NS + 1
            self._env.at(at_ns, partial(self._watch, attempts, least_bps))

    def _now(self) -> Snapshot:
        """Return the world as devices know it."""
        if self._known is None or self._env.now_ns >= self._known[0] + _UPDATE_NS:
            self._known = self._env.now_ns, self._snapshot()
        return self._known[1]
