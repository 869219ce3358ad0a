"""Draws and gains that are computed many at a time, and are the same as one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.streams import uniform_blocks, uniforms
from wnsim.phy.modem import mean_of_bands

if TYPE_CHECKING:
    from wnsim.air.air import Setup

_BLOCK = 256
_FEW, _MANY = 32, 2048
_ERA, _LONGEST_ERA = 64, 2048


class Backoffs:
    """The draws of each node's backoffs.

    Parameters
    ----------
    key : of the draws
    nodes : how many there are

    Attributes
    ----------
    ready : next draws of each node, on [0, 1), the last ones first
    """

    def __init__(self, key: int, nodes: int) -> None:
        self._key = key
        self.ready: list[list[float]] = [[] for _ in range(nodes)]
        self._drawn = [0] * nodes

    def draw(self, node: int, window: int) -> int:
        """Return the next backoff of a node, 0 to `window` [slots]."""
        ready = self.ready[node] or self.more(node)
        return int(ready.pop() * (window + 1))

    def more(self, node: int) -> list[float]:
        """Return the list of next draws of a node, after adding to it; each time it is longer."""
        first = self._drawn[node]
        count = min(max(first, _FEW), _MANY)
        draws = uniform_blocks(self._key, [node], [node], first, count)[0]
        self._drawn[node] = first + count
        self.ready[node][:0] = draws[::-1].tolist()
        return self.ready[node]


class Draws:
    """The draws of receivers on frames.

    Parameters
    ----------
    key : of the draws
    """

    def __init__(self, key: int) -> None:
        self._key = key
        self._block: dict[tuple[int, int], tuple[int, list[float]]] = {}

    def draw(self, source: int, node: int, number: int) -> float:
        """Return the draw of a receiver on the frame of a source with a number."""
        first, values = self._block.get((source, node), (0, []))
        if not first <= number < first + len(values):
            first = number // _BLOCK * _BLOCK
            block = np.arange(first, first + _BLOCK)
            values = uniforms(self._key, source, node, block).tolist()
            self._block[source, node] = first, values
        return values[number - first]


class Paths:
    """Gains of pairs, for a stretch of the channel's samples at a time.

    Stretches grow while none of the pairs is new.

    Parameters
    ----------
    setup : what the engine works with
    """

    def __init__(self, setup: Setup) -> None:
        self._channel = setup.world.channel
        self._sample_ns = setup.sample_ns
        self._pairs: dict[tuple[int, int], list[float]] = {}
        self._span: dict[tuple[int, int], tuple[float, float]] = {}
        self._first, self._length = 0, 0

    def gain(self, source: int, target: int, now_ns: int) -> float:
        """Return the gain of a pair at an instant: the mean over the subbands."""
        place = now_ns // self._sample_ns - self._first
        pair = (source, target) if source < target else (target, source)
        if 0 <= place < self._length and pair in self._pairs:
            return self._pairs[pair][place]
        return self._more(now_ns // self._sample_ns, pair)

    @property
    def end_ns(self) -> int:
        """When the present stretch ends [ns]."""
        return (self._first + self._length) * self._sample_ns

    def span(self, source: int, target: int, now_ns: int) -> tuple[float, float]:
        """Return the least and the largest gain of a pair in the stretch of an instant."""
        self.gain(source, target, now_ns)
        return self._span[min(source, target), max(source, target)]

    def _more(self, sample: int, pair: tuple[int, int]) -> float:
        """Return the gain of a pair that is new, or at a sample that is."""
        if self._first <= sample < self._first + self._length:
            self._fill([pair])
        else:
            self._open(sample, pair)
        return self._pairs[pair][sample - self._first]

    def _open(self, sample: int, pair: tuple[int, int]) -> None:
        """Begin a stretch, for the pairs of the last one."""
        end = self._first + self._length
        close = end <= sample < end + self._length
        self._length = max(min(2 * self._length, _LONGEST_ERA), _ERA) if close else _ERA
        self._first = sample // _ERA * _ERA
        pairs = sorted({*self._pairs, pair}) if close else [pair]
        self._pairs, self._span = {}, {}
        self._fill(pairs)

    def _fill(self, pairs: list[tuple[int, int]]) -> None:
        source, target = np.array(pairs).T
        gain = self._channel.gain_blocks(source, target, self._first, self._length, self._sample_ns)
        mean = mean_of_bands(gain)
        spans = zip(mean.min(axis=1).tolist(), mean.max(axis=1).tolist(), strict=True)
        self._pairs.update(zip(pairs, mean.tolist(), strict=True))
        self._span.update(zip(pairs, spans, strict=True))
