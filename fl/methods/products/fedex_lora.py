"""FedEx-LoRA: averaged factors, and the residual that makes the mean of products exact.

Sources: Singhal et al., "FedEx-LoRA: exact aggregation for federated and efficient fine-tuning of
foundation models", ACL 2025: beside the mean factors B and A, mean(B_i A_i) - B A is added to the
frozen weight. Ours: the sum of all residuals is kept as further, frozen ranks of the adapter,
truncated to `residual_rank` by an SVD (without loss while that is at least the number of updates
times the rank in every round); a server sends this sum in each message, so that clients that missed
rounds have it; among peers, each device adds to its own sum the residual of what it has received,
which costs no bytes and is exact on a complete graph without losses only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...adapters import Adapter, Layer
from ...adapters.adapter import shape_only
from ...aggregation.products import shares_of
from ...updates.codec import Update
from .residual import ResidualMethod

Factors = tuple[torch.Tensor, ...]


class FedExLoraMethod(ResidualMethod):
    """LoRA with a residual; see `Method` and `extensions`."""

    def combine(
        self, own: Adapter, local: Update, received: Sequence[Update], weights: Sequence[float]
    ) -> Adapter:
        """Return the mean factors, and the own residual with that of the received updates."""
        updates = [local, *received]
        mean = super().average(updates, weights)
        residual = self.truncated(self.residual_of(own), _residuals(updates, weights))
        return self.with_residual(super().adopt(own, mean), *residual)

    def aggregate_clients(
        self, previous: Update, updates: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Return the mean factors with the sum of all residuals."""
        mean = super().average(updates, weights)
        layers = len(mean.b)
        before = previous.extra or ()
        parts = self.no_residual(mean.b, mean.a or ())
        if before:
            parts = before[:layers], before[layers:]
        total = self.truncated(parts, _residuals(updates, weights))
        return replace(mean, extra=(*total[0], *total[1]))

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return the factors and the residual that a server has sent."""
        layers = len(average.b)
        extra = average.extra
        residual = self.residual_of(own) if extra is None else (extra[:layers], extra[layers:])
        return self.with_residual(super().adopt(own, average), *residual)

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return both factors and the residual, all zero."""
        residual = shape_only(layers, [self.fixed_ranks] * len(layers))
        return replace(self.shapes_update(layers, True), extra=(*residual.b, *residual.a))


def _residuals(updates: Sequence[Update], weights: Sequence[float]) -> tuple[Factors, Factors]:
    """Return the factors of mean(B_i A_i) - B A, left and right ones of each layer.

    It is the covariance of the factors, a sum over n - 1 contrasts between n updates: sum_k (sum_i
    Q_ik sqrt(w_i) B_i) (sum_i Q_ik sqrt(w_i) A_i), Q orthonormal with Q^T sqrt(w) = 0.
    """
    contrasts = _contrasts(shares_of(weights))
    left, right = [], []
    for layer in range(len(updates[0].b)):
        b = torch.stack([update.b[layer] for update in updates])
        a = torch.stack([update.a[layer] for update in updates if update.a is not None])
        left.append(torch.tensordot(contrasts, b, 1).transpose(0, 1).flatten(1))
        right.append(torch.tensordot(contrasts, a, 1).flatten(0, 1))
    return tuple(left), tuple(right)


def _contrasts(shares: Sequence[float]) -> torch.Tensor:
    """Return Q^T diag(sqrt(w)), (n - 1, n), of which each row has the sum zero, for shares w."""
    root = torch.tensor(shares, dtype=torch.float64).sqrt()
    q = torch.linalg.qr(root[:, None], mode="complete").Q[:, 1:]
    contrasts: torch.Tensor = (q.T * root).float()
    return contrasts
