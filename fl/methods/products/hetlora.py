"""HetLoRA: a rank per device, factors padded with zeros.

Sources: Cho et al., "Heterogeneous LoRA for federated fine-tuning of on-device foundation models",
EMNLP 2024: factors are padded with zeros to the largest rank, averaged with weights in proportion
to ||B_i A_i||_F, and cut to the rank of each device. Ours: the norms are divided among the devices
in each layer by itself, and multiplied by the weights of the devices (with B = 0 everywhere, those
alone); ranks are not pruned by the devices themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...aggregation.products import shares_of, thin_svd
from ...aggregation.robust import Aggregator
from ...updates.codec import Update
from .flexlora import FlexLoraMethod, padded


class HetLoraMethod(FlexLoraMethod):
    """LoRA with a rank per device and padded factors; see `Method` and `extensions`."""

    def average(
        self,
        updates: Sequence[Update],
        weights: Sequence[float],
        aggregator: Aggregator | None = None,
    ) -> Update:
        """Return the weighted mean of the padded factors, for the largest device."""
        first = updates[0]
        if len(updates) == 1:
            return padded(first, self.rank)
        whole = [padded(update, self.rank) for update in updates]
        b, a = [], []
        for layer in range(len(first.b)):
            pairs = [(update.b[layer], update.a[layer]) for update in updates if update.a]
            norms = [_norm(*pair) for pair in pairs]
            scaled = [norm * weight for norm, weight in zip(norms, weights, strict=True)]
            shares = shares_of(scaled if sum(scaled) > 0 else weights)
            parts = list(zip(shares, whole, strict=True))
            b.append(torch.stack([share * one.b[layer] for share, one in parts]).sum(0))
            a.append(torch.stack([share * one.a[layer] for share, one in parts if one.a]).sum(0))
        return Update(first.device, first.round, tuple(b), a=tuple(a))


def _norm(b: torch.Tensor, a: torch.Tensor) -> float:
    """Return the Frobenius norm of a product, which is not formed."""
    return float(thin_svd([b], [a], [1.0]).values.norm())
