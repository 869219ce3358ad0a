"""DeCAF: the mean of the products, truncated to the rank.

Sources: Saadati et al., "DeCAF: decentralized consensus-and-factorization for low-rank adaptation
of foundation models", Neural Networks, 2026 (arXiv 2505.21382), known to us by its abstract: P =
sum_j w_j B_j A_j over a device and its neighbors, truncated by an SVD to the rank r. Ours: B = U
sqrt(S) and A = sqrt(S) V^T; P is never formed (`aggregation.products`), a device that received
nothing keeps its factors, and the moments of the optimizer are kept although the factors turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...aggregation.products import mean_factors
from ...aggregation.robust import Aggregator
from ...updates.codec import Update
from ..lora import ServedLoraMethod


class DecafMethod(ServedLoraMethod):
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
        own_a = [update.a for update in updates if update.a is not None]
        b, a = mean_factors([update.b for update in updates], own_a, weights, self.rank)
        return Update(first.device, first.round, b, a=a)
