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
from ...aggregation.products import shares_of, thin_svd
from ...config import FedExLora
from ...updates.codec import Update
from ..lora import LoraMethod

Factors = tuple[torch.Tensor, ...]


class FedExLoraMethod(LoraMethod):
    """LoRA with a residual; see `Method` and `extensions`."""

    def __init__(self, config: FedExLora) -> None:
        super().__init__(config)
        self.fixed_ranks = config.residual_rank

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return the adapter of LoRA with a residual of zero."""
        start = super().initial(layers, seed, device, devices)
        b = tuple(torch.zeros(layer.outputs, self.fixed_ranks) for layer in layers)
        a = tuple(torch.zeros(self.fixed_ranks, layer.inputs) for layer in layers)
        return self._with_residual(replace(start, fixed_ranks=self.fixed_ranks), b, a)

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return both factors without the residual."""
        b = tuple(each[:, : self.rank] for each in adapter.b)
        return Update(device, round_, b, a=tuple(each[: self.rank] for each in adapter.a))

    def combine(
        self, own: Adapter, local: Update, received: Sequence[Update], weights: Sequence[float]
    ) -> Adapter:
        """Return the mean factors, and the own residual with that of the received updates."""
        updates = [local, *received]
        mean = super().average(updates, weights)
        before_b = tuple(each[:, self.rank :] for each in own.b)
        before_a = tuple(each[self.rank :] for each in own.a)
        residual = self._truncated((before_b, before_a), _residuals(updates, weights, mean))
        return self._with_residual(super().adopt(own, mean), *residual)

    def aggregate_clients(
        self, previous: Update, updates: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Return the mean factors with the sum of all residuals."""
        mean = super().average(updates, weights)
        layers = len(mean.b)
        before = previous.extra or ()
        parts = (before[:layers], before[layers:]) if before else _no_ranks(mean.b, mean.a)
        total = self._truncated(parts, _residuals(updates, weights, mean))
        return replace(mean, extra=(*total[0], *total[1]))

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return the factors and the residual that a server has sent."""
        layers = len(average.b)
        own_residual = (
            *(each[:, self.rank :] for each in own.b),
            *(each[self.rank :] for each in own.a),
        )
        extra = average.extra or own_residual
        return self._with_residual(super().adopt(own, average), extra[:layers], extra[layers:])

    def extra_shapes(self, layers: Sequence[Layer]) -> list[tuple[int, int]]:
        """Return the shapes of the residual's factors."""
        b = [(layer.outputs, self.fixed_ranks) for layer in layers]
        return [*b, *((self.fixed_ranks, layer.inputs) for layer in layers)]

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return both factors and the residual, all zero."""
        residual = shape_only(layers, [self.fixed_ranks] * len(layers))
        return replace(self.shapes_update(layers, True), extra=(*residual.b, *residual.a))

    def stored_entries(self, layers: Sequence[Layer], neighbors: int) -> int:
        """Return the entries of the residual."""
        return self.fixed_ranks * sum(layer.inputs + layer.outputs for layer in layers)

    def _truncated(
        self, one: tuple[Factors, Factors], other: tuple[Factors, Factors]
    ) -> tuple[Factors, Factors]:
        """Return the factors of the sum of two residuals, per layer, truncated."""
        pairs = [
            thin_svd((b, more_b), (a, more_a), (1.0, 1.0)).factors(self.fixed_ranks)
            for b, a, more_b, more_a in zip(*one, *other, strict=True)
        ]
        return tuple(left for left, _ in pairs), tuple(right for _, right in pairs)

    def _with_residual(self, adapter: Adapter, b: Factors, a: Factors) -> Adapter:
        """Return an adapter of trained factors followed by those of a residual."""
        joined_b = [torch.cat([x[:, : self.rank], y], 1) for x, y in zip(adapter.b, b, strict=True)]
        joined_a = [torch.cat([x[: self.rank], y]) for x, y in zip(adapter.a, a, strict=True)]
        return replace(adapter, b=tuple(joined_b), a=tuple(joined_a))


def _residuals(
    updates: Sequence[Update], weights: Sequence[float], mean: Update
) -> tuple[Factors, Factors]:
    """Return the factors of mean(B_i A_i) - B A, left and right ones of each layer."""
    shares = shares_of(weights)
    left, right = [], []
    for layer in range(len(mean.b)):
        scaled = [share * update.b[layer] for share, update in zip(shares, updates, strict=True)]
        own_a = [update.a[layer] for update in (*updates, mean) if update.a is not None]
        left.append(torch.cat([*scaled, -mean.b[layer]], 1))
        right.append(torch.cat(own_a))
    return tuple(left), tuple(right)


def _no_ranks(b: Factors, a: Factors | None) -> tuple[Factors, Factors]:
    """Return a residual of rank 0 of layers with these factors."""
    return tuple(each[:, :0] for each in b), tuple(each[:0] for each in a or ())
