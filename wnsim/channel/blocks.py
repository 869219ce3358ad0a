"""Coherence blocks, grouped into batches at fixed instants, with node positions at their edges."""

from __future__ import annotations

import numpy as np

from wnsim import kernels
from wnsim.channel.large_scale import LargeScale, Position
from wnsim.core.units import Floats, Ints

# Maximum number of blocks in a batch; a power of two.
_CHUNK_BLOCKS = 64


class Blocks:
    """Consecutive coherence blocks.

    Parameters
    ----------
    first, count : number of the first block, and of blocks; block k starts at k times `block_ns`
    block_ns : duration of a block [ns]
    large_scale : large-scale model, whose time step bounds a batch unless a block is longer
    position : positions (n, T, 2) [m] of nodes (n,) at instants (T,) [s]
    nodes : N, number of nodes

    Attributes
    ----------
    t_s, instants : (count,) instants of the blocks [s], and the same on the grid
    size, chunk_s : blocks per batch, and its duration [s]
    first_chunk, skip : number of the first batch, and its blocks before the first one
    """

    def __init__(
        self,
        first: int,
        count: int,
        block_ns: int,
        large_scale: LargeScale,
        position: Position,
        nodes: int,
    ) -> None:
        if block_ns <= 0:
            raise ValueError(f"block_ns must be positive, got {block_ns}")
        self.name = (first, count, block_ns)
        block_s = block_ns * 1e-9
        self.t_s = np.arange(first, first + count, dtype=np.float64) * block_s
        self.instants = large_scale.instants(self.t_s)
        self.size = _CHUNK_BLOCKS
        while self.size > 1 and self.size * block_ns > large_scale.step_s * 1e9:
            self.size //= 2
        self.chunk_s = self.size * block_s
        self.first_chunk = first // self.size
        self.skip = first - self.first_chunk * self.size
        last_chunk = (first + count - 1) // self.size
        self._edges_s = np.arange(self.first_chunk, last_chunk + 2, dtype=np.float64) * self.chunk_s
        self._position = position
        self._known = np.zeros(nodes, dtype=np.bool_)
        self._places_m = np.empty((nodes, self._edges_s.size, 2))

    def positions_m(self, source: Ints, target: Ints) -> tuple[Floats, Floats]:
        """Return the positions (L, C + 1, 2) of both ends (L,) at the edges of C batches [m]."""
        places_m = self.places_m(source, target)
        return places_m[source], places_m[target]

    def places_m(self, source: Ints, target: Ints) -> Floats:
        """Return positions (nodes, C + 1, 2) at the edges of C batches, valid at some ends [m]."""
        missing = kernels.link_geometry.missing(self._known, source, target)
        if missing.size:
            self._places_m[missing] = self._position(missing, self._edges_s)
        return self._places_m
