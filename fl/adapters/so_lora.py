"""Sparse-and-orthogonal LoRA: A is frozen and its own for each device, B is trained under a mask.

Sources: arXiv 2602.20492, Eq. (3), (5), (6), (10), (16)-(22). Each device draws its A once, and
before its first round finds out on its own data which entries of B matter: layer-wise densities
from the spectral entropy of what enters each layer, then the entries with the largest gradients
at B = 0. The mask stays for the run. A device trains its own entries under the aggregate of
everybody's, and sends the values under its mask.

Readings: A is N(0, 1/k) rather than N(0, 1), the same up to alpha; rows of independent Gaussian
A's are orthogonal only in the limit of wide layers (their cosine is about 1/sqrt(k)).
Scope: this is the training side; clusters and the mixture at inference are not part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ..aggregate import aggregate
from ..config import SoLora
from ..seeds import key
from ..update import Update
from .adapter import Adapter, Layer, blank, draw_a, scale_of, zero_b
from .calibration import b_gradients, second_moments
from .density import allocate, largest, spectral_entropy
from .stacked import AdaptedModel

if TYPE_CHECKING:
    from ..model import Encoded


class SoLoraMethod:
    """Frozen A per device, masked B."""

    exchanges = True

    def __init__(self, config: SoLora) -> None:
        self._config = config
        self.rank = config.rank
        self.scale = scale_of(config)
        self.learning_rate = config.learning_rate
        batches = config.calibration_batches if config.mask == "grad" else 0
        self.calibration = (config.calibration_prompts, batches)

    def a_seed(self, device: int, seed: int) -> int:
        """Return the seed of a device's own A."""
        return key(seed, "so-lora a", device)

    def initial(self, layers: Sequence[Layer], a_seed: int) -> Adapter:
        """Return the A of a seed and zero B."""
        a = draw_a(layers, self.rank, self._config.a_init, a_seed)
        return Adapter(a, zero_b(layers, self.rank), self.scale, train_a=False, a_seed=a_seed)

    def calibrate(
        self,
        model: AdaptedModel,
        adapter: Adapter,
        examples: Encoded,
        batches: Sequence[Encoded],
        seed: int,
    ) -> Adapter:
        """Return the adapter with its mask.

        Parameters
        ----------
        model : the shared model
        adapter : as from `initial`
        examples : the device's training examples
        batches : batches of them over which gradients are summed
        seed : of a random mask
        """
        moments = second_moments(model, examples, self._config.calibration_prompts)
        entropies = [
            spectral_entropy(module.frozen_weight(), moment)
            for module, moment in zip(model.modules, moments, strict=True)
        ]
        sizes = [b.numel() for b in adapter.b]
        counts = allocate(sizes, entropies, self._config.density, self._config.allocation)
        if self._config.mask == "grad":
            scores = b_gradients(model, adapter, batches)
        else:
            generator = torch.Generator().manual_seed(key(seed, "mask"))
            scores = [torch.rand(b.shape, generator=generator) for b in adapter.b]
        mask = tuple(largest(score, n) for score, n in zip(scores, counts, strict=True))
        return replace(adapter, mask=mask)

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the values under the mask; at first contact also the mask and A."""
        by_seed = self._config.send_a == "seed"
        return Update(
            device,
            round_,
            adapter.b,
            adapter.mask,
            a=adapter.a if first_contact and not by_seed else None,
            a_seed=adapter.a_seed if first_contact and by_seed else None,
            tells_mask=first_contact,
        )

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return an update for other shapes, every layer at the mean density."""
        adapter = blank(layers, self.rank)
        sizes = [b.numel() for b in adapter.b]
        counts = allocate(sizes, [0.0] * len(sizes), self._config.density, "uniform")
        mask = tuple(
            (torch.arange(b.numel()) < count).reshape(b.shape)
            for b, count in zip(adapter.b, counts, strict=True)
        )
        return self.update(replace(adapter, mask=mask), 0, 0, first_contact)

    def average(self, updates: Sequence[Update], weights: Sequence[float]) -> Update:
        """Return the aggregate of all B's, each under its own mask.

        Raises
        ------
        ValueError
            if an update has no mask
        """
        masks = [update.mask for update in updates if update.mask is not None]
        if len(masks) < len(updates):
            raise ValueError("an adapter must be calibrated before it is merged")
        each_b = [update.b for update in updates]
        how = self._config.aggregation
        b = [
            aggregate(values, of_layer, weights, how)
            for values, of_layer in zip(
                zip(*each_b, strict=True), zip(*masks, strict=True), strict=True
            )
        ]
        return Update(updates[0].device, updates[0].round, tuple(b))

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return one's own A with the aggregate."""
        return replace(own, b=average.b)
