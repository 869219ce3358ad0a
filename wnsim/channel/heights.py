"""Antenna heights of nodes, constant or functions of time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints


@dataclass(frozen=True, slots=True)
class Heights:
    """Antenna heights above the ground.

    Parameters
    ----------
    lowest_m, highest_m : (N,) bounds of the height of each node over time [m]
    varying : heights (n, T) [m] of nodes (n,) at instants (T,) [s]; none: constant heights
    """

    lowest_m: Floats
    highest_m: Floats
    varying: Callable[[Ints, Floats], Floats] | None = None

    @classmethod
    def constant(cls, heights_m: Floats) -> Heights:
        """Return heights (N,) [m] that do not change."""
        heights_m = np.asarray(heights_m, dtype=np.float64)
        return cls(heights_m, heights_m)

    def at_m(self, nodes: Ints, t_s: Floats) -> Floats:
        """Return the heights of nodes (n,) at instants (T,) [s]: (n, T), or (n, 1) if constant."""
        if self.varying is None:
            return self.lowest_m[nodes][:, None]
        return self.varying(nodes, t_s)

    def level(self, nodes: NDArray[np.bool_] | slice = slice(None)) -> bool:
        """Return whether nodes, by default all, always have one common height."""
        heights_m = self.lowest_m[nodes]
        return self.varying is None and bool(np.all(heights_m == heights_m[:1]))

    def joined(self, heights_m: Floats) -> Heights:
        """Return the heights of these nodes, followed by nodes of constant heights (n,) [m]."""
        count, varying = self.lowest_m.size, self.varying
        lowest_m = np.concatenate([self.lowest_m, heights_m])
        highest_m = np.concatenate([self.highest_m, heights_m])
        if varying is None or not heights_m.size:
            return Heights(lowest_m, highest_m, varying)

        def both_m(nodes: Ints, t_s: Floats) -> Floats:
            nodes = np.asarray(nodes)
            found_m = np.empty((nodes.size, np.size(t_s)))
            fixed = nodes >= count
            found_m[~fixed] = varying(nodes[~fixed], t_s)
            found_m[fixed] = heights_m[nodes[fixed] - count][:, None]
            return found_m

        return Heights(lowest_m, highest_m, both_m)

    def in_space_m(self, positions_m: Floats, nodes: Ints, t_s: Floats) -> Floats:
        """Return positions with the height as third coordinate, unless all nodes are level.

        Parameters
        ----------
        positions_m : (n, T, 2) ground positions [m]
        nodes : (n,) nodes
        t_s : (T,) instants [s]

        Returns
        -------
        (n, T, 3) positions [m]; those given if all nodes are level
        """
        return positions_m if self.level() else lifted_m(positions_m, self.at_m(nodes, t_s))


def lifted_m(positions_m: Floats, heights_m: Floats) -> Floats:
    """Return positions (n, T, 3) [m] at ground positions (n, T, 2) and heights (n, T or 1)."""
    heights_m = np.broadcast_to(heights_m, positions_m.shape[:2])
    return np.concatenate([positions_m, heights_m[..., None]], axis=-1)


def length_m(vectors_m: Floats) -> Floats:
    """Return the lengths (...) of vectors (..., 2 or 3) [m]."""
    return np.asarray(functools.reduce(np.hypot, np.moveaxis(vectors_m, -1, 0)))
