"""Common part of the packet-level engines: links on the air, simulated one slot at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import numpy as np

from wnsim.air.air import Air
from wnsim.air.setup import Setup
from wnsim.air.transmission import Attempt
from wnsim.core.units import Floats, Ints


class Link(Protocol):
    """An attempt on the air, and the outcome of its present slot.

    Attributes
    ----------
    attempt : the attempt
    slot : slot that is not committed yet, -1 if there is none
    bits : bits received in it
    counts : (5,) slots by outcome, see `phy.modem`
    due_ns, complete : when the attempt ends, as far as is known [ns], and whether with all its bits
    """

    attempt: Attempt
    slot: int
    bits: int
    counts: Ints
    due_ns: int
    complete: bool


AnyLink = TypeVar("AnyLink", bound=Link)


class SlotBySlot(Air, Generic[AnyLink]):
    """The part of a packet-level engine that ends its links; see `Air`."""

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        super().__init__(setup, ended)
        self._links: dict[Attempt, AnyLink] = {}
        self._slot = 0

    def commit(self, link: AnyLink) -> None:
        """Add the past slot of a link to its attempt."""
        raise NotImplementedError

    def due(self, now_ns: int) -> list[Attempt]:
        """Return the attempts on the air that end by an instant [ns]."""
        return [attempt for attempt, link in self._links.items() if link.due_ns <= now_ns]

    def next_end_ns(self) -> int | None:
        """Return when the next attempt on the air ends [ns]."""
        return min((link.due_ns for link in self._links.values()), default=None)

    def next_slot(self) -> int | None:
        """Return the next slot, as long as links are on the air."""
        return self._slot + 1 if self._links else None

    def acked_bits(self, attempt: Attempt) -> int:
        """Return the number of bits of an attempt on the air received by now."""
        return attempt.acked_bits

    def _take_off(self, attempt: Attempt, now_ns: int) -> AnyLink:
        """Remove and return the link of an attempt that ends now, its last slot committed."""
        link = self._links.pop(attempt)
        attempt.delivered = link.complete and link.due_ns <= now_ns
        if link.slot >= 0 and (attempt.delivered or (link.slot + 1) * self.slot_ns <= now_ns):
            self.commit(link)
        attempt.acked_bits = min(attempt.acked_bits, attempt.size_bits)
        return link

    def _on_slot_end(self, link: AnyLink, slot: int) -> None:
        """Handle the end of a slot on a link."""
        there = link.attempt in self._links and link.slot == slot and not link.complete
        if there and self.env.now_ns == (slot + 1) * self.slot_ns:
            self.commit(link)

    def _predict_end(self, link: AnyLink) -> None:
        """Predict whether the present slot completes an attempt before its limit."""
        attempt = link.attempt
        missing = attempt.size_bits - attempt.acked_bits
        if link.bits < missing:
            return
        complete_ns = (link.slot + 1) * self.slot_ns
        if self.setup.modem.fluid:
            complete_ns += -(-missing * self.slot_ns // max(link.bits, 1)) - self.slot_ns
        if complete_ns <= attempt.limit_ns:
            link.due_ns, link.complete = complete_ns, True

    def _gain(self, source: int, target: int, slot: int) -> Floats:
        """Return the gain (B,) of a pair in a slot."""
        sample = slot // self.setup.sample_slots
        gain = self.setup.world.channel.gain_blocks(
            np.array([source]), np.array([target]), sample, 1, self.setup.sample_ns
        )
        return np.asarray(gain[0, 0])

    def _noise_w(self, node: int, slot: int) -> Floats:
        """Return the noise of a receiver in a slot [W]."""
        at_ns = np.array([self.setup.sample_of_ns(slot)])
        return np.asarray(self.setup.world.noise_w(np.array([node]), at_ns)[0, 0])

    def _known_gains(self, attempt: Attempt) -> list[Floats]:
        """Return the gains (B,) of an attempt's link known to its transmitter in this slot."""
        return [
            self._gain(attempt.source, attempt.target, max(self._slot - delay, 0))
            for delay in self.setup.csi_delays
        ]
