"""Interference graph: the transmitters audible to each receiver.

A spatial index excludes pairs beyond the maximum range; of the others, pairs whose mean received
power is close to the noise or above are kept. The graph is computed at fixed instants, a few meters
of motion apart, so that it does not depend on the instants of queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import NS_PER_S, Floats, Ints, db_to_linear, linear_to_db, thermal_noise_w

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

    from wnsim.world import World

# Interference weaker than this, relative to the noise, is ignored [dB].
FLOOR_DB = -10.0
# Largest relative motion of two devices between two computations [m].
_MOVE_M = 10.0
_SHORTEST_S, _LONGEST_S = 0.25, 10.0


class InterferenceGraph:
    """The audible set of each receiver, as of the last of some fixed instants.

    Parameters
    ----------
    world : devices, channel and powers
    """

    def __init__(self, world: World) -> None:
        self._world = world
        speed_mps = world.motion.max_speed_mps
        interval_s = _LONGEST_S if speed_mps <= 0 else _MOVE_M / (2.0 * speed_mps)
        # At instants of the channel's grid, where its large-scale part need not be interpolated.
        step_s = world.channel.large_scale.step_s
        steps = max(1, round(min(max(interval_s, _SHORTEST_S), _LONGEST_S) / step_s))
        self._interval_ns = steps * round(step_s * NS_PER_S)
        # Received power over the noise and the floor, less the channel's gain, at full power.
        noise_w = thermal_noise_w(world.bandwidth_hz, world.noise_figure_db)
        self._receiver_db = -linear_to_db(noise_w) - FLOOR_DB
        self._sender_db = linear_to_db(world.tx_power_w)
        budget_db = float(self._receiver_db.max() + self._sender_db.max())
        self._range_m = world.channel.max_range_m(budget_db)
        self._interval = -1
        self._tree: cKDTree | None = None
        self._audible: dict[int, Ints] = {}
        self._received_w: dict[int, Floats] = {}

    def audible(self, receivers: list[int], now_ns: int) -> list[Ints]:
        """Return the audible nodes of each of some receivers, in ascending order.

        Parameters
        ----------
        receivers : nodes
        now_ns : instant [ns]
        """
        self.prepare(receivers, now_ns)
        return [self._audible[node] for node in receivers]

    def prepare(self, receivers: Iterable[int], now_ns: int) -> None:
        """Compute the audible sets of some receivers in one batch."""
        from scipy.spatial import cKDTree

        interval = now_ns // self._interval_ns
        at_s = np.array([interval * self._interval_ns / NS_PER_S])
        if interval != self._interval:
            nodes = np.arange(self._world.nodes)
            self._interval = interval
            self._tree = cKDTree(self._world.position_m(nodes, at_s)[:, 0])
            self._audible, self._received_w = {}, {}
        missing = sorted(set(receivers).difference(self._audible))
        if missing and self._tree is not None:
            positions_m = self._tree.data[missing]
            near = self._tree.query_ball_point(positions_m, self._range_m, return_sorted=True)
            target = np.repeat(missing, [len(nodes) for nodes in near])
            source = np.concatenate([np.asarray(nodes, dtype=np.int64) for nodes in near])
            other = source != target
            if self._world.nodes > self._world.count:
                # Cellular: separate uplink and downlink bands, no pairs of devices or of stations.
                other = (source < self._world.count) != (target < self._world.count)
            source, target = source[other], target[other]
            gain_db = self._world.channel.large_scale_db(source, target, at_s)[:, 0]
            audible = gain_db + self._sender_db[source] + self._receiver_db[target] >= 0.0
            source, target = source[audible], target[audible]
            received_w = self._world.tx_power_w[source] * db_to_linear(gain_db[audible])
            edges = np.searchsorted(target, [*missing, missing[-1] + 1])
            for place, node in enumerate(missing):
                part = slice(edges[place], edges[place + 1])
                self._audible[node], self._received_w[node] = source[part], received_w[part]

    def received_w(self, receiver: int) -> tuple[Ints, Floats]:
        """Return the audible nodes of a receiver, of the last query, and their mean powers [W]."""
        return self._audible[receiver], self._received_w[receiver]

    def end_ns(self, now_ns: int) -> int:
        """Return when the present graph is replaced [ns]."""
        return (now_ns // self._interval_ns + 1) * self._interval_ns
