"""DeCAF: the mean of the products, truncated to the rank.

Sources: DeCAF, Neural Networks, 2026 (known to us by its abstract): P = sum_j w_j B_j A_j over a
device and its neighbors, truncated by an SVD to the rank r, B = U sqrt(S), A = sqrt(S) V^T. Ours: P
is never formed (`aggregation.products`), a device that received
nothing keeps its factors, and the moments of the optimizer are kept although the factors turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..adapters import Layer
from ..aggregation.products import shares_of, thin_svd
from ..aggregation.robust import Aggregator
from ..updates.codec import Update
from .lora import LoraMethod


class DecafMethod(LoraMethod):
    """LoRA with averages of products; see `Method`."""

    def average(
        self,
        updates: Sequence[Update],
        weights: Sequence[float],
        aggregator: Aggregator | None = None,
    ) -> Update:
        """Return the factors of the truncated weighted mean of products."""
        first = updates[0]
        if len(updates) == 1:
            return replace(first, extra=None)
        shares = shares_of(weights)
        b, a = [], []
        for layer in range(len(first.b)):
            rank = max(update.b[layer].shape[1] for update in updates)
            own_a = [update.a[layer] for update in updates if update.a is not None]
            svd = thin_svd([update.b[layer] for update in updates], own_a, shares)
            one_b, one_a = svd.factors(rank)
            b.append(one_b)
            a.append(one_a)
        return Update(first.device, first.round, tuple(b), a=tuple(a))

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return both factors, all zero."""
        return self.shapes_update(layers, True)
