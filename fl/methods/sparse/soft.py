"""SOFT: near-orthogonal factors, of which the most important ranks are sent.

Sources: Kim and Choi, "Two-stage wireless federated LoRA fine-tuning with sparsified orthogonal
updates", 2025 (arXiv 2505.00333), known to us by its abstract: sparsified orthogonal fine-tuning
(SOFT) makes the factors nearly orthogonal and keeps ranks by a norm of each, without an SVD. Ours:
the penalty w/2 (||off(B^T B)||_F^2 + ||off(A A^T)||_F^2), off being the entries outside the
diagonal; the importance ||b_k|| ||a_k|| of a rank, its singular value where the factors are
orthogonal; averages of a rank over the devices that sent it, the receiver always included; a rank
that nobody sent stays as it is. The other stage, which allocates rank and bandwidth (TSFA), is not
here. A message has one bit per rank for those that it carries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from ...adapters import Adapter, Layer
from ...adapters.adapter import shape_only
from ...config import Soft
from ...updates.codec import Update
from ...updates.indices import of_ranks
from ..lora import LoraMethod
from .selection import under
from .sub_adapters import mean_of_parts


class OrthogonalityPenalty:
    """Penalty w/2 (||off(B^T B)||^2 + ||off(A A^T)||^2); see `LocalObjective`.

    Parameters
    ----------
    weight : w
    shapes : (rank, width) of B^T of every layer, then of A of every layer
    """

    is_clipped = True

    def __init__(self, weight: float, shapes: Sequence[tuple[int, int]]) -> None:
        self._weight = weight
        self._shapes = shapes

    def gradient(
        self, gradient: torch.Tensor, values: torch.Tensor, start: torch.Tensor
    ) -> torch.Tensor:
        """Return the gradient of the loss and the penalty."""
        parts = values.split([rank * width for rank, width in self._shapes])
        added = []
        for part, shape in zip(parts, self._shapes, strict=True):
            rows = part.view(shape)
            products = rows @ rows.T
            off = products - torch.diag(products.diagonal())
            added.append((2.0 * off @ rows).reshape(-1))
        return gradient + self._weight * torch.cat(added)


class SoftMethod(LoraMethod):
    """LoRA of which the most important ranks are sent; see `Method` and `extensions`."""

    def __init__(self, config: Soft) -> None:
        super().__init__(config)
        self._kept = math.ceil(config.keep * config.rank)
        self._weight = config.orthogonality

    def objective(self, adapter: Adapter, seed: int) -> OrthogonalityPenalty | None:
        """Return the penalty for factors that are not orthogonal."""
        if not self._weight:
            return None
        b = [(each.shape[1], each.shape[0]) for each in adapter.b]
        return OrthogonalityPenalty(
            self._weight, [*b, *((each.shape[0], each.shape[1]) for each in adapter.a)]
        )

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the most important ranks, and which they are; all of them outside of a round."""
        whole = super().update(adapter, device, round_, first_contact)
        if not round_ or self._kept == self.rank:
            return whole
        ranks = []
        for b, a in zip(adapter.b, adapter.a, strict=True):
            importance = b.float().norm(dim=0) * a.float().norm(dim=1)
            active = torch.zeros(self.rank, dtype=torch.bool)
            active[importance.argsort(descending=True, stable=True)[: self._kept]] = True
            ranks.append(active)
        outputs, inputs = [len(b) for b in adapter.b], [a.shape[1] for a in adapter.a]
        mask, mask_a = of_ranks(tuple(ranks), outputs, inputs)
        return replace(
            whole, b=under(adapter.b, mask), a=under(adapter.a, mask_a), mask=mask,
            mask_a=mask_a, includes_mask=True, index="shortest",
        )  # fmt: skip

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return as many ranks as are sent, all zero."""
        return self.update(shape_only(layers, self.ranks(layers)), 0, 1, first_contact)

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return both factors, all zero."""
        return self.update(shape_only(layers, self.ranks(layers)), 0, 0, False)

    def combine(
        self, own: Adapter, local: Update, received: Sequence[Update], weights: Sequence[float]
    ) -> Adapter:
        """Return the mean of each rank over the receiver and those that sent it."""
        whole = replace(local, b=own.b, a=own.a, mask=None, mask_a=None)
        mean = self.aggregate_clients(whole, [whole, *received], weights)
        return self.adopt(own, mean)

    def aggregate_clients(
        self, previous: Update, updates: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Return the mean of each rank over those that sent it."""
        if all(update.mask is None for update in updates):
            return self.average(updates, weights)
        return mean_of_parts(previous, updates, weights, "active")
