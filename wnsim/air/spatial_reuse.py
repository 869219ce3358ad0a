"""Interference-aware spatial reuse: transmissions that would harm others are held back.

Two links are compatible if, at mean gains, each receiver receives its own transmitter stronger than
the other one by a threshold. While an attempt is on the air, nodes that would exceed its
interference threshold are blocked, and a transmission is held back if a transmitter on the air
exceeds its own threshold.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from wnsim import kernels
from wnsim.core.units import db_to_linear

if TYPE_CHECKING:
    from wnsim.air.interference_graph import InterferenceGraph
    from wnsim.air.transmission import Attempt


class SpatialReuse:
    """Blocked nodes and transmissions that are held back.

    Parameters
    ----------
    graph : audible nodes of each receiver
    threshold_db : smallest mean signal-to-interference ratio of a receiver and any other link [dB]
    """

    def __init__(self, graph: InterferenceGraph, threshold_db: float) -> None:
        self._threshold = float(db_to_linear(threshold_db))
        self._graph = graph
        self._until_ns = -1
        self._interferers: dict[tuple[int, int], tuple[int, ...]] = {}
        self._blocks: dict[Attempt, tuple[int, ...]] = {}
        self._blocked: Counter[int] = Counter()
        self._sending: Counter[int] = Counter()
        self._on_air: set[int] = set()
        # Transmitters with a transmission held back by a transmitter on the air.
        self._held_by: dict[int, set[int]] = defaultdict(set)

    def blocked(self, node: int) -> bool:
        """Return whether a node would exceed the threshold at a receiver on the air."""
        return self._blocked[node] > 0

    def refresh(self, now_ns: int) -> bool:
        """Return whether the interference graph has been replaced since the last call [ns]."""
        until_ns = self._graph.end_ns(now_ns)
        if until_ns == self._until_ns:
            return False
        self._until_ns, self._interferers = until_ns, {}
        return True

    def renew(self) -> None:
        """Block the nodes that exceed a threshold on the air in the new interference graph."""
        self._blocked.clear()
        for attempt in self._blocks:
            self._blocks[attempt] = self._interfering(attempt)
            self._blocked.update(self._blocks[attempt])

    def prepare(self, receivers: Iterable[int], now_ns: int) -> None:
        """Compute the audible sets of some receivers in one batch, before all other queries."""
        self._graph.prepare(receivers, now_ns)

    def permits(self, attempts: Sequence[Attempt]) -> bool:
        """Return whether a transmission and those on the air respect each other's thresholds."""
        source, on_air = attempts[0].source, self._on_air
        if self._blocked[source] > 0:
            return False
        for attempt in attempts:
            for node in self._interfering(attempt):
                if node in on_air:
                    self._held_by[node].add(source)
                    return False
        return True

    def begin(self, attempts: Sequence[Attempt]) -> None:
        """Record that the attempts of a transmission start."""
        source = attempts[0].source
        self._sending[source] += 1
        self._on_air.add(source)
        for attempt in attempts:
            self._blocks[attempt] = self._interfering(attempt)
            self._blocked.update(self._blocks[attempt])

    def end(self, attempt: Attempt, last: bool) -> set[int]:
        """Record that an attempt has left the air; return the nodes that may try again.

        Parameters
        ----------
        attempt : the attempt
        last : whether it was the last one of its transmission
        """
        free, blocked = set(), self._blocked
        for node in self._blocks.pop(attempt):
            left = blocked[node] = blocked[node] - 1
            if not left:
                free.add(node)
        if last:
            self._sending[attempt.source] -= 1
            if not self._sending[attempt.source]:
                self._on_air.discard(attempt.source)
                free |= self._held_by.pop(attempt.source, set())
        return free

    def _interfering(self, attempt: Attempt) -> tuple[int, ...]:
        """Return the nodes, ascending, that would exceed the threshold at an attempt's receiver."""
        link = (attempt.source, attempt.target)
        known = self._interferers.get(link)
        if known is None:
            nodes, received_w = self._graph.received_w(attempt.target)
            found = kernels.interference.exceeding(
                nodes, received_w, attempt.source, self._threshold
            )
            known = self._interferers[link] = tuple(found.tolist())
        return known
