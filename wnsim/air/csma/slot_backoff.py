"""Backoff counted slot by slot, for the packet-level engine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from wnsim.core.streams import uniforms
from wnsim.phy.wifi import SLOT_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from wnsim.air.csma.frame import Frame
    from wnsim.air.csma.service import Service
    from wnsim.mac.edca import AccessFunction


class Station(Protocol):
    """What a backoff knows of its station.

    Attributes
    ----------
    frame : frame that it has under way, if any
    busy_ns : end of the period in which it senses the medium as busy [ns]
    """

    frame: Frame | None
    busy_ns: int

    @property
    def free_ns(self) -> int:
        """End of the busy period or of the extended interframe space [ns]."""

    @property
    def now(self) -> int:
        """The present instant [ns]."""

    def polls(self, place: int) -> bool:
        """Return whether it has a trigger frame to send by an access function."""

    def begin_at(self, instant_ns: int, action: Callable[[], None]) -> None:
        """Schedule what may begin a frame at an instant [ns]."""

    def start(self, backoff: SlotBackoff) -> None:
        """Send a packet: a backoff has ended."""


class SlotBackoff:
    """Backoff of an access function, counted slot by slot.

    Parameters
    ----------
    place : number of the access function
    function : its parameters
    queue : transmissions that wait for it, the current one first
    key : key of the draws
    station : its station

    Attributes
    ----------
    slots : remaining slots
    contends : whether it has a packet to send
    hold_ns : until when it does not contend after a triggered frame [ns]
    """

    def __init__(
        self,
        place: int,
        function: AccessFunction,
        queue: list[Service],
        key: int,
        station: Station,
    ) -> None:
        self.place, self.function, self.station = place, function, station
        self.queue = queue
        self.slots = 0
        self.contends = False
        self.hold_ns = 0
        # Number of the event that ends the current slot or interframe space; earlier ones are void.
        self._clock = 0
        self._tick_ns = -1
        self._key, self._draws = key, 0

    @property
    def _first_ns(self) -> int:
        """When the first slot begins [ns]."""
        return max(self.station.free_ns, self.hold_ns) + self.function.space_ns

    @property
    def wanted(self) -> bool:
        """Whether there is something to send."""
        return bool(self.queue) or self.station.polls(self.place)

    @property
    def due(self) -> bool:
        """Whether it ends now, and the end has not been handled yet."""
        return self.contends and not self.slots and self._tick_ns == self.station.now

    def on_queue_change(self) -> None:
        """Begin or stop contending after a change of the queue."""
        station, now = self.station, self.station.now
        if station.frame is not None and station.frame.function == self.place:
            return
        if not self.wanted:
            self.contends = False
            return
        if self.queue:
            self.queue[0].begin(now)
        if not self.contends:
            self.contends = True
            busy = station.frame is not None or max(station.busy_ns, self.hold_ns) > now
            if busy and self.slots == 0:
                self.draw(0)
            elif self.slots == 0 and self._tick_ns < 0 and self._first_ns <= now:
                self._tick_at(now, first=True)

    def draw(self, failures: int) -> None:
        """Draw the number of slots after a number of failures."""
        draw = float(uniforms(self._key, self.place, self.place, self._draws))
        self._draws += 1
        self.slots = int(draw * (self.function.contention_window(failures) + 1))

    def resume(self) -> None:
        """Wait for the interframe space after the medium falls idle."""
        self._clock += 1
        self._tick_at(max(self._first_ns, self.station.now), first=True)

    def freeze(self) -> None:
        """Stop counting: the medium has become busy."""
        now = self.station.now
        least_ns = self._first_ns + (0 if self.function.boundary else SLOT_NS)
        if self._tick_ns == now and now >= least_ns:
            self.slots = max(self.slots - 1, 0)
        self._clock += 1
        self._tick_ns = -1

    def _tick_at(self, instant_ns: int, first: bool) -> None:
        """Schedule the end of the interframe space, or of a slot."""
        self._tick_ns = instant_ns
        self.station.begin_at(instant_ns, partial(self._tick, self._clock, first))

    def _tick(self, clock: int, first: bool) -> None:
        """Handle the end of the interframe space or of an idle slot."""
        if clock != self._clock:
            return
        self._tick_ns = -1
        over = not self.slots
        if self.slots and (self.function.boundary or not first):
            self.slots -= 1
            over = not self.slots and not self.function.boundary
        if not over:
            self._tick_at(self.station.now + SLOT_NS, first=False)
        elif self.contends:
            self.station.start(self)
