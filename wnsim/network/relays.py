"""Relays: paths of messages over other devices, by shortest expected time.

Each device on the way receives a whole message, decodes it, and sends it on (store and forward). A
path is chosen when a message is submitted, from the mean rates that hold then: the one of least
total time among those with a limited number of hops, as if the band were free. When a link of it
breaks, the device that holds the message chooses another path for the rest of the way, around the
link and around all devices that had the message before; without one the link is treated like that
of a direct message.

Sources: the recursion over the number of hops is that of Bellman, "On a routing problem", Quarterly
of Applied Mathematics 16, 1958, and Ford.

Scope: relays know the mean rates of all links at no cost; there is no control traffic, and nothing
is flooded: a broadcast reaches the first devices of its paths at once, and goes on from each as
separate messages.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats, Ints

if TYPE_CHECKING:
    from wnsim.core.clock import Clock
    from wnsim.world import Snapshot

Hop = tuple[int, int]


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
        time_s = self._time_s()
        if around or without:
            time_s = time_s.copy()
            time_s[list(around)] = time_s[:, list(around)] = np.inf
            for hop in without:
                time_s[hop] = np.inf
        return shortest(time_s, source, target, most)

    def _time_s(self) -> Floats:
        """Return the time for a bit on each link, (devices, devices), infinite if absent [s]."""
        if self._known[0] != self._env.now_ns:
            now = self._snapshot()
            with np.errstate(divide="ignore"):
                time_s = 1.0 / now.rate_bps
            time_s[~now.present] = time_s[:, ~now.present] = np.inf
            self._known = self._env.now_ns, time_s
        return self._known[1]


def shortest(time_s: Floats, source: int, target: int, most: int) -> list[Hop] | None:
    """Return the hops of the shortest path with a limited number of them, none if there is none.

    Of equally short paths, one with the fewest hops.

    Parameters
    ----------
    time_s : (n, n) time of each link, infinite without one [s]
    source, target : its ends
    most : largest number of hops
    """
    best = np.full(len(time_s), np.inf)
    best[source] = 0.0
    before: list[Ints] = []
    for _ in range(most):
        over = best[:, None] + time_s
        last = over.argmin(axis=0)
        found = over[last, np.arange(len(best))]
        shorter = found < best
        if not shorter.any():
            break
        before.append(np.where(shorter, last, -1))
        best = np.where(shorter, found, best)
    if not np.isfinite(best[target]):
        return None
    nodes, node = [target], target
    for each in reversed(before):
        if each[node] >= 0:
            node = int(each[node])
            nodes.append(node)
    nodes.reverse()
    return list(itertools.pairwise(nodes))
