"""Who can hear whom: receivers and the transmitters that may disturb them.

Pairs farther apart than any luck with obstacles could bridge are never looked at (a spatial
index), and of the others only those whose mean received power comes near the noise are kept. The
lists are made at fixed instants, a few meters of motion apart, so that they do not depend on who
asks when.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from wnsim.core.units import NS_PER_S, Floats, Ints, db_to_linear, linear_to_db, thermal_noise_w

if TYPE_CHECKING:
    from wnsim.world import World

# Interference this far below the noise is left out [dB].
FLOOR_DB = -10.0
# Devices may move this far between two looks at who hears whom [m].
_MOVE_M = 10.0
_SHORTEST_S, _LONGEST_S = 0.25, 10.0


class Hearing:
    """The nodes that each receiver can hear, as of the last of some fixed instants.

    Parameters
    ----------
    world : devices, channel and powers
    """

    def __init__(self, world: World) -> None:
        self._world = world
        speed_mps = world.motion.max_speed_mps
        epoch_s = _LONGEST_S if speed_mps <= 0 else _MOVE_M / (2.0 * speed_mps)
        # At instants of the channel's own grid, where its slow part need not be interpolated.
        step_s = world.channel.large_scale.step_s
        steps = max(1, round(min(max(epoch_s, _SHORTEST_S), _LONGEST_S) / step_s))
        self._epoch_ns = steps * round(step_s * NS_PER_S)
        # Received power over the noise and the floor, less the channel's gain, at full power.
        noise_w = thermal_noise_w(world.bandwidth_hz, world.noise_figure_db)
        self._receiver_db = -linear_to_db(noise_w) - FLOOR_DB
        self._sender_db = linear_to_db(world.tx_power_w)
        budget_db = float(self._receiver_db.max() + self._sender_db.max())
        self._reach_m = world.channel.reach_m(budget_db)
        self._epoch = -1
        self._tree: cKDTree | None = None
        self._heard: dict[int, Ints] = {}
        self._received_w: dict[int, Floats] = {}

    def heard(self, receivers: list[int], now_ns: int) -> list[Ints]:
        """Return the nodes that each of some receivers can hear, in ascending order.

        Parameters
        ----------
        receivers : nodes
        now_ns : instant [ns]
        """
        self.prepare(receivers, now_ns)
        return [self._heard[node] for node in receivers]

    def prepare(self, receivers: Iterable[int], now_ns: int) -> None:
        """Find out at once what will be asked of some receivers."""
        epoch = now_ns // self._epoch_ns
        at_s = np.array([epoch * self._epoch_ns / NS_PER_S])
        if epoch != self._epoch:
            everyone = np.arange(self._world.nodes)
            self._epoch = epoch
            self._tree = cKDTree(self._world.position_m(everyone, at_s)[:, 0])
            self._heard, self._received_w = {}, {}
        missing = sorted(set(receivers).difference(self._heard))
        if missing and self._tree is not None:
            places_m = self._tree.data[missing]
            near = self._tree.query_ball_point(places_m, self._reach_m, return_sorted=True)
            target = np.repeat(missing, [len(nodes) for nodes in near])
            source = np.concatenate([np.asarray(nodes, dtype=np.int64) for nodes in near])
            other = source != target
            if self._world.nodes > self._world.count:
                # Through base stations: a station only ever hears devices, and they only stations.
                other = (source < self._world.count) != (target < self._world.count)
            source, target = source[other], target[other]
            gain_db = self._world.channel.large_scale_db(source, target, at_s)[:, 0]
            loud = gain_db + self._sender_db[source] + self._receiver_db[target] >= 0.0
            source, target = source[loud], target[loud]
            received_w = self._world.tx_power_w[source] * db_to_linear(gain_db[loud])
            edges = np.searchsorted(target, [*missing, missing[-1] + 1])
            for place, node in enumerate(missing):
                part = slice(edges[place], edges[place + 1])
                self._heard[node], self._received_w[node] = source[part], received_w[part]

    def received_w(self, receiver: int) -> tuple[Ints, Floats]:
        """Return what `heard` found last for a receiver, and at which power it hears it [W]."""
        return self._heard[receiver], self._received_w[receiver]

    def end_ns(self, now_ns: int) -> int:
        """Return when the lists that hold now are made anew [ns]."""
        return (now_ns // self._epoch_ns + 1) * self._epoch_ns
