"""Relays: paths of messages over other devices, by shortest expected time.

Each device on the way receives a whole message, decodes it, and sends it on (store and forward). A
path is chosen when a message is submitted, from the mean rates that hold then: the one of least
total time among those with a limited number of hops, as if the band were free. When a link of it
breaks, the device that holds the message chooses another path for the rest of the way, around the
link and around all devices that had the message before; without one the link is treated like that
of a direct message.

A message to several receivers may go along a tree instead, on which each device receives it at most
once, and sends it on to all of its next devices in one multicast. The tree grows from the source by
the path to the receiver that costs least then, until it has all of them. A hop costs the airtime
that it adds to what its transmitter sends of the message, weighted with 1 + b / T, where b is the
airtime for which the transmitter is already booked by messages under way on other trees, and T the
lifetime of the message. With one receiver and no other messages it is the shortest path.

Sources: the recursion over the number of hops is that of Bellman, "On a routing problem", Quarterly
of Applied Mathematics 16, 1958, and Ford. Trees that grow by the nearest terminal: Takahashi and
Matsuyama, "An approximate solution for the Steiner problem in graphs", Mathematica Japonica 24,
1980. Cost of a multicast by what a receiver adds to it: Wieselthier, Nguyen and Ephremides, "On the
construction of energy-efficient broadcast and multicast trees in wireless networks", IEEE INFOCOM
2000. Weights that grow with the load: Awerbuch, Azar and Plotkin, "Throughput-competitive on-line
routing", IEEE FOCS 1993, where they are exponential.

Scope: relays know the mean rates of all links, and the trees of all messages under way, at no cost;
there is no control traffic. Without trees a message to several receivers reaches the first devices
of its paths at once, and goes on from each as separate messages.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats, Ints

if TYPE_CHECKING:
    from wnsim.core.clock import Clock
    from wnsim.network.delivery import Hop, Tree
    from wnsim.world import Snapshot


class Relays:
    """Choice of paths between devices.

    Parameters
    ----------
    env : the simulation's clock
    snapshot : returns the world at the present instant, as devices know it
    """

    def __init__(self, env: Clock, snapshot: Callable[[], Snapshot]) -> None:
        self._env = env
        self._snapshot = snapshot
        self._known: tuple[int, Floats] = (-1, np.empty((0, 0)))
        self._trees: dict[Tree, None] = {}

    def path(
        self,
        source: int,
        target: int,
        most: int,
        around: Collection[int] = (),
        without: Collection[Hop] = (),
    ) -> list[Hop] | None:
        """Return the hops of the path of least expected time, none if there is none.

        Parameters
        ----------
        source, target : its ends
        most : largest number of hops
        around, without : devices and links that it must not use
        """
        return shortest(self._time_s(around, without), source, target, most)

    def grow(
        self,
        tree: Tree,
        targets: Collection[int],
        most: int,
        around: Collection[int] = (),
        without: Collection[Hop] = (),
    ) -> dict[int, list[Hop]]:
        """Extend a tree from the devices that hold its message, and book the transmitters.

        Parameters
        ----------
        tree : the tree
        targets : receivers to be reached
        most : largest number of hops from the source to any of them
        around, without : devices and links that it must not use

        Returns
        -------
        hops from the source to each receiver that can be reached
        """
        time_s = self._time_s(around, without)
        booked_s = np.zeros(len(time_s))
        for each in self._trees:
            booked_s += each.airtime_s
        weight = 1.0 + booked_s / tree.lifetime_s
        paths, sent_s = spanning(time_s, weight, tree.holders, targets, most)
        self._trees[tree] = None
        tree.airtime_s = tree.airtime_s + tree.bits * sent_s
        return paths

    def release(self, tree: Tree) -> None:
        """Forget the bookings of a message that has ended for all receivers."""
        self._trees.pop(tree, None)

    def _time_s(self, around: Collection[int], without: Collection[Hop]) -> Floats:
        """Return the time for a bit on each link, (devices, devices), infinite if absent [s]."""
        if self._known[0] != self._env.now_ns:
            now = self._snapshot()
            with np.errstate(divide="ignore"):
                time_s = 1.0 / now.rate_bps
            time_s[~now.present] = time_s[:, ~now.present] = np.inf
            self._known = self._env.now_ns, time_s
        time_s = self._known[1]
        if around or without:
            time_s = time_s.copy()
            time_s[list(around)] = time_s[:, list(around)] = np.inf
            for hop in without:
                time_s[hop] = np.inf
        return time_s


def shortest(time_s: Floats, source: int, target: int, most: int) -> list[Hop] | None:
    """Return the hops of the shortest path with a limited number of them, none if there is none.

    Of equally short paths, one with the fewest hops.

    Parameters
    ----------
    time_s : (n, n) time of each link, infinite without one [s]
    source, target : its ends
    most : largest number of hops
    """
    return _nearest(time_s, {source: 0}, [target], most)


def spanning(
    time_s: Floats,
    weight: Floats,
    holders: Mapping[int, list[Hop]],
    targets: Collection[int],
    most: int,
) -> tuple[dict[int, list[Hop]], Floats]:
    """Return the hops to each receiver on a tree, and what is to be sent on it.

    Parameters
    ----------
    time_s : (n, n) time of each link, infinite without one [s]
    weight : (n,) factor of the time that each device sends
    holders : devices from which it grows, and the hops to each of them from the source
    targets : receivers; those that cannot be reached are left out
    most : largest number of hops from the source

    Returns
    -------
    hops from the source by receiver, and (n,) time of each device's multicast, which is that of its
    slowest link [s]
    """
    paths = dict(holders)
    sent_s = np.zeros(len(time_s))
    missing = set(targets)
    while missing:
        added_s = np.maximum(time_s - sent_s[:, None], 0.0) * weight[:, None]
        # No device receives the message twice.
        added_s[:, list(paths)] = np.inf
        path = _nearest(added_s, {node: len(hops) for node, hops in paths.items()}, missing, most)
        if path is None:
            break
        for hop in path:
            paths[hop[1]] = [*paths[hop[0]], hop]
            sent_s[hop[0]] = max(sent_s[hop[0]], time_s[hop])
        missing.difference_update(paths)
    return {target: paths[target] for target in targets if target in paths}, sent_s


def _nearest(
    time_s: Floats, sources: Mapping[int, int], targets: Collection[int], most: int
) -> list[Hop] | None:
    """Return the hops of the shortest path from any source to any target, none if there is none.

    Of equally short paths, one with the fewest hops, to the first target.

    Parameters
    ----------
    time_s : (n, n) time of each link, infinite without one [s]
    sources : number of hops used up at each source
    targets : possible ends
    most : largest number of hops, those used up included
    """
    best = np.full(len(time_s), np.inf)
    before: list[Ints] = []
    for used in range(most):
        best[[node for node, hops in sources.items() if hops == used]] = 0.0
        over = best[:, None] + time_s
        last = over.argmin(axis=0)
        found = over[last, np.arange(len(best))]
        shorter = found < best
        if not shorter.any() and used >= max(sources.values()):
            break
        before.append(np.where(shorter, last, -1))
        best = np.where(shorter, found, best)
    ends = sorted(targets)
    node = ends[int(best[ends].argmin())]
    if not np.isfinite(best[node]):
        return None
    nodes = [node]
    for each in reversed(before):
        if each[node] >= 0:
            node = int(each[node])
            nodes.append(node)
    nodes.reverse()
    return list(itertools.pairwise(nodes))
