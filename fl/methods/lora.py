"""Plain LoRA: both factors are trained, locally or averaged with those of the neighbors.

Sources: Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022 (A from
Kaiming's uniform distribution as in PEFT, B zero); averaging of both factors as in FedIT (Zhang et
al., "Towards building the federated GPT", ICASSP 2024). The mean of the factors is not the mean of
their products: this inexactness is part of the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

from ..adapters import AdaptedModel, Adapter, Layer
from ..adapters.adapter import dense_adapter, draw_a, scale_of, shape_only, zero_b
from ..aggregation.robust import Aggregator
from ..aggregation.weighted_mean import weighted_mean
from ..engine.streams import key
from ..updates.codec import Update


class LoraLike(Protocol):
    """Parameters of a method that trains both factors."""

    @property
    def rank(self) -> int | Literal["full"]:
        """Rank of the adapters; `full` for every entry of the adapted weights."""

    @property
    def alpha(self) -> float | None:
        """Rank times the scale of the adapter; None for the default."""

    @property
    def learning_rate(self) -> float:
        """Learning rate of the local steps."""


class LoraMethod:
    """LoRA with averaging of both factors; see `Method`."""

    exchanges = True
    shares_a = True
    calibration = (0, 0)

    def __init__(self, config: LoraLike) -> None:
        # With full rank there are no factors, and neither number is used.
        self.is_full = config.rank == "full"
        self.rank = 0 if config.rank == "full" else config.rank
        self.scale = 1.0 if config.rank == "full" else scale_of(config.rank, config.alpha)
        self.learning_rate = config.learning_rate

    def ranks(self, layers: Sequence[Layer]) -> list[int]:
        """Return the same rank for every layer, or the full ones."""
        return [layer.inputs if self.is_full else self.rank for layer in layers]

    def entries(self, layers: Sequence[Layer]) -> int:
        """Return the number of trained entries."""
        if self.is_full:
            return sum(layer.inputs * layer.outputs for layer in layers)
        return self.rank * sum(layer.inputs + layer.outputs for layer in layers)

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return a zero B, and the A that is common to all devices."""
        if self.is_full:
            return dense_adapter(layers)
        a = draw_a(layers, self.rank, "kaiming", key(seed, "lora a"))
        return Adapter(a, zero_b(layers, self.rank), self.scale)

    def calibrate(
        self, model: AdaptedModel, adapter: Adapter, examples: Any, batches: Any, seed: int
    ) -> Adapter:
        """Return the adapter unchanged."""
        return adapter

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return both factors, or the dense change."""
        return Update(device, round_, b=adapter.b, a=None if self.is_full else adapter.a)

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return both factors, all zero."""
        return self.update(shape_only(layers, self.ranks(layers)), 0, 0, first_contact)

    def average(
        self,
        updates: Sequence[Update],
        weights: Sequence[float],
        aggregator: Aggregator | None = None,
    ) -> Update:
        """Return the weighted mean, or the robust aggregate, of each factor."""
        first = updates[0]
        a = [update.a for update in updates if update.a is not None]
        return Update(
            first.device,
            first.round,
            b=weighted_mean([update.b for update in updates], weights, aggregator),
            a=weighted_mean(a, weights, aggregator) if a else None,
        )

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return the factors of the average; a factor that it lacks stays as it is."""
        return replace(own, a=own.a if average.a is None else average.a, b=average.b or own.b)


class ServedLoraMethod(LoraMethod):
    """LoRA with another average, which is as large as `shapes_update`; see `extensions`."""

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return the matrices of an update, all zero."""
        return self.shapes_update(layers, True)


class LocalMethod(LoraMethod):
    """Training of each device without communication."""

    exchanges = False


class CentralisedMethod(LocalMethod):
    """Training on the examples of all devices together; see `extensions`."""

    pools_examples = True
