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

from ...adapters import Layer
from ...config import Flasc
from ...updates.codec import Tensors, Update
from .changes import SparseChanges, largest

_BETA, _BETA_OF_SQUARES, _TAU = 0.9, 0.99, 1e-3


class FlascMethod(SparseChanges):
    """LoRA with sparse communication in both directions; see `Method` and `extensions`."""

    def __init__(self, config: Flasc) -> None:
        super().__init__(config)
        self._density = config.density
        self._rate = config.server_learning_rate if config.server == "adam" else None

    def share_of(self, device: int, round_: int) -> float:
        """Return the density."""
        return self._density

    def tailored(
        self, average: Update, device: int, round_: int | None, is_current: bool
    ) -> Update:
        """Return the largest entries of the server's factors, without the moments of Adam."""
        factors = replace(average, extra=None)
        return factors if round_ is None else largest(factors, self._density)

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return entries at random places, an estimate."""
        return self.estimate(layers, self._density)

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return entries at random places, an estimate."""
        return self.shapes_update(layers, True)

    def step(
        self, factors: Tensors, mean: Tensors, moments: Tensors | None
    ) -> tuple[Tensors, Tensors | None]:
        """Return the factors after a step along the mean change or of Adam, and its moments."""
        if self._rate is None:
            return super().step(factors, mean, moments)
        rate, count = self._rate, len(factors)
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
