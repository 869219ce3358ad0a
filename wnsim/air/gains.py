"""Channel gains in a window of samples, computed once for each pair of nodes.

A window begins and ends at multiples of 64 samples, the length that the channel computes fastest.
Gains do not depend on windows: they are functions of the pair and the instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats, Ints

if TYPE_CHECKING:
    from wnsim.channel import Channel

ALIGNED = 64


class Gains:
    """Power gains of node pairs at the samples of a window.

    Parameters
    ----------
    channel : the channel
    sample_ns : time between samples [ns]
    history : samples before the window that are computed with it

    Attributes
    ----------
    end : first sample after the window
    """

    def __init__(self, channel: Channel, sample_ns: int, history: int) -> None:
        self._channel = channel
        self._sample_ns = sample_ns
        self._history = history
        self._base = 0
        self.end = 0
        self._keys = np.empty(0, dtype=np.int64)
        self._place = np.empty(0, dtype=np.int64)
        self._values = np.empty((0, 0, 1))
        self._count = 0

    def open(self, sample: int, length: int) -> None:
        """Begin a window that contains a sample and at least a number of samples after it."""
        begin = sample // ALIGNED * ALIGNED
        self.end = -(-(sample + length) // ALIGNED) * ALIGNED
        self._base = max(begin - self._history, 0)
        self._keys = np.empty(0, dtype=np.int64)
        self._place = np.empty(0, dtype=np.int64)
        self._values = np.empty((0, self.end - self._base, 1))
        self._count = 0

    def rows(self, source: Ints, target: Ints) -> Ints:
        """Return the rows of pairs (L,), computing those that are new to the window."""
        key = np.minimum(source, target) << 32 | np.maximum(source, target)
        place = np.searchsorted(self._keys, key)
        found = place < self._keys.size
        found[found] = self._keys[place[found]] == key[found]
        if not found.all():
            self._add(np.unique(key[~found]))
            place = np.searchsorted(self._keys, key)
        return np.asarray(self._place[place])

    def at(self, rows: Ints, samples: Ints) -> Floats:
        """Return the gains (L, S, B) of rows (L,) at samples (S,)."""
        return np.asarray(self._values[rows[:, None], samples - self._base])

    def _add(self, keys: Ints) -> None:
        new = self._channel.gain_blocks(
            keys >> 32,
            keys & 0xFFFFFFFF,
            self._base,
            self.end - self._base,
            self._sample_ns,
        )
        need = self._count + keys.size
        if need > self._values.shape[0]:
            room = np.empty((max(need, 2 * self._values.shape[0]), *new.shape[1:]))
            room[: self._count] = self._values[: self._count]
            self._values = room
        self._values[self._count : need] = new
        merged = np.concatenate([self._keys, keys])
        order = np.argsort(merged, kind="stable")
        self._keys = merged[order]
        self._place = np.concatenate([self._place, np.arange(self._count, need)])[order]
        self._count = need
