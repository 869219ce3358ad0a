"""SCAFFOLD, on all weights or on the factors of LoRA: control variates against drift of devices.

Sources: Karimireddy et al., "SCAFFOLD: stochastic controlled averaging for federated learning",
ICML 2020, Algorithm 1, Option II: a step is y <- y - eta (g - c_i + c), and after K steps from x,
c_i <- c_i - c + (x - y) / (K eta). Ours: the weights may be both factors; c is the weighted mean of
the c_i of an aggregation instead of a sum of their changes, which is the same if all devices take
part; g is clipped, and the correction is added afterwards, so that c_i stays the mean of the
clipped gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..adapters import Adapter, Layer
from ..aggregation.robust import Aggregator
from ..aggregation.weighted_mean import weighted_mean
from ..updates.codec import Update
from .lora import ServedLoraMethod

OWN, COMMON = "control", "common control"


class Correction:
    """Term c - c_i of the gradient; see `LocalObjective`."""

    is_clipped = False

    def __init__(self, shift: torch.Tensor) -> None:
        self._shift = shift

    def gradient(
        self, gradient: torch.Tensor, values: torch.Tensor, start: torch.Tensor
    ) -> torch.Tensor:
        """Return the corrected gradient."""
        return gradient + self._shift.to(gradient.device)


class ScaffoldMethod(ServedLoraMethod):
    """Training with control variates; see `Method` and `extensions`."""

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return the initial adapter with control variates of zero."""
        zero = torch.zeros(*self.extra_shapes(layers)[0])
        start = super().initial(layers, seed, device, devices)
        return replace(start, kept={OWN: (zero,), COMMON: (zero,)})

    def objective(self, adapter: Adapter, seed: int) -> Correction:
        """Return the correction of a device's gradients."""
        return Correction((adapter.kept[COMMON][0] - adapter.kept[OWN][0])[0])

    def trained(
        self, start: Adapter, after: Adapter, steps: int, learning_rate: float, loss: float
    ) -> Adapter:
        """Return the adapter with the control variate of its steps."""
        moved = (_flat(start) - _flat(after)) / (steps * learning_rate)
        own = start.kept[OWN][0] - start.kept[COMMON][0] + moved
        return replace(after, kept={**after.kept, OWN: (own,)})

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return what is trained, and the control variate."""
        sent = super().update(adapter, device, round_, first_contact)
        return replace(sent, extra=adapter.kept.get(OWN))

    def extra_shapes(self, layers: Sequence[Layer]) -> list[tuple[int, int]]:
        """Return the shape of a control variate: a number for each trained entry."""
        return [(1, self.entries(layers))]

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return what is trained and the control variate, all zero."""
        zero = torch.zeros(1, 1, dtype=torch.half).expand(self.extra_shapes(layers)[0])
        return replace(super().shapes_update(layers, first_contact), extra=(zero,))

    def stored_entries(self, layers: Sequence[Layer], neighbors: int) -> int:
        """Return the entries of the device's own and the common control variate."""
        return 2 * self.extra_shapes(layers)[0][1]

    def average(
        self,
        updates: Sequence[Update],
        weights: Sequence[float],
        aggregator: Aggregator | None = None,
    ) -> Update:
        """Return the weighted means of what is trained and of the control variates."""
        controls = [update.extra for update in updates if update.extra is not None]
        mean = super().average(updates, weights, aggregator)
        return replace(mean, extra=weighted_mean(controls, weights, aggregator))

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return the adapter of the average, with its control variate as the common one."""
        adapter = super().adopt(own, average)
        return replace(adapter, kept={**own.kept, COMMON: average.extra or own.kept[COMMON]})


def _flat(adapter: Adapter) -> torch.Tensor:
    """Return the trained entries in the order of `FlatParameters`, (1, entries)."""
    b = [each.T.flatten() for each in adapter.b]
    a = [each.flatten() for each in adapter.a] if adapter.train_a else []
    return torch.cat([*b, *a])[None]
