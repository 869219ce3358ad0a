"""Interference graph: the transmitters audible to each receiver.

A spatial index excludes pairs beyond the maximum range; of the others, pairs whose mean received
power is close to the noise or above are kept. The graph is computed at fixed instants, a few meters
of motion apart, so that it does not depend on the instants of queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from wnsim.channel.links import grown
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
        # Audible nodes and their powers, receiver by receiver: those of receiver r are at begin[r]
        # to end[r] - 1.
        self._node = np.empty(0, dtype=np.int64)
        self._received_w = np.empty(0)
        self._begin = np.full(world.nodes, -1, dtype=np.int64)
        self._end = np.full(world.nodes, -1, dtype=np.int64)
        self._size = 0

    def audible(self, receivers: list[int], now_ns: int) -> list[Ints]:
        """Return the audible nodes of each of some receivers, in ascending order.

        Parameters
        ----------
        receivers : nodes
        now_ns : instant [ns]
        """
        node, begin, end = self.tables(np.array(receivers, dtype=np.int64), now_ns)
        return [node[begin[each] : end[each]] for each in receivers]

    def tables(self, receivers: Ints, now_ns: int) -> tuple[Ints, Ints, Ints]:
        """Return the audible nodes of at least some receivers; see `wnsim.kernels.interference`.

        Parameters
        ----------
        receivers : (R,) nodes
        now_ns : instant [ns]

        Returns
        -------
        nodes, and (nodes,) begin and (nodes,) end of each receiver's part of them
        """
        if now_ns // self._interval_ns != self._interval or (self._begin[receivers] < 0).any():
            self.prepare(receivers.tolist(), now_ns)
        return self._node, self._begin, self._end

    def prepare(self, receivers: Iterable[int], now_ns: int) -> None:
        """Compute the audible sets of some receivers in one batch."""
        from scipy.spatial import cKDTree

        interval = now_ns // self._interval_ns
        at_s = np.array([interval * self._interval_ns / NS_PER_S])
        if interval != self._interval:
            nodes = np.arange(self._world.nodes)
            self._interval = interval
            self._tree = cKDTree(self._world.position_m(nodes, at_s)[:, 0])
            self._begin[:] = self._end[:] = -1
            self._size = 0
        begin = self._begin
        missing = sorted({node for node in receivers if begin[node] < 0})
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
            self._begin[missing], self._end[missing] = (
                self._size + edges[:-1],
                self._size + edges[1:],
            )
            known, self._size = self._size, self._size + source.size
            self._node = grown(self._node, self._size)
            self._received_w = grown(self._received_w, self._size)
            self._node[known : self._size] = source
            self._received_w[known : self._size] = received_w

    def received_w(self, receiver: int) -> tuple[Ints, Floats]:
        """Return the audible nodes of a receiver, of the last query, and their mean powers [W]."""
        part = slice(self._begin[receiver], self._end[receiver])
        return self._node[part], self._received_w[part]

    def end_ns(self, now_ns: int) -> int:
        """Return when the present graph is replaced [ns]."""
        return (now_ns // self._interval_ns + 1) * self._interval_ns
