"""Plain LoRA: both factors are trained; alone, or averaged with the neighbors'.

Sources: Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022 (A from
Kaiming's uniform law as in PEFT, B from zero); averaging of both factors as in FedIT (Zhang et
al., "Towards building the federated GPT", ICASSP 2024). The mean of the factors is not the mean of
their products: that inexactness belongs to the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..config import Local, Lora
from ..seeds import key
from ..update import Update
from .adapter import Adapter, Layer
from .stacked import AdaptedModel


class LoraMethod:
    """LoRA gossip."""

    exchanges = True
    calibration = (0, 0)

    def __init__(self, config: Lora | Local) -> None:
        self.rank = config.rank
        self.scale = (2 * config.rank if config.alpha is None else config.alpha) / config.rank
        self.learning_rate = config.learning_rate

    def initial(self, layers: Sequence[Layer], device: int, seed: int) -> Adapter:
        """Return zero B and the A that all devices start from."""
        generator = torch.Generator().manual_seed(key(seed, "lora a"))
        a = []
        for layer in layers:
            bound = layer.inputs**-0.5
            a.append((torch.rand(self.rank, layer.inputs, generator=generator) * 2 - 1) * bound)
        b = tuple(torch.zeros(layer.outputs, self.rank) for layer in layers)
        return Adapter(tuple(a), b, self.scale)

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
        a = tuple(torch.zeros(self.rank, layer.inputs, dtype=torch.half) for layer in layers)
        b = tuple(torch.zeros(layer.outputs, self.rank, dtype=torch.half) for layer in layers)
        return Update(0, 0, b=b, a=a)

    def merge(self, own: Adapter, heard: Sequence[Update]) -> Adapter:
        """Return the mean of one's own factors and those heard."""
        told = [update.a for update in heard if update.a is not None]
        a = [torch.stack(factors).mean(0) for factors in zip(own.a, *told, strict=True)]
        b = [
            torch.stack(factors).mean(0)
            for factors in zip(own.b, *[update.b for update in heard], strict=True)
        ]
        return Adapter(tuple(a), tuple(b), own.scale)


class LocalMethod(LoraMethod):
    """LoRA on each device alone."""

    exchanges = False
