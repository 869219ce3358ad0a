"""FLASC: sparse communication in both directions, and dense training.

Sources: Kuo et al., "Federated LoRA with sparse communication", 2024 (arXiv 2406.05233): the server
sends the entries of both factors of largest magnitude, by one threshold over all layers; a client
trains all entries from there, and returns the entries of largest magnitude of its change; the
server steps along the mean change by Adam. Adam of a server is that of Reddi et al., "Adaptive
federated optimization", ICLR 2021, Algorithm 2 (beta 0.9 and 0.99, tau 1e-3, no bias correction).
Ours: positions are coded as is shortest (`updates.indices`), there by a bitmap; clients start the
first round from the common initial factors, all of them; devices are tested with the server's
whole factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...adapters import Adapter, Layer
from ...aggregation.weighted_mean import weighted_mean
from ...config import Flasc
from ...updates.codec import Tensors, Update
from ..lora import LoraMethod
from .selection import at_random, largest_of_both, under

CHANGE = "change"
"""Name of the kept tensors: the change of B, then of A of each layer, by the local steps."""
_BETA, _BETA_OF_SQUARES, _TAU = 0.9, 0.99, 1e-3


class FlascMethod(LoraMethod):
    """LoRA with sparse communication; see `Method` and `extensions`."""

    sizes_vary = True

    def __init__(self, config: Flasc) -> None:
        super().__init__(config)
        self._density = config.density
        self._rate = config.server_learning_rate if config.server == "adam" else None

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return the adapter of LoRA, with a change of zero."""
        start = super().initial(layers, seed, device, devices)
        zeros = tuple(torch.zeros_like(each) for each in (*start.b, *start.a))
        return replace(start, kept={CHANGE: zeros})

    def trained(
        self, start: Adapter, after: Adapter, steps: int, learning_rate: float, loss: float
    ) -> Adapter:
        """Return the adapter with its change by the local steps."""
        pairs = zip((*after.b, *after.a), (*start.b, *start.a), strict=True)
        return replace(after, kept={**after.kept, CHANGE: tuple(x - y for x, y in pairs)})

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the largest entries of the change; outside of a round the whole factors."""
        if not round_:
            return super().update(adapter, device, round_, first_contact)
        change, layers = adapter.kept[CHANGE], len(adapter.b)
        return self._largest(Update(device, round_, change[:layers], a=change[layers:]))

    def tailored(
        self, average: Update, device: int, round_: int | None, is_current: bool
    ) -> Update:
        """Return the largest entries of the server's factors, without the moments of Adam."""
        factors = replace(average, extra=None)
        return factors if round_ is None else self._largest(factors)

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return entries at random places, an estimate."""
        shapes = at_random(layers, self.rank)
        return self._largest(Update(0, 0, shapes.b, a=shapes.a))

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return entries at random places, an estimate."""
        return self.shapes_update(layers, True)

    def stored_entries(self, layers: Sequence[Layer], neighbors: int) -> int:
        """Return the entries of the factors before the local steps."""
        return self.rank * sum(layer.inputs + layer.outputs for layer in layers)

    def aggregate_clients(
        self, previous: Update, updates: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Return the server's factors after a step along the mean change."""
        changes = [(*update.b, *(update.a or ())) for update in updates]
        mean = weighted_mean(changes, weights)
        factors = (*previous.b, *(previous.a or ()))
        extra: Tensors | None = None
        if self._rate is None:
            moved = tuple(x + change for x, change in zip(factors, mean, strict=True))
        else:
            moved, extra = self._adam(factors, mean, previous.extra, self._rate)
        layers = len(previous.b)
        return replace(previous, b=moved[:layers], a=moved[layers:], extra=extra)

    def _largest(self, update: Update) -> Update:
        """Return the largest entries of both factors."""
        if self._density == 1.0:
            return update
        a = update.a or ()
        mask, mask_a = largest_of_both(update.b, a, self._density)
        return replace(
            update, b=under(update.b, mask), a=under(a, mask_a), mask=mask, mask_a=mask_a,
            includes_mask=True, index="shortest",
        )  # fmt: skip

    @staticmethod
    def _adam(
        factors: Tensors, mean: Tensors, moments: Tensors | None, rate: float
    ) -> tuple[Tensors, Tensors]:
        """Return the factors after a step of Adam, and its moments."""
        count = len(factors)
        first = [torch.zeros_like(x) for x in factors] if moments is None else moments[:count]
        tau = [torch.full_like(x, _TAU**2) for x in factors]
        second = tau if moments is None else moments[count:]
        first = [_BETA * m + (1 - _BETA) * d for m, d in zip(first, mean, strict=True)]
        second = [
            _BETA_OF_SQUARES * v + (1 - _BETA_OF_SQUARES) * d.square()
            for v, d in zip(second, mean, strict=True)
        ]
        moved = tuple(
            x + rate * m / (v.sqrt() + _TAU) for x, m, v in zip(factors, first, second, strict=True)
        )
        return moved, (*first, *second)
