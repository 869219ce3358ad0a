"""Plain LoRA: both factors are trained; alone, or averaged with the neighbors'.

Sources: Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022 (A from
Kaiming's uniform law as in PEFT, B from zero); averaging of both factors as in FedIT (Zhang et
al., "Towards building the federated GPT", ICASSP 2024). The mean of the factors is not the mean of
their products: that inexactness belongs to the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..adapters import AdaptedModel, Adapter, Layer
from ..adapters.adapter import draw_a, scale_of, shape_only, zero_b
from ..aggregation.robust import Pool
from ..aggregation.weighted_mean import weighted_mean
from ..config import Local, Lora
from ..engine.streams import key
from ..updates.codec import Update


class LoraMethod:
    """LoRA gossip."""

    exchanges = True
    shares_a = True
    calibration = (0, 0)

    def __init__(self, config: Lora | Local) -> None:
        self.rank = config.rank
        self.scale = scale_of(config)
        self.learning_rate = config.learning_rate

    def ranks(self, layers: Sequence[Layer]) -> list[int]:
        """Return the same rank for every layer."""
        return [self.rank] * len(layers)

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return zero B and the A that all devices start from."""
        a = draw_a(layers, self.rank, "kaiming", key(seed, "lora a"))
        return Adapter(a, zero_b(layers, self.rank), self.scale)

    def calibrate(
        self, model: AdaptedModel, adapter: Adapter, examples: Any, batches: Any, seed: int
    ) -> Adapter:
        """Return the adapter as it is."""
        return adapter

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return both factors."""
        return Update(device, round_, b=adapter.b, a=adapter.a)

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return both factors, zero, for other shapes."""
        return self.update(shape_only(layers, self.ranks(layers)), 0, 0, first_contact)

    def average(
        self, updates: Sequence[Update], weights: Sequence[float], pool: Pool | None = None
    ) -> Update:
        """Return the weighted mean of both factors, or what a pool makes of each."""
        first = updates[0]
        a = [update.a for update in updates if update.a is not None]
        return Update(
            first.device,
            first.round,
            b=weighted_mean([update.b for update in updates], weights, pool),
            a=weighted_mean(a, weights, pool),
        )

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return the average's factors."""
        return replace(own, a=own.a if average.a is None else average.a, b=average.b)


class LocalMethod(LoraMethod):
    """LoRA on each device alone."""

    exchanges = False
