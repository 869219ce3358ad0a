"""Interference: what everything that transmits adds up to at a receiver.

An emitter is a node that transmits in a group; it disturbs the receivers that can hear it, on its
carrier and in other groups. Powers are added in ascending order of emitters, whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints

if TYPE_CHECKING:
    from wnsim.air.interference_graph import Hearing


@dataclass(frozen=True)
class Emitters:
    """What is on the air, by emitter in ascending order of node and group.

    Parameters
    ----------
    node, group, carrier : (E,) who, in which group, on which carrier
    power_w : (E, S) or (E, 1) power in each slot [W]
    mean_w : (E,) mean power, which is all that is known of it [W]
    """

    node: Ints
    group: Ints
    carrier: Ints
    power_w: Floats
    mean_w: Floats

    def differ_from(self, before: Emitters, nodes: int) -> NDArray[np.bool_]:
        """Return which nodes (N,) emit in another mean power than before, in any group."""
        marked = np.zeros(nodes, dtype=np.bool_)
        marked[[name >> 32 for name, _ in self._means() ^ before._means()]] = True
        return marked

    def _means(self) -> set[tuple[int, float]]:
        """Return the emitters, each a number, with their mean powers [W]."""
        names = _names(self.node, self.group)
        return set(zip(names.tolist(), self.mean_w.tolist(), strict=True))


def emitters(node: Ints, group: Ints, carrier: Ints, mean_w: Floats, power_w: Floats) -> Emitters:
    """Return the emitters of some streams (L,), whose powers are added up in order.

    Parameters
    ----------
    node, group, carrier : (L,) transmitter, group and carrier of each stream
    mean_w : (L,) its mean power [W]
    power_w : (L, S) its power in each slot [W]
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
class Disturbers:
    """Pairs of a receiver and an emitter that disturbs it, receiver by receiver.

    Parameters
    ----------
    row : (P,) place of the receiver among those asked for
    emitter : (P,) emitter
    node : (P,) node that emits
    receivers : number of receivers
    """

    row: Ints
    emitter: Ints
    node: Ints
    receivers: int

    def sum(self, power_w: Floats, gain: Floats) -> Floats:
        """Return the power that each receiver gets (R, S, B) [W].

        Parameters
        ----------
        power_w : (P, S) or (P, 1) power of the pairs' emitters [W]
        gain : (P, S, B) gains of the pairs
        """
        received = power_w[..., None] * gain
        inner = received[0].size if self.row.size else gain.shape[1] * gain.shape[2]
        place = (self.row[:, None] * inner + np.arange(inner)).ravel()
        # bincount adds in order, so that the sum does not depend on what else is asked for.
        total = np.bincount(place, received.ravel(), self.receivers * inner)
        return np.asarray(total, dtype=np.float64).reshape(self.receivers, *gain.shape[1:])


def disturbers(
    emitters: Emitters,
    hearing: Hearing,
    now_ns: int,
    source: Ints,
    target: Ints,
    group: Ints,
    carrier: Ints,
) -> Disturbers:
    """Return who disturbs some links (R,) that are on the air.

    Parameters
    ----------
    emitters : what is on the air
    hearing : who can hear whom
    now_ns : instant [ns]
    source, target, group, carrier : (R,) of the links
    """
    row, node = _pairs(hearing.heard(target.tolist(), now_ns))
    first = np.searchsorted(emitters.node, node, side="left")
    count = np.searchsorted(emitters.node, node, side="right") - first
    row, node = np.repeat(row, count), np.repeat(node, count)
    emitter = np.repeat(first - np.cumsum(count) + count, count) + np.arange(row.size)
    met = (
        (node != source[row])
        & (emitters.group[emitter] != group[row])
        & (emitters.carrier[emitter] == carrier[row])
    )
    return Disturbers(row[met], emitter[met], node[met], target.size)


def hears_any(nodes: NDArray[np.bool_], heard: list[Ints]) -> NDArray[np.bool_]:
    """Return whether each receiver (R,) hears any of the marked nodes (N,)."""
    row, node = _pairs(heard)
    hears = np.zeros(len(heard), dtype=np.bool_)
    hears[row[nodes[node]]] = True
    return hears


def _pairs(heard: list[Ints]) -> tuple[Ints, Ints]:
    """Return receivers (P,), by place, and the nodes (P,) that they hear."""
    sizes = np.fromiter(map(len, heard), np.int64, len(heard))
    node = np.concatenate(heard) if heard else np.empty(0, dtype=np.int64)
    return np.repeat(np.arange(sizes.size), sizes), node
