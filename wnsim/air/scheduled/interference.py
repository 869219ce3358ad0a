"""Interference: received power of all other transmissions.

An emitter is a node that transmits in a group; it interferes at the receivers to which it is
audible, on the same carrier and in other groups. Powers are added in ascending order of emitters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints

if TYPE_CHECKING:
    from wnsim.air.interference_graph import InterferenceGraph


@dataclass(frozen=True)
class Emitters:
    """The emitters on the air, in ascending order of node and group.

    Parameters
    ----------
    node, group, carrier : (E,) transmitter, group and carrier
    power_w : (E, S) or (E, 1) power in each slot [W]
    mean_w : (E,) mean power, the only part known to other transmitters [W]
    """

    node: Ints
    group: Ints
    carrier: Ints
    power_w: Floats
    mean_w: Floats

    def differ_from(self, before: Emitters, nodes: int) -> NDArray[np.bool_]:
        """Return which nodes (N,) emit another mean power than before, in any group."""
        marked = np.zeros(nodes, dtype=np.bool_)
        marked[[name >> 32 for name, _ in self._means() ^ before._means()]] = True
        return marked

    def _means(self) -> set[tuple[int, float]]:
        """Return the emitters, each as a number, with their mean powers [W]."""
        names = _names(self.node, self.group)
        return set(zip(names.tolist(), self.mean_w.tolist(), strict=True))


def emitters(node: Ints, group: Ints, carrier: Ints, mean_w: Floats, power_w: Floats) -> Emitters:
    """Return the emitters of some transmissions (L,), with powers added in order.

    Parameters
    ----------
    node, group, carrier : (L,) transmitter, group and carrier of each transmission
    mean_w : (L,) mean power [W]
    power_w : (L, S) power in each slot [W]
    """
    name, first, emitter = np.unique(_names(node, group), return_index=True, return_inverse=True)
    slots = power_w.shape[1]
    place = (emitter[:, None] * slots + np.arange(slots)).ravel()
    summed = np.bincount(place, power_w.ravel(), name.size * slots).astype(np.float64)
    return Emitters(
        node[first],
        group[first],
        carrier[first],
        summed.reshape(name.size, slots),
        np.bincount(emitter, mean_w, name.size).astype(np.float64),
    )


def _names(node: Ints, group: Ints) -> Ints:
    return node << 32 | group


@dataclass(frozen=True)
class Interferers:
    """Pairs of a receiver and an emitter that interferes with it, receiver by receiver.

    Parameters
    ----------
    row : (P,) index of the receiver
    emitter : (P,) index of the emitter
    node : (P,) node that emits
    receivers : number of receivers
    """

    row: Ints
    emitter: Ints
    node: Ints
    receivers: int

    def sum(self, power_w: Floats, gain: Floats) -> Floats:
        """Return the interference power at each receiver (R, S, B) [W].

        Parameters
        ----------
        power_w : (P, S) or (P, 1) power of the pairs' emitters [W]
        gain : (P, S, B) gains of the pairs
        """
        received = power_w[..., None] * gain
        inner = received[0].size if self.row.size else gain.shape[1] * gain.shape[2]
        place = (self.row[:, None] * inner + np.arange(inner)).ravel()
        # bincount adds in order, so that sums do not depend on the other receivers.
        total = np.bincount(place, received.ravel(), self.receivers * inner)
        return np.asarray(total, dtype=np.float64).reshape(self.receivers, *gain.shape[1:])


def find_interferers(
    emitters: Emitters,
    graph: InterferenceGraph,
    now_ns: int,
    source: Ints,
    target: Ints,
    group: Ints,
    carrier: Ints,
) -> Interferers:
    """Return the interferers of some links (R,) on the air.

    Parameters
    ----------
    emitters : emitters on the air
    graph : audible nodes of each receiver
    now_ns : instant [ns]
    source, target, group, carrier : (R,) ends, groups and carriers of the links
    """
    row, node = _pairs(graph.audible(target.tolist(), now_ns))
    first = np.searchsorted(emitters.node, node, side="left")
    count = np.searchsorted(emitters.node, node, side="right") - first
    row, node = np.repeat(row, count), np.repeat(node, count)
    emitter = np.repeat(first - np.cumsum(count) + count, count) + np.arange(row.size)
    interferes = (
        (node != source[row])
        & (emitters.group[emitter] != group[row])
        & (emitters.carrier[emitter] == carrier[row])
    )
    return Interferers(row[interferes], emitter[interferes], node[interferes], target.size)


def any_audible(nodes: NDArray[np.bool_], audible: list[Ints]) -> NDArray[np.bool_]:
    """Return whether any marked node (N,) is audible at each receiver (R,)."""
    row, node = _pairs(audible)
    found = np.zeros(len(audible), dtype=np.bool_)
    found[row[nodes[node]]] = True
    return found


def _pairs(audible: list[Ints]) -> tuple[Ints, Ints]:
    """Return the receivers (P,), by index, and the nodes (P,) audible to them."""
    sizes = np.fromiter(map(len, audible), np.int64, len(audible))
    node = np.concatenate(audible) if audible else np.empty(0, dtype=np.int64)
    return np.repeat(np.arange(sizes.size), sizes), node
