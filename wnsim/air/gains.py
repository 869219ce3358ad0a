"""Channel gains in a window of samples, computed once for each pair of nodes.

A window begins and ends at multiples of 64 samples, the length that the channel computes fastest.
Gains do not depend on windows: they are functions of the pair and the instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wnsim.channel.links import LinkRows, grown
from wnsim.core.units import Floats, Ints
from wnsim.kernels.layout import plain

if TYPE_CHECKING:
    from wnsim.channel import Channel

ALIGNED = 64
# Gains of all pairs of a window are kept.
_NO_LIMIT = 1 << 62


class Gains:
    """Power gains of node pairs at the samples of a window.

    Parameters
    ----------
    channel : the channel
    sample_ns : time between samples [ns]
    history : samples before the window that are computed with it

    Attributes
    ----------
    base, end : first sample that is computed, and first sample after the window
    values : (K, T, B) gains of pairs from the first sample on, by row
    """

    def __init__(self, channel: Channel, sample_ns: int, history: int) -> None:
        self._channel = channel
        self._sample_ns = sample_ns
        self._history = history
        self.base = self.end = 0
        self.values = np.empty((0, 0, 1))
        self._rows = LinkRows(_NO_LIMIT)

    def open(self, sample: int, length: int) -> None:
        """Begin a window that contains a sample and at least a number of samples after it."""
        begin = sample // ALIGNED * ALIGNED
        self.end = -(-(sample + length) // ALIGNED) * ALIGNED
        self.base = max(begin - self._history, 0)
        self.values = np.empty((0, self.end - self.base, 1))
        self._rows = LinkRows(_NO_LIMIT)

    def rows(self, source: Ints, target: Ints) -> Ints:
        """Return the rows of pairs (L,), computing those that are new to the window."""
        known = len(self._rows)
        low, high = np.minimum(source, target), np.maximum(source, target)
        rows, new = self._rows(low, high)
        if new.size:
            ends, count = (low[new], high[new]), self.end - self.base
            gain = self._channel.gain_blocks(*ends, self.base, count, self._sample_ns)
            if not known:
                self.values = plain(gain)
            else:
                self.values = grown(self.values, len(self._rows))
                self.values[known : len(self._rows)] = gain
        return rows

    def at_samples(self, rows: Ints, samples: Ints) -> Floats:
        """Return the gains (F, B) of rows (F,), each at its own sample (F,)."""
        return np.asarray(self.values[rows, samples - self.base])
