"""Methods with a frozen A: only B is trained, in all its entries or under a static mask.

They are one method with different settings: whether devices share A, the distribution of A, the
entries of B that a device trains, and the devices over which an entry is averaged.

Sources: `so-lora`: arXiv 2602.20492, Eq. (3), (5), (6), (10), (16)-(22); `ffa-lora`: Sun et al.,
"Improving LoRA in privacy-preserving federated learning", ICLR 2024; `lori-d`, `lori-s`: Zhang et
al., LoRI, 2025 (with private A's and averaging over neighbors as arXiv 2602.20492 compares it;
there adapters of finished tasks are concatenated). `full-ft` is their limit: with the identity for
A, B is any change of the weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch

from ...adapters import AdaptedModel, Adapter, Layer
from ...adapters.adapter import dense_adapter, draw_a, scale_of, shape_only, zero_b
from ...aggregation.robust import Aggregator
from ...aggregation.weighted_mean import aggregate, weighted_mean
from ...config import FfaLora, FullFt, LoriD, LoriS, SoLora
from ...config.methods import PRESETS
from ...engine.streams import key
from ...updates.codec import Update
from .density import density_of_ratio
from .masks import (
    Allocation,
    gradient_mask,
    layer_counts,
    random_mask,
    trained_mask,
    uniform_counts,
)
from .projections import ADistribution, a_seed_of, device_a

if TYPE_CHECKING:
    from ...models.language_model import Encoded

_DENSITY = 0.54
"""Default density of `so-lora`: that of the paper for square layers."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings that distinguish the methods with a frozen A.

    Parameters
    ----------
    rank, scale, learning_rate : rank, alpha / rank and learning rate of the adapters
    distribution : distribution of the entries of A; None for the identity
    shared : whether all devices have the same A, which is then never sent
    mask : selection of the trained entries of B; None for all
    density, allocation, prompts, batches : parameters of the selection
    ratio : parameters of a message over those of both factors, in place of a density
    aggregation : devices over which an entry is averaged
    send_a : encoding of a device's own A at first contact
    renew_below : overlap of masks below which changed data renew an adapter; None for never
    """

    rank: int
    scale: float
    learning_rate: float
    distribution: ADistribution | None = "gaussian"
    shared: bool = False
    mask: Literal["grad", "lori", "random", "common"] | None = None
    density: float = 1.0
    ratio: float | None = None
    allocation: Allocation = "uniform"
    prompts: int = 0
    batches: int = 0
    aggregation: Literal["active", "mean"] = "mean"
    send_a: Literal["dense", "seed"] = "dense"
    renew_below: float | None = None


def settings_of(config: FfaLora | LoriD | LoriS | FullFt | SoLora) -> Settings:
    """Return the settings of a configuration."""
    if isinstance(config, FullFt):
        return Settings(0, 1.0, config.learning_rate, distribution=None, shared=True)
    common = Settings(config.rank, scale_of(config.rank, config.alpha), config.learning_rate)
    if isinstance(config, FfaLora):
        return replace(common, distribution="kaiming", shared=True)
    if isinstance(config, LoriD):
        return replace(common, distribution="kaiming", shared=config.shared_a, send_a=config.send_a)
    if isinstance(config, LoriS):
        return replace(
            common,
            distribution="kaiming",
            shared=config.shared_a,
            mask="lori",
            density=config.density,
            batches=config.calibration_batches,
            aggregation=config.aggregation,
            send_a=config.send_a,
        )
    return replace(
        common,
        distribution=config.a_init,
        shared=config.shared_a,
        mask=config.mask,
        density=_DENSITY if config.density is None else config.density,
        ratio=None if config.preset is None else PRESETS[config.preset],
        allocation=config.allocation,
        prompts=0 if config.mask in ("lori", "common") else config.calibration_prompts,
        batches=0 if config.mask in ("random", "common") else config.calibration_batches,
        aggregation=config.aggregation,
        send_a=config.send_a,
        renew_below=config.renew_below,
    )


class FrozenMethod:
    """B trained under a frozen A; see `Method`."""

    exchanges = True

    def __init__(self, config: FfaLora | LoriD | LoriS | FullFt | SoLora) -> None:
        self._settings = settings_of(config)
        self.learning_rate = self._settings.learning_rate
        self.shares_a = self._settings.shared
        self.renews_below = self._settings.renew_below
        self.calibration = (self._settings.prompts, self._settings.batches)

    def ranks(self, layers: Sequence[Layer]) -> list[int]:
        """Return the rank of the adapter of each layer."""
        if self._settings.distribution is None:
            return [layer.inputs for layer in layers]
        return [self._settings.rank] * len(layers)

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return a device's A and a zero B."""
        settings = self._settings
        if settings.distribution is None:
            return dense_adapter(layers)
        if settings.shared:
            a_seed = key(seed, "shared a")
            a = draw_a(layers, settings.rank, settings.distribution, a_seed)
        else:
            a_seed = a_seed_of(settings.distribution, seed, device)
            a = device_a(layers, settings.rank, settings.distribution, seed, device, devices)
        b = zero_b(layers, settings.rank)
        adapter = Adapter(a, b, settings.scale, train_a=False, a_seed=a_seed)
        if settings.mask != "common":
            return adapter
        counts = uniform_counts(adapter, self._density(layers))
        return replace(adapter, mask=random_mask(adapter, key(seed, "common mask"), counts))

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
        adapter : initial adapter
        examples : the device's training examples
        batches : batches of them for gradients or steps
        seed : seed of a random mask
        """
        settings = self._settings
        if settings.mask is None or settings.mask == "common":
            return adapter
        density = self._density(model.layers)
        if settings.mask == "lori":
            rate = settings.learning_rate
            return replace(adapter, mask=trained_mask(model, adapter, batches, rate, density))
        counts = layer_counts(
            model, adapter, examples, settings.prompts, density, settings.allocation
        )
        if settings.mask == "random":
            return replace(adapter, mask=random_mask(adapter, seed, counts))
        return replace(adapter, mask=gradient_mask(model, adapter, batches, counts))

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return B under the mask; at first contact with the mask, and the device's own A."""
        sends_a = first_contact and not self._settings.shared
        by_seed = self._settings.send_a == "seed"
        return Update(
            device,
            round_,
            adapter.b,
            adapter.mask,
            a=adapter.a if sends_a and not by_seed else None,
            a_seed=adapter.a_seed if sends_a and by_seed else None,
            includes_mask=first_contact and adapter.mask is not None,
            a_frozen=True,
        )

    def average(
        self,
        updates: Sequence[Update],
        weights: Sequence[float],
        aggregator: Aggregator | None = None,
    ) -> Update:
        """Return the aggregate of the B's, each under its own mask.

        Raises
        ------
        ValueError
            if some updates have a mask and others have none
        """
        first = updates[0]
        masks = [update.mask for update in updates if update.mask is not None]
        if not masks:
            b = weighted_mean([update.b for update in updates], weights, aggregator)
            return Update(first.device, first.round, b)
        if len(masks) < len(updates):
            raise ValueError("an adapter must be calibrated before it is merged")
        each_b = zip(*[update.b for update in updates], strict=True)
        each_mask = zip(*masks, strict=True)
        b = tuple(
            aggregate(values, of_layer, weights, self._settings.aggregation, aggregator)
            for values, of_layer in zip(each_b, each_mask, strict=True)
        )
        return Update(first.device, first.round, b)

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return the device's own A with the B of the aggregate."""
        return replace(own, b=average.b)

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return an update of zeros, every layer at the mean density."""
        adapter = shape_only(layers, self.ranks(layers))
        if self._settings.mask is not None:
            counts = uniform_counts(adapter, self._density(layers))
            mask = tuple(
                (torch.arange(b.numel()) < count).reshape(b.shape)
                for b, count in zip(adapter.b, counts, strict=True)
            )
            adapter = replace(adapter, mask=mask)
        # A common mask follows from the seed that all devices have.
        return self.update(adapter, 0, 0, first_contact and self._settings.mask != "common")

    def _density(self, layers: Sequence[Layer]) -> float:
        """Return the share of active entries of B over all layers."""
        ratio = self._settings.ratio
        if ratio is None:
            return self._settings.density
        ranks = self.ranks(layers)
        return density_of_ratio(ratio, [(y.outputs, y.inputs) for y in layers], ranks)
