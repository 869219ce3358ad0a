"""Maximum range of a link, so that a spatial index can skip distant pairs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from wnsim.channel.nodes import Nodes
from wnsim.channel.path_loss import PathLoss
from wnsim.channel.propagation import heights_by_role_m
from wnsim.channel.shadowing import Shadowing
from wnsim.core.units import Floats

# Three deviations of the shadow fading in line of sight of the models here.
_LUCK_DB = 12.0
# Number of node kinds up to which each pair of kinds is evaluated, and heights in place of more.
_MAX_KINDS = 128
_SPREAD_KINDS = 33
_STEPS = 64


class MaximumRange:
    """Maximum distance at which two nodes can have at most a given loss.

    Nodes are grouped by role and height. If there are many heights, or they change over time, all
    nodes of one role count as being at each of some heights between the lowest and the highest.

    Parameters
    ----------
    path_loss, station_path_loss : models of links between devices and with a base station
    shadowing : whether there is shadow fading
    frequency_hz : carrier frequency [Hz]
    nodes : heights, roles, antennas and O2I losses of all nodes
    """

    FAR_M: ClassVar[float] = 1e7

    def __init__(
        self,
        path_loss: PathLoss,
        station_path_loss: PathLoss,
        shadowing: Shadowing,
        frequency_hz: float,
        nodes: Nodes,
    ) -> None:
        self._frequency_hz = frequency_hz
        self._sigma_db = shadowing.sigma_db
        heights = nodes.heights
        gain_db = nodes.antennas.peak_dbi - nodes.penetration_db
        kind_of = np.stack([nodes.stations.astype(np.float64), heights.lowest_m], axis=1)
        # Excess height difference of a merged pair over a true one.
        self._merged_m = 0.0
        if heights.varying is not None or len(np.unique(kind_of, axis=0)) > _MAX_KINDS:
            self._merged_m = float(heights.highest_m.max() - heights.lowest_m.min())
            kind_of, gain_db = _spread(nodes, gain_db)
        kinds, kind, count = np.unique(kind_of, axis=0, return_inverse=True, return_counts=True)
        kind = kind.reshape(-1)
        # The largest gain and the second largest of each kind.
        rank = np.lexsort((gain_db, kind))
        last = np.cumsum(count) - 1
        best_db, second_db = gain_db[rank[last]], gain_db[rank[np.maximum(last - 1, 0)]]
        one, other = np.triu_indices(len(kinds))
        pairs = (one != other) | (count[one] > 1)
        one, other = one[pairs], other[pairs]
        both_db = best_db[one] + np.where(one == other, second_db[one], best_db[other])
        with_station = (kinds[one, 0] > 0.0) | (kinds[other, 0] > 0.0)
        h_bs_m, h_ut_m = heights_by_role_m(
            (kinds[one, 1], kinds[other, 1]), (kinds[one, 0] > 0.0, kinds[other, 0] > 0.0)
        )
        self._groups = [
            (model, h_bs_m[some], h_ut_m[some], both_db[some])
            for model, some in ((path_loss, ~with_station), (station_path_loss, with_station))
            if some.any()
        ]

    def __call__(self, loss_db: float) -> float:
        """Return the distance [m], at most `FAR_M`; 0 if no pair has so small a loss."""
        max_range_m = 0.0
        for model, h_bs_m, h_ut_m, gain_db in self._groups:
            limit_db = loss_db + gain_db
            low_m, high_m = np.zeros(gain_db.shape), np.full(gain_db.shape, self.FAR_M)
            never = self._least_db(low_m, model, h_bs_m, h_ut_m) >= limit_db
            always = self._least_db(high_m, model, h_bs_m, h_ut_m) < limit_db
            for _ in range(_STEPS):
                middle_m = 0.5 * (low_m + high_m)
                within = self._least_db(middle_m, model, h_bs_m, h_ut_m) < limit_db
                low_m, high_m = (
                    np.where(within, middle_m, low_m),
                    np.where(within, high_m, middle_m),
                )
            found_m = np.where(always, self.FAR_M, np.where(never, 0.0, high_m))
            max_range_m = max(max_range_m, float(found_m.max()))
        return min(float(np.hypot(max_range_m, self._merged_m)), self.FAR_M)

    def _least_db(self, d2d_m: Floats, model: PathLoss, h_bs_m: Floats, h_ut_m: Floats) -> Floats:
        """Return the smallest path loss (P,) of all states at distances (P,) [dB]."""
        least_db = np.full(d2d_m.shape, np.inf)
        for los in (True, False):
            ends = (d2d_m, h_bs_m, h_ut_m, self._frequency_hz, los)
            sigma_db = model.shadow_db(*ends) if self._sigma_db is None else self._sigma_db
            luck_db = np.where(np.asarray(sigma_db) > 0.0, _LUCK_DB, 0.0)
            least_db = np.minimum(least_db, model.loss_db(*ends) - luck_db)
        return least_db


def _spread(nodes: Nodes, gain_db: Floats) -> tuple[Floats, Floats]:
    """Return kinds that stand for nodes of many heights.

    Parameters
    ----------
    nodes : the nodes
    gain_db : (N,) peak gain of each [dB]

    Returns
    -------
    (k, 2) role and height [m] of two nodes at each height, and (k,) their gains, the two largest
    ones of the role [dB]
    """
    kinds, gains = [], []
    for role in (False, True):
        nodes_of = nodes.stations == role
        if nodes_of.any():
            low_m = nodes.heights.lowest_m[nodes_of].min()
            high_m = nodes.heights.highest_m[nodes_of].max()
            best_db = np.sort(gain_db[nodes_of])[-2:]
            heights_m = np.repeat(np.linspace(low_m, high_m, _SPREAD_KINDS), best_db.size)
            kinds.append(np.stack([np.full(heights_m.size, float(role)), heights_m], axis=1))
            gains.append(np.tile(best_db, _SPREAD_KINDS))
    return np.concatenate(kinds), np.concatenate(gains)
