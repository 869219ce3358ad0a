"""CHOCO-LoRA: gossip of compressed differences to public copies, which feeds errors back.

Every device i has a public copy c_i of its factors x_i, which it and its neighbors know. After its
local steps it sends q_i = Q(x_i - c_i); all add q_i to c_i; then
x_i <- x_i + gamma sum_j w_ij (c_j - c_i). What Q leaves out stays in the next difference.

Sources: Koloskova, Stich, Jaggi, "Decentralized stochastic optimization and gossip algorithms with
compressed communication", ICML 2019, Algorithm 2 (CHOCO-SGD; Theorem 2: without gradients, the
distance to the mean falls linearly, at least by 1 - delta^2 omega / 82 in a round at their gamma).
Ours: x are both factors of LoRA, the first copies the factors from which all devices start; copies
are rounded to half precision after each addition, so that they can be sent; a receiver that has
missed a difference, by loss or as a new neighbor, is sent the copy before it too; w_ij are the
weights of the devices over those of the updates that have arrived, so that the mean is preserved
where these are symmetric only. The positions of the entries are coded as is shortest
(`updates.indices`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...adapters import Adapter, Layer
from ...aggregation.products import shares_of
from ...config import ChocoLora
from ...updates.codec import Update
from ..lora import LoraMethod
from .selection import at_random, differences, largest_of_both, under

Tensors = tuple[torch.Tensor, ...]
LARGEST = 65504.0
"""Largest number in half precision; a corrupted difference may be beyond it."""
COPY = "public copy"
"""Name of the kept tensors: B, then A of each layer, in half precision."""


class ChocoLoraMethod(LoraMethod):
    """LoRA gossip with compressed differences; see `Method` and `extensions`."""

    sizes_vary = True
    differential = True

    def __init__(self, config: ChocoLora) -> None:
        super().__init__(config)
        self._keep = config.keep
        self._gamma = config.gamma

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return the adapter of LoRA, with a public copy of it."""
        start = super().initial(layers, seed, device, devices)
        return replace(start, kept={COPY: tuple(x.half() for x in (*start.b, *start.a))})

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the compressed difference; at first contact with the copy before it."""
        copy = adapter.kept[COPY]
        b = differences(adapter.b, copy[: len(adapter.b)])
        a = differences(adapter.a, copy[len(adapter.b) :])
        mask, mask_a = largest_of_both(b, a, self._keep)
        return Update(
            device,
            round_,
            under(b, mask),
            mask,
            a=under(a, mask_a),
            mask_a=mask_a,
            includes_mask=True,
            index="shortest",
            extra=copy if first_contact else None,
            extra_in_half=True,
        )

    def extra_shapes(self, layers: Sequence[Layer]) -> list[tuple[int, int]]:
        """Return the shapes of a public copy."""
        b = [(layer.outputs, self.rank) for layer in layers]
        return [*b, *((self.rank, layer.inputs) for layer in layers)]

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return a difference of entries at random places, an estimate."""
        found = at_random(layers, self.rank)
        zero = torch.zeros(1, 1, dtype=torch.half)
        copy = tuple(zero.expand(each.shape) for each in (*found.b, *found.a))
        return self.update(replace(found, kept={COPY: copy}), 0, 0, first_contact)

    def combine(
        self, own: Adapter, local: Update, received: Sequence[Update], weights: Sequence[float]
    ) -> Adapter:
        """Return the factors after a step towards the mean of the public copies."""
        copy = _copy_of(local)
        moves = [torch.zeros(each.shape) for each in copy]
        for update, share in zip(received, shares_of(weights)[1:], strict=True):
            for move, theirs, mine in zip(moves, _copy_of(update), copy, strict=True):
                move += self._gamma * share * (theirs.float() - mine.float())
        values = [x + move for x, move in zip((*own.b, *own.a), moves, strict=True)]
        layers = len(own.b)
        b, a = tuple(values[:layers]), tuple(values[layers:])
        return replace(own, b=b, a=a, kept={**own.kept, COPY: copy})

    def stored_entries(self, layers: Sequence[Layer], neighbors: int) -> int:
        """Return the entries of the public copies of a device and its neighbors."""
        each = self.rank * sum(layer.inputs + layer.outputs for layer in layers)
        return (1 + neighbors) * each


def _copy_of(update: Update) -> Tensors:
    """Return a sender's public copy after its difference."""
    parts = (*update.b, *(update.a or ()))
    before = update.extra or tuple(torch.zeros(1) for _ in parts)
    return tuple(
        (old.float() + new).clamp(-LARGEST, LARGEST).half()
        for old, new in zip(before, parts, strict=True)
    )
