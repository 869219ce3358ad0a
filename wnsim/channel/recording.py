"""Record of the gains that a simulation used, as rows of a table of measured links.

The channel is a function of seed, link and time, so that what was asked for is all that is kept
while a simulation runs; the gains themselves are computed again for the table. It has two kinds of
gains: those in blocks of time, with fading, in which messages are received; and mean gains, by
which stations are chosen, interferers found, and neighbors ranked. Values that hold from one block
to the next are written once.

The table covers what an engine computed. The windowed engine computes ahead, so that its table has
more instants than that of the packet engine, with the same values where both have some.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from wnsim.channel.replay_lines import MAX_SAMPLES
from wnsim.core.units import Floats, Ints, linear_to_db

# Gain in a table of a link without gain, the least that tables have [dB].
NO_GAIN_DB = -1000.0
# Blocks computed at once.
_BATCH = 4096


class Recorded(Protocol):
    """The channel whose gains are written."""

    @property
    def subbands(self) -> int:
        """Number of subbands."""
        ...

    def gain_blocks(
        self, source: Ints, target: Ints, first_block: int, n_blocks: int, block_ns: int
    ) -> Floats:
        """Return power gains (L, K, B) in blocks; see `Channel`."""
        ...

    def large_scale_db(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return mean gains (L, T) [dB]; see `Channel`."""
        ...


class GainRecord:
    """Links and instants for which gains were asked."""

    def __init__(self) -> None:
        self._block_ns = 0
        self._blocks: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        self._means: dict[tuple[int, int], array[float]] = defaultdict(lambda: array("d"))
        self._room = MAX_SAMPLES

    def add_blocks(
        self, source: Ints, target: Ints, first_block: int, n_blocks: int, block_ns: int
    ) -> None:
        """Note a request for gains in blocks; see `Channel.gain_blocks`."""
        self._block_ns = block_ns
        for pair in _pairs(source, target):
            spans = self._blocks[pair]
            end = first_block + n_blocks
            if spans and spans[-1][0] <= first_block <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((first_block, end))

    def add_means(self, source: Ints, target: Ints, t_s: Floats) -> None:
        """Note a request for mean gains; see `Channel.large_scale_db`."""
        instants = np.asarray(t_s, dtype=np.float64).tolist()
        self._room -= len(instants) * np.size(source)
        if self._room >= 0:
            for pair in _pairs(source, target):
                self._means[pair].extend(instants)

    def lines(
        self, channel: Recorded, names: Sequence[str], until_s: float, most: int = MAX_SAMPLES
    ) -> Iterator[str]:
        """Yield the lines of the table, the header first; link by link, in order of time.

        Parameters
        ----------
        channel : the channel, which is not recorded anymore
        names : names of all nodes
        until_s : end of the simulation, after which nothing is written [s]
        most : largest number of samples of a table

        Raises
        ------
        OverflowError
            if there are more samples than a table may have
        """
        if self._room < 0:
            raise OverflowError
        bands = channel.subbands
        gains = ["gain_db"] if bands == 1 else [f"gain_db_{band}" for band in range(bands)]
        yield ",".join(["t_s", "source", "target", *gains, "mean_gain_db"])
        written = 0
        for pair in sorted({*self._blocks, *self._means}):
            ends = f"{names[pair[0]]},{names[pair[1]]}"
            for time_s, cells in self._samples(channel, pair, until_s):
                written += 1
                if written > most:
                    raise OverflowError
                yield f"{time_s!r},{ends},{cells}"

    def _samples(
        self, channel: Recorded, pair: tuple[int, int], until_s: float
    ) -> Iterator[tuple[float, str]]:
        """Yield the instants of a link [s], and the cells of its gains and of its mean gain."""
        none = "," * (channel.subbands - 1)
        cells = dict(self._gain_cells(channel, pair, until_s))
        means = dict(self._mean_cells(channel, pair, until_s))
        for time_s in sorted({*cells, *means}):
            yield time_s, f"{cells.get(time_s, none)},{means.get(time_s, '')}"

    def _gain_cells(
        self, channel: Recorded, pair: tuple[int, int], until_s: float
    ) -> Iterator[tuple[float, str]]:
        """Yield the instants at which a link's gain changes, and the gain of each subband."""
        source, target = np.array([pair[0]]), np.array([pair[1]])
        block_s, last = self._block_ns * 1e-9, ""
        for begin, end in _joined(self._blocks.get(pair, [])):
            for first in range(begin, end, _BATCH):
                count = min(_BATCH, end - first, math.floor(until_s / block_s) + 1 - first)
                if count <= 0:
                    break
                gain = channel.gain_blocks(source, target, first, count, self._block_ns)[0]
                instants_s = np.arange(first, first + count, dtype=np.float64) * block_s
                for time_s, values in zip(instants_s.tolist(), _decibels(gain), strict=True):
                    cells = ",".join(map(repr, values))
                    if cells != last:
                        yield time_s, cells
                    last = cells

    def _mean_cells(
        self, channel: Recorded, pair: tuple[int, int], until_s: float
    ) -> Iterator[tuple[float, str]]:
        """Yield the instants at which a link's mean gain was asked for and has changed."""
        instants = [
            time_s for time_s in sorted(set(self._means.get(pair, ()))) if time_s <= until_s
        ]
        if not instants:
            return
        gain_db = channel.large_scale_db(
            np.array([pair[0]]), np.array([pair[1]]), np.array(instants)
        )
        last = ""
        for time_s, value in zip(instants, gain_db[0].tolist(), strict=True):
            cell = repr(max(value, NO_GAIN_DB))
            if cell != last:
                yield time_s, cell
            last = cell


def _pairs(source: Ints, target: Ints) -> Iterator[tuple[int, int]]:
    """Yield the ends of links, the smaller number first."""
    low, high = np.minimum(source, target), np.maximum(source, target)
    return zip(low.tolist(), high.tolist(), strict=True)


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield ranges in ascending order, without overlaps."""
    end = -1
    for first, last in sorted(spans):
        if last > end:
            yield max(first, end), last
            end = last


def _decibels(gain: Floats) -> list[list[float]]:
    """Return power gains in decibels."""
    found: list[list[float]] = np.maximum(linear_to_db(gain), NO_GAIN_DB).tolist()
    return found
