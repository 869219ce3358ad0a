"""Spatial reuse with manners: who must not send because of those who are on the air.

A pair of links is compatible if, by mean gains, each receiver hears its own transmitter so much
stronger than the other link's. While a flow is on the air the nodes that would drown it are barred
from sending, and a stream whose receiver would be drowned is held back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats, Ints, db_to_linear

if TYPE_CHECKING:
    from wnsim.air.flow import Flow
    from wnsim.air.interference_graph import Hearing


class Protection:
    """Which nodes are barred from sending, and which streams are held back.

    Parameters
    ----------
    hearing : who can hear whom
    lowest_db : smallest mean ratio of a receiver's own signal to that of another link [dB]
    """

    def __init__(self, hearing: Hearing, lowest_db: float) -> None:
        self._lowest = float(db_to_linear(lowest_db))
        self._hearing = hearing
        self._until_ns = -1
        self._drowning: dict[tuple[int, int], frozenset[int]] = {}
        self._bars: dict[Flow, frozenset[int]] = {}
        self._barred: Counter[int] = Counter()
        self._sending: Counter[int] = Counter()
        self._on_air: set[int] = set()
        # Transmitters with a stream that a sender on the air holds back.
        self._held_by: dict[int, set[int]] = defaultdict(set)

    def barred(self, node: int) -> bool:
        """Return whether a node's sending would drown somebody."""
        return self._barred[node] > 0

    def renew(self, now_ns: int) -> bool:
        """Return whether it is made anew who can hear whom since this was called last [ns]."""
        until_ns = self._hearing.end_ns(now_ns)
        if until_ns == self._until_ns:
            return False
        self._until_ns, self._drowning = until_ns, {}
        return True

    def prepare(self, receivers: Iterable[int], now_ns: int) -> None:
        """Find out at once whom some receivers can hear now [ns], asked before all else."""
        self._hearing.prepare(receivers, now_ns)

    def permits(self, flows: Sequence[Flow]) -> bool:
        """Return whether the receivers of a stream, given by its flows, would hear it."""
        for flow in flows:
            loud = self._on_air & self._loud(flow)
            if loud:
                self._held_by[min(loud)].add(flow.source)
                return False
        return True

    def begin(self, flows: Sequence[Flow]) -> None:
        """Take in that the flows of a stream are on the air from now on."""
        source = flows[0].source
        self._sending[source] += 1
        self._on_air.add(source)
        for flow in flows:
            self._bars[flow] = self._loud(flow)
            self._barred.update(self._bars[flow])

    def end(self, flow: Flow, last: bool) -> set[int]:
        """Take in that a flow has left the air; return the nodes that may try again.

        Parameters
        ----------
        flow : the flow
        last : whether it was the last of its stream
        """
        bars = self._bars.pop(flow)
        self._barred.subtract(bars)
        free = {node for node in bars if not self._barred[node]}
        if last:
            self._sending[flow.source] -= 1
            if not self._sending[flow.source]:
                self._on_air.discard(flow.source)
                free |= self._held_by.pop(flow.source, set())
        return free

    def _loud(self, flow: Flow) -> frozenset[int]:
        """Return the nodes that would drown a flow at its receiver."""
        link = (flow.source, flow.target)
        known = self._drowning.get(link)
        if known is None:
            nodes, received_w = self._hearing.received_w(flow.target)
            own_w = _of(nodes, received_w, flow.source)
            loud = nodes[(received_w * self._lowest > own_w) & (nodes != flow.source)]
            known = self._drowning[link] = frozenset(loud.tolist())
        return known


def _of(nodes: Ints, values: Floats, node: int) -> float:
    """Return the value of a node among sorted ones, 0 if it is not there."""
    place = int(np.searchsorted(nodes, node))
    return float(values[place]) if place < nodes.size and nodes[place] == node else 0.0
