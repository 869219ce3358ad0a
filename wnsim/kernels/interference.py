"""Kernels of interference: who emits, who interferes with whom, and who is affected by a change.

Audible nodes are kept receiver by receiver: those of receiver r are `audible[begin[r]:end[r]]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wnsim.core.units import Floats, Ints


@compiled
def emitters(name: Ints, mean_w: Floats, power_w: Floats) -> tuple[Ints, Floats, Floats]:
    """Return the emitters of transmissions, with powers added in the order given.

    Parameters
    ----------
    name : (L,) number of each transmission's emitter
    mean_w, power_w : (L,) mean power, and (L, S) power in each slot [W]

    Returns
    -------
    first : (E,) first transmission of each emitter, in ascending order of names
    mean_w, power_w : (E,) and (E, S) sums [W]
    """
    order = np.argsort(name, kind="mergesort")
    first = np.empty(name.size, dtype=np.int64)
    mean_sum_w, power_sum_w = np.zeros(name.size), np.zeros(power_w.shape)
    count = 0
    for place in order:
        if count == 0 or name[first[count - 1]] != name[place]:
            first[count] = place
            count += 1
        mean_sum_w[count - 1] += mean_w[place]
        for slot in range(power_w.shape[1]):
            power_sum_w[count - 1, slot] += power_w[place, slot]
    return first[:count], mean_sum_w[:count], power_sum_w[:count]


@compiled
def changed(
    name: Ints, mean_w: Floats, name_before: Ints, mean_before_w: Floats, nodes: int
) -> NDArray[np.bool_]:
    """Return which nodes (nodes,) emit another mean power than before, in any group.

    Parameters
    ----------
    name, name_before : (E,) and (F,) emitters, ascending: node times 2^32 plus group
    mean_w, mean_before_w : their mean powers [W]
    nodes : number of nodes
    """
    marked = np.zeros(nodes, dtype=np.bool_)
    now = before = 0
    while now < name.size or before < name_before.size:
        if before == name_before.size or (now < name.size and name[now] < name_before[before]):
            marked[name[now] >> 32] = True
            now += 1
        elif now == name.size or name[now] > name_before[before]:
            marked[name_before[before] >> 32] = True
            before += 1
        else:
            if mean_w[now] != mean_before_w[before]:
                marked[name[now] >> 32] = True
            now, before = now + 1, before + 1
    return marked


@compiled
def affected(
    marked: NDArray[np.bool_], target: Ints, audible: Ints, begin: Ints, end: Ints
) -> NDArray[np.bool_]:
    """Return whether any marked node (nodes,) is audible at each receiver (R,)."""
    found = np.zeros(target.size, dtype=np.bool_)
    for row in range(target.size):
        for place in range(begin[target[row]], end[target[row]]):
            if marked[audible[place]]:
                found[row] = True
                break
    return found


@compiled
def pairs(
    node: Ints,
    group: Ints,
    carrier: Ints,
    source: Ints,
    target: Ints,
    own_group: Ints,
    own_carrier: Ints,
    audible: Ints,
    begin: Ints,
    end: Ints,
) -> tuple[Ints, Ints]:
    """Return the interferers of links, receiver by receiver in ascending order.

    Parameters
    ----------
    node, group, carrier : (E,) emitters in ascending order of node and group
    source, target, own_group, own_carrier : (R,) ends, groups and carriers of the links
    audible, begin, end : audible nodes of each receiver, ascending

    Returns
    -------
    (P,) index of the receiver, and (P,) index of the emitter
    """
    # First emitter of each node, and of the one after it.
    first = np.zeros(begin.size + 1, dtype=np.int64)
    for other in range(node.size):
        first[node[other] + 1] += 1
    for each in range(begin.size):
        first[each + 1] += first[each]
    most = 0
    for row in range(target.size):
        for place in range(begin[target[row]], end[target[row]]):
            most += first[audible[place] + 1] - first[audible[place]]
    receiver, emitter = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    count = 0
    for row in range(target.size):
        for place in range(begin[target[row]], end[target[row]]):
            heard = audible[place]
            if heard == source[row]:
                continue
            for other in range(first[heard], first[heard + 1]):
                if group[other] != own_group[row] and carrier[other] == own_carrier[row]:
                    receiver[count], emitter[count] = row, other
                    count += 1
    return receiver[:count], emitter[:count]


@compiled
def exceeding(node: Ints, received_w: Floats, source: int, threshold: float) -> Ints:
    """Return the nodes that a receiver gets too strong for its own transmitter.

    Parameters
    ----------
    node, received_w : (n,) audible nodes, ascending, and their mean powers at the receiver [W]
    source : its own transmitter, whose power counts as 0 if it is not audible
    threshold : smallest ratio of its power to that of another node

    Returns
    -------
    (m,) other nodes, ascending
    """
    own_w = 0.0
    for place in range(node.size):
        if node[place] == source:
            own_w = received_w[place]
    found = np.empty(node.size, dtype=np.int64)
    count = 0
    for place in range(node.size):
        if node[place] != source and received_w[place] * threshold > own_w:
            found[count] = node[place]
            count += 1
    return found[:count]
