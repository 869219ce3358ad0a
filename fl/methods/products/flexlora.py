"""FlexLoRA: a rank per device, and averages of products.

Sources: Bai et al., "Federated fine-tuning of large language models under heterogeneous tasks and
client resources", NeurIPS 2024: the SVD of sum_i p_i B_i A_i, of which device i takes the r_i
largest ranks. Ours: the SVD is that of thin factors (`aggregation.products`), singular values are
divided between both factors as in `decaf`, which it is with equal ranks; a server sends each client
its own ranks only; devices without a server do the same with what they received; of a rank that the
mean lacks, a device keeps its A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.nn.functional import pad

from ...adapters import Adapter, Layer
from ...adapters.adapter import draw_a, shape_only, zero_b
from ...aggregation.products import mean_factors
from ...aggregation.robust import Aggregator
from ...config import FlexLora, HetLora
from ...engine.streams import key
from ...updates.codec import Update
from ..lora import ServedLoraMethod


class FlexLoraMethod(ServedLoraMethod):
    """LoRA with a rank per device; see `Method` and `extensions`."""

    shares_a = False

    def __init__(self, config: FlexLora | HetLora) -> None:
        super().__init__(config)
        self._ranks = config.ranks

    def rank_of(self, device: int) -> int:
        """Return the rank of a device."""
        return self._ranks[device % len(self._ranks)]

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return a zero B, and the first rows of an A that is common to all devices."""
        rank = self.rank_of(device)
        a = draw_a(layers, self.rank, "kaiming", key(seed, "lora a"))
        return Adapter(tuple(one[:rank].clone() for one in a), zero_b(layers, rank), self.scale)

    def shapes_update_in(
        self, layers: Sequence[Layer], first_contact: bool, device: int, round_: int
    ) -> Update:
        """Return the factors of a device, all zero."""
        shapes = shape_only(layers, [self.rank_of(device)] * len(layers))
        return self.update(shapes, device, round_, first_contact)

    def average(
        self,
        updates: Sequence[Update],
        weights: Sequence[float],
        aggregator: Aggregator | None = None,
    ) -> Update:
        """Return the largest ranks of the weighted mean of products, for the largest device."""
        first = updates[0]
        if len(updates) == 1:
            return padded(first, self.rank)
        own_a = [update.a for update in updates if update.a is not None]
        b, a = mean_factors([update.b for update in updates], own_a, weights, self.rank)
        return Update(first.device, first.round, b, a=a)

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return the first ranks of the average, as many as the device has."""
        cut = _first_ranks(average, own.rank)
        # With both factors zero, a rank that the average lacks would never be trained again.
        a = tuple(
            torch.where(new.any(1, keepdim=True), new, old)
            for new, old in zip(cut.a or (), own.a, strict=True)
        )
        return super().adopt(own, replace(cut, a=a))

    def tailored(
        self, average: Update, device: int, round_: int | None, is_current: bool
    ) -> Update:
        """Return the first ranks of a server's average, as many as a client has."""
        return _first_ranks(average, self.rank_of(device))

    def tailored_shapes(
        self, layers: Sequence[Layer], device: int, round_: int, is_current: bool
    ) -> Update:
        """Return the factors of a client, all zero."""
        return self.shapes_update_in(layers, False, device, 0)


def padded(update: Update, rank: int) -> Update:
    """Return an update whose factors have further ranks of zeros."""
    b = tuple(pad(each, (0, rank - each.shape[1])) for each in update.b)
    a = tuple(pad(each, (0, 0, 0, rank - len(each))) for each in update.a or ())
    return replace(update, b=b, a=a)


def _first_ranks(update: Update, rank: int) -> Update:
    """Return an update of the first ranks of its factors."""
    a = tuple(each[:rank].contiguous() for each in update.a or ())
    return replace(update, b=tuple(each[:, :rank].contiguous() for each in update.b), a=a)
