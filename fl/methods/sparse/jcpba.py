"""JCPBA: clients prune their updates by what their links carry.

Sources: Pang and others, "Low-latency federated LLM fine-tuning over wireless networks" (arXiv
2602.01024), by its abstract: a pruning ratio and a share of the band for each client minimise the
latency of a round. Ours: entries of the smallest change are pruned; pruning leaves the computation
as it is; the mean of the ratios is given, in place of a bound of the convergence; clients that are
pruned neither least nor most end at the same time, by bisection, if each has an equal share of the
band. The band is then allocated on the air, by `mac.allocation: {model: min-max}`: with the times
of all clients equal, another step of both blocks changes nothing. The server averages the changes;
its own message is whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from wnsim.core.units import Floats

from ...adapters import Layer
from ...adapters.adapter import shape_only
from ...config import Jcpba
from ...updates.codec import HEADER_BYTES, Update, parameters_bytes
from ...updates.indices import bitmap_bytes, mean_gaps_bytes
from .changes import SparseChanges
from .planning import shares_of_mean


class JcpbaMethod(SparseChanges):
    """LoRA with changes pruned by client; see `Method` and `extensions`."""

    plans = True

    def __init__(self, config: Jcpba) -> None:
        super().__init__(config)
        self._mean, self._least = 1.0 - config.mean_pruning, 1.0 - config.most_pruning
        self._shares: dict[tuple[int, int], float] = {}

    def plan(
        self, round_: int, clients: Sequence[int], compute_s: Floats, down_s: Floats, up_s: Floats
    ) -> None:
        """Choose the shares of a round."""
        shares = shares_of_mean(self._mean, compute_s + down_s, up_s, self._least)
        self._shares |= {
            (client, round_): share for client, share in zip(clients, shares.tolist(), strict=True)
        }

    def share_of(self, device: int, round_: int) -> float:
        """Return the planned share; the mean, if there is no plan."""
        return self._shares.get((device, round_), self._mean)

    def planned(self, device: int, round_: int) -> float:
        """Return the planned share."""
        return self.share_of(device, round_)

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return entries at random places, an estimate of a whole update's size."""
        return self.estimate(layers, 1.0)

    def bytes_in(self, layers: Sequence[Layer], device: int, round_: int, bits: int) -> int:
        """Return the size of the largest entries of a change, if they are at random places."""
        share = self.share_of(device, round_)
        shapes = (
            [self.rank * layer.inputs for layer in layers],
            [self.rank * layer.outputs for layer in layers],
        )
        whole, part = (
            sum(
                parameters_bytes([round(of_all * each) for each in factor], bits)
                for factor in shapes
            )
            for of_all in (1.0, share)
        )
        entries = self.entries(layers)
        active = max(1, round(share * entries))
        index = min(bitmap_bytes(entries), mean_gaps_bytes(entries, active))
        return HEADER_BYTES + min(whole, part + index)

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return both factors, all zero."""
        shapes = shape_only(layers, self.ranks(layers))
        return Update(0, 0, shapes.b, a=shapes.a)
