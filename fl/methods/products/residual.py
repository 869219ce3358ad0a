"""Adapters with a residual: further, frozen ranks beside the trained ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch

from ...adapters import Adapter, Layer
from ...aggregation.products import thin_svd
from ...updates.codec import Tensors, Update
from ..lora import LoraLike, LoraMethod


class WithResidual(LoraLike, Protocol):
    """Parameters of a method with a residual."""

    @property
    def residual_rank(self) -> int:
        """Rank to which the residual is truncated."""


class ResidualMethod(LoraMethod):
    """LoRA with a residual, which devices keep and servers send; see `Method` and `extensions`."""

    def __init__(self, config: WithResidual) -> None:
        super().__init__(config)
        self.fixed_ranks = config.residual_rank

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return the adapter of LoRA with a residual of zero."""
        start = super().initial(layers, seed, device, devices)
        b = tuple(torch.zeros(layer.outputs, self.fixed_ranks) for layer in layers)
        a = tuple(torch.zeros(self.fixed_ranks, layer.inputs) for layer in layers)
        return self.with_residual(replace(start, fixed_ranks=self.fixed_ranks), b, a)

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return both factors without the residual."""
        b = tuple(each[:, : self.rank] for each in adapter.b)
        return Update(device, round_, b, a=tuple(each[: self.rank] for each in adapter.a))

    def extra_shapes(self, layers: Sequence[Layer]) -> list[tuple[int, int]]:
        """Return the shapes of the residual's factors."""
        b = [(layer.outputs, self.fixed_ranks) for layer in layers]
        return [*b, *((self.fixed_ranks, layer.inputs) for layer in layers)]

    def stored_entries(self, layers: Sequence[Layer], neighbors: int) -> int:
        """Return the entries of the residual."""
        return self.fixed_ranks * sum(layer.inputs + layer.outputs for layer in layers)

    def residual_of(self, adapter: Adapter) -> tuple[Tensors, Tensors]:
        """Return the factors of an adapter's residual, per layer."""
        b = tuple(each[:, self.rank :] for each in adapter.b)
        return b, tuple(each[self.rank :] for each in adapter.a)

    def no_residual(self, b: Tensors, a: Tensors) -> tuple[Tensors, Tensors]:
        """Return a residual of zero of layers with these factors."""
        rank = self.fixed_ranks
        none_b = tuple(torch.zeros(len(each), rank) for each in b)
        return none_b, tuple(torch.zeros(rank, each.shape[1]) for each in a)

    def truncated(
        self, one: tuple[Tensors, Tensors], other: tuple[Tensors, Tensors]
    ) -> tuple[Tensors, Tensors]:
        """Return the factors of the sum of two residuals, per layer, truncated."""
        pairs = [
            thin_svd((b, more_b), (a, more_a), (1.0, 1.0)).factors(self.fixed_ranks)
            for b, a, more_b, more_a in zip(*one, *other, strict=True)
        ]
        return tuple(left for left, _ in pairs), tuple(right for _, right in pairs)

    def with_residual(self, adapter: Adapter, b: Tensors, a: Tensors) -> Adapter:
        """Return an adapter of trained factors followed by those of a residual."""
        joined_b = [torch.cat([x[:, : self.rank], y], 1) for x, y in zip(adapter.b, b, strict=True)]
        joined_a = [torch.cat([x[: self.rank], y]) for x, y in zip(adapter.a, a, strict=True)]
        return replace(adapter, b=tuple(joined_b), a=tuple(joined_a))
