"""Precomputed draws and gains: computed in batches, identical to values computed one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.streams import uniform_blocks, uniforms
from wnsim.phy.modem import mean_of_bands

if TYPE_CHECKING:
    from wnsim.air.setup import Setup

# Draws computed per call: for receptions; for backoffs, at first and at most.
_BLOCK = 256
_FEW, _MANY = 32, 2048
# Length of a window of link gains, at first and at most [samples].
_WINDOW, _LONGEST_WINDOW = 64, 2048


class Backoffs:
    """Backoff draws of each node.

    Parameters
    ----------
    key : key of the draws
    nodes : number of nodes

    Attributes
    ----------
    ready : precomputed draws of each node on [0, 1), the next one last
    """

    def __init__(self, key: int, nodes: int) -> None:
        self._key = key
        self.ready: list[list[float]] = [[] for _ in range(nodes)]
        self._drawn = [0] * nodes

    def draw(self, node: int, window: int) -> int:
        """Return the next backoff of a node, uniform from 0 to `window` [slots]."""
        ready = self.ready[node] or self.more(node)
        return int(ready.pop() * (window + 1))

    def more(self, node: int) -> list[float]:
        """Extend and return the list of draws of a node, by a batch that grows with each call."""
        first = self._drawn[node]
        count = min(max(first, _FEW), _MANY)
        draws = uniform_blocks(self._key, [node], [node], first, count)[0]
        self._drawn[node] = first + count
        self.ready[node][:0] = draws[::-1].tolist()
        return self.ready[node]


class ReceptionDraws:
    """Draws that decide whether receivers decode frames.

    Parameters
    ----------
    key : key of the draws
    """

    def __init__(self, key: int) -> None:
        self._key = key
        self._block: dict[tuple[int, int], tuple[int, list[float]]] = {}

    def draw(self, source: int, node: int, number: int) -> float:
        """Return the draw of a receiver for the frame of a source with a sequence number."""
        first, values = self._block.get((source, node), (0, []))
        if not first <= number < first + len(values):
            first = number // _BLOCK * _BLOCK
            block = np.arange(first, first + _BLOCK)
            values = uniforms(self._key, source, node, block).tolist()
            self._block[source, node] = first, values
        return values[number - first]


class LinkGains:
    """Gains of node pairs, computed for a window of channel samples at a time.

    Windows grow as long as all pairs stay the same.

    Parameters
    ----------
    setup : what the engine is built from
    """

    def __init__(self, setup: Setup) -> None:
        self._channel = setup.world.channel
        self._sample_ns = setup.sample_ns
        self._pairs: dict[tuple[int, int], list[float]] = {}
        self._bounds: dict[tuple[int, int], tuple[float, float]] = {}
        self._first, self._length = 0, 0

    def gain(self, source: int, target: int, now_ns: int) -> float:
        """Return the gain of a pair at an instant, averaged over the subbands."""
        place = now_ns // self._sample_ns - self._first
        pair = (source, target) if source < target else (target, source)
        if 0 <= place < self._length and pair in self._pairs:
            return self._pairs[pair][place]
        return self._compute(now_ns // self._sample_ns, pair)

    @property
    def end_ns(self) -> int:
        """End of the current window [ns]."""
        return (self._first + self._length) * self._sample_ns

    def bounds(self, source: int, target: int, now_ns: int) -> tuple[float, float]:
        """Return the smallest and the largest gain of a pair in the window of an instant."""
        self.gain(source, target, now_ns)
        return self._bounds[min(source, target), max(source, target)]

    def _compute(self, sample: int, pair: tuple[int, int]) -> float:
        """Return the gain of a pair that is new to the window, or at a sample outside it."""
        if self._first <= sample < self._first + self._length:
            self._fill([pair])
        else:
            self._open(sample, pair)
        return self._pairs[pair][sample - self._first]

    def _open(self, sample: int, pair: tuple[int, int]) -> None:
        """Begin a window, for the pairs of the last one if it follows closely."""
        end = self._first + self._length
        close = end <= sample < end + self._length
        self._length = max(min(2 * self._length, _LONGEST_WINDOW), _WINDOW) if close else _WINDOW
        self._first = sample // _WINDOW * _WINDOW
        pairs = sorted({*self._pairs, pair}) if close else [pair]
        self._pairs, self._bounds = {}, {}
        self._fill(pairs)

    def _fill(self, pairs: list[tuple[int, int]]) -> None:
        source, target = np.array(pairs).T
        gain = self._channel.gain_blocks(source, target, self._first, self._length, self._sample_ns)
        mean = mean_of_bands(gain)
        bounds = zip(mean.min(axis=1).tolist(), mean.max(axis=1).tolist(), strict=True)
        self._pairs.update(zip(pairs, mean.tolist(), strict=True))
        self._bounds.update(zip(pairs, bounds, strict=True))
