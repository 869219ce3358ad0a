"""EcoLoRA: clients send segments in turn, the largest entries of them, with coded gaps.

Sources: Liu et al., "EcoLoRA: communication-efficient federated fine-tuning of large language
models", EMNLP 2025, known to us by its abstract: the parameters are cut into segments, of which
each client sends one in turn; the share of entries that are sent follows the loss; gaps between
them have a Golomb code. Ours: client i sends segment (i + t) mod S in round t, S equal parts of B,
then A of all layers; the share is k_min + (k_max - k_min) exp(-g (L_0 - L)), at most k_max, at a
mean loss L of the local steps, L_0 in the client's first round; what is left out of a segment is
added to its next change; changes of other segments are discarded; an entry moves by the mean over
the clients whose segment has it. The server sends the whole factors, since all clients need all
segments. A message that is lost is not repeated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from ...adapters import Adapter, Layer
from ...adapters.adapter import shape_only
from ...config import EcoLora
from ...updates.codec import Tensors, Update
from ..frozen_a.density import largest_mask
from ..lora import LoraMethod
from .selection import at_random

TURN, FIRST_LOSS, MESSAGE, LEFT = "turn", "first loss", "message", "left out"
"""Names of the kept tensors: place in the order of segments; mean loss of the first round; the
entries of the change that are sent; those of all segments that were left out, as flat vectors."""


class EcoLoraMethod(LoraMethod):
    """LoRA with segments in turn; see `Method` and `extensions`."""

    sizes_vary = True

    def __init__(self, config: EcoLora) -> None:
        super().__init__(config)
        self._segments = config.segments
        self._shares = config.smallest_keep, config.largest_keep
        self._adaptivity = config.adaptivity

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return the adapter of LoRA, with nothing sent or left out."""
        start = super().initial(layers, seed, device, devices)
        entries = self.rank * sum(layer.inputs + layer.outputs for layer in layers)
        none = (torch.zeros(entries),)
        kept = {TURN: (torch.zeros(1),), FIRST_LOSS: (torch.full((1,), math.nan),)}
        return replace(start, kept=kept | {MESSAGE: none, LEFT: none})

    def masked(self, adapter: Adapter, device: int, round_: int) -> Adapter:
        """Return the adapter with its place in the order of segments."""
        return replace(adapter, kept={**adapter.kept, TURN: (torch.tensor([device + round_]),)})

    def trained(
        self, start: Adapter, after: Adapter, steps: int, learning_rate: float, loss: float
    ) -> Adapter:
        """Return the adapter with the entries to send, and what is left out."""
        kept = after.kept
        first = float(kept[FIRST_LOSS][0])
        first = loss if math.isnan(first) else first
        change = _flat((*after.b, *after.a)) - _flat((*start.b, *start.a))
        segment = self._segment(int(kept[TURN][0]), change.numel())
        left = kept[LEFT][0].clone()
        total = change[segment] + left[segment]
        mask = largest_mask(total, max(1, round(self._share(first - loss) * total.numel())))
        message = torch.zeros_like(change)
        message[segment] = torch.where(mask, total, 0.0)
        left[segment] = torch.where(mask, 0.0, total)
        new = {FIRST_LOSS: (torch.tensor([first]),), MESSAGE: (message,), LEFT: (left,)}
        return replace(after, kept={**kept, **new})

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the largest entries of a segment; outside of a round the whole factors."""
        whole = super().update(adapter, device, round_, first_contact)
        return self._sparse(whole, adapter.kept[MESSAGE][0]) if round_ else whole

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return entries of a segment at random places, an estimate."""
        shapes = at_random(layers, self.rank)
        flat = _flat((*shapes.b, *shapes.a))
        segment = self._segment(0, flat.numel())
        message = torch.zeros_like(flat)
        count = max(1, round(self._shares[1] * flat[segment].numel()))
        message[segment] = torch.where(largest_mask(flat[segment], count), flat[segment], 0.0)
        return self._sparse(Update(0, 0, shapes.b, a=shapes.a), message)

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return both factors, all zero."""
        shapes = shape_only(layers, self.ranks(layers))
        return Update(0, 0, shapes.b, a=shapes.a)

    def stored_entries(self, layers: Sequence[Layer], neighbors: int) -> int:
        """Return the entries of the factors before the local steps, and of what was left out."""
        return 2 * self.rank * sum(layer.inputs + layer.outputs for layer in layers)

    def aggregate_clients(
        self, previous: Update, updates: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Return the factors after the mean change of each segment."""
        factors = (*previous.b, *(previous.a or ()))
        flat = _flat(factors)
        total, weight = torch.zeros_like(flat), torch.zeros_like(flat)
        for update, own in zip(updates, weights, strict=True):
            segment = self._segment(update.device + update.round, flat.numel())
            total[segment] += own * _flat((*update.b, *(update.a or ())))[segment]
            weight[segment] += own
        moved = flat + torch.where(weight > 0, total / weight.clamp(min=1e-30), 0.0)
        parts = _split(moved, factors)
        return replace(previous, b=parts[: len(previous.b)], a=parts[len(previous.b) :])

    def _share(self, fallen: float) -> float:
        """Return the share of a segment that is sent, given by how much the loss has fallen."""
        low, high = self._shares
        return low + (high - low) * min(1.0, math.exp(-self._adaptivity * fallen))

    def _segment(self, turn: int, entries: int) -> slice:
        """Return the entries of a segment."""
        place = turn % self._segments
        bounds = [entries * each // self._segments for each in (place, place + 1)]
        return slice(*bounds)

    @staticmethod
    def _sparse(whole: Update, message: torch.Tensor) -> Update:
        """Return the non-zero entries of a message in the shapes of an update."""
        parts = _split(message, (*whole.b, *(whole.a or ())))
        masks = tuple(part != 0 for part in parts)
        layers = len(whole.b)
        return replace(
            whole, b=parts[:layers], a=parts[layers:], mask=masks[:layers],
            mask_a=masks[layers:], includes_mask=True, index="shortest",
        )  # fmt: skip


def _flat(tensors: Tensors) -> torch.Tensor:
    return torch.cat([each.reshape(-1) for each in tensors])


def _split(flat: torch.Tensor, like: Tensors) -> Tensors:
    parts = flat.split([each.numel() for each in like])
    return tuple(part.reshape(each.shape) for part, each in zip(parts, like, strict=True))
