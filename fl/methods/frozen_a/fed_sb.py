"""Fed-SB: a trained core between frozen factors, whose mean is the mean of the products exactly.

Sources: Singhal et al., "Fed-SB: a silver bullet for extreme communication efficiency and
performance in (private) federated LoRA fine-tuning", TMLR 2026: the weight is W0 + s B R A, R (r x
r) is trained and averaged, and mean(B R_i A) = B mean(R_i) A. There B and A come from an SVD of the
first gradient of data that the server has. Ours: devices among themselves have no common data, so
that they take the singular vectors of W0, as LoRA-XS (Balazy et al., 2024), or random orthonormal
ones; R is zero at first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ...adapters import AdaptedModel, Adapter, Layer
from ...adapters.adapter import scale_of
from ...adapters.core_parameters import with_core
from ...aggregation.robust import Aggregator
from ...aggregation.weighted_mean import weighted_mean
from ...config import FedSb
from ...engine.streams import key
from ...updates.codec import Update


class FedSbMethod:
    """LoRA with a trained core; see `Method` and `extensions`."""

    exchanges = True
    shares_a = True
    calibration = (0, 0)

    def __init__(self, config: FedSb) -> None:
        self._rank = config.rank
        self._scale = scale_of(config.rank, config.alpha)
        self._of_weight = config.init == "weight"
        self.learning_rate = config.learning_rate

    def ranks(self, layers: Sequence[Layer]) -> list[int]:
        """Return the rank of each layer, at most its outputs and inputs."""
        return [min(self._rank, layer.outputs, layer.inputs) for layer in layers]

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return random orthonormal factors, and a core of zero."""
        generator = torch.Generator().manual_seed(key(seed, "core factors"))
        basis, a = [], []
        for layer, rank in zip(layers, self.ranks(layers), strict=True):
            basis.append(_orthonormal(layer.outputs, rank, generator))
            a.append(_orthonormal(layer.inputs, rank, generator).T.contiguous())
        return self._adapter(basis, a)

    def fit(self, model: AdaptedModel, adapter: Adapter) -> Adapter:
        """Return singular vectors of the frozen weights for the frozen factors."""
        if not self._of_weight:
            return adapter
        basis, a = [], []
        for module, rank in zip(model.modules, self.ranks(model.layers), strict=True):
            u, _, vh = torch.linalg.svd(module.frozen_weight().float().cpu(), full_matrices=False)
            basis.append(u[:, :rank].contiguous())
            a.append(vh[:rank].contiguous())
        return self._adapter(basis, a)

    def calibrate(
        self, model: AdaptedModel, adapter: Adapter, examples: Any, batches: Any, seed: int
    ) -> Adapter:
        """Return the adapter unchanged."""
        return adapter

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the core."""
        return Update(device, round_, b=(), extra=adapter.core)

    def extra_shapes(self, layers: Sequence[Layer]) -> list[tuple[int, int]]:
        """Return the shapes of the core."""
        return [(rank, rank) for rank in self.ranks(layers)]

    def average(
        self,
        updates: Sequence[Update],
        weights: Sequence[float],
        aggregator: Aggregator | None = None,
    ) -> Update:
        """Return the weighted mean of the cores."""
        cores = [update.extra for update in updates if update.extra is not None]
        mean = weighted_mean(cores, weights, aggregator)
        return Update(updates[0].device, updates[0].round, b=(), extra=mean)

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return the adapter with the core of an average."""
        return own if average.extra is None else with_core(own, average.extra)

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return a core of zeros."""
        zero = torch.zeros(1, 1, dtype=torch.half)
        core = tuple(zero.expand(shape) for shape in self.extra_shapes(layers))
        return Update(0, 0, b=(), extra=core)

    def stored_entries(self, layers: Sequence[Layer], neighbors: int) -> int:
        """Return the entries of the core; the basis is as large as B, which follows from both."""
        return sum(rank * rank for rank in self.ranks(layers))

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return a core of zeros."""
        return self.shapes_update(layers, True)

    def _adapter(self, basis: Sequence[torch.Tensor], a: Sequence[torch.Tensor]) -> Adapter:
        """Return an adapter of frozen factors with a core of zero."""
        zero = tuple(torch.zeros(len(one), len(one)) for one in a)
        start = Adapter(tuple(a), tuple(basis), self._scale, train_a=False, basis=tuple(basis))
        return with_core(replace(start, core=zero), zero)


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """Return random orthonormal columns, (rows, columns)."""
    q: torch.Tensor = torch.linalg.qr(torch.randn(rows, columns, generator=generator))[0]
    return q
