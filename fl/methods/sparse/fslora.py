"""FSLoRA: each client trains a random subset of the ranks in each round.

Sources: Fang et al., "Federated sketching LoRA: a flexible framework for heterogeneous
collaborative fine-tuning of LLMs", 2025 (arXiv 2501.19389), and a wireless sequel (arXiv
2505.23555), known to us by their abstracts: W0 + B S A, with a random diagonal S that
selects k_i ranks and scales them by r / k_i, so that its mean is the identity; k_i fits the client.
Ours: ranks are drawn for each layer by itself; the server's next factors are the mean over clients,
for whom the ranks that they did not train count as before; k_i is given, not optimised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...adapters import Adapter, Layer
from ...config import FsLora
from ...updates.codec import Tensors
from ...updates.indices import of_ranks
from .sub_adapters import LARGEST_SIZE, SubAdapterMethod


class FsLoraMethod(SubAdapterMethod):
    """LoRA with random ranks in each round; see `Method` and `extensions`."""

    aggregation = "mean"

    def __init__(self, config: FsLora) -> None:
        super().__init__(config)
        self._kept = config.kept_ranks

    def size_of(self, device: int, round_: int) -> int:
        """Return the number of ranks that a device trains."""
        kept = self._kept[device % len(self._kept)]
        return LARGEST_SIZE if kept == self.rank else kept

    def masks_of_seed(self, layers: Sequence[Layer], seed: int) -> tuple[Tensors, Tensors]:
        """Return the masks of columns of B and of rows of A, as views."""
        generator = torch.Generator().manual_seed(seed)
        kept = min(seed & LARGEST_SIZE, self.rank)
        ranks = []
        for _ in layers:
            active = torch.zeros(self.rank, dtype=torch.bool)
            active[torch.randperm(self.rank, generator=generator)[:kept]] = True
            ranks.append(active)
        outputs, inputs = [layer.outputs for layer in layers], [layer.inputs for layer in layers]
        return of_ranks(tuple(ranks), outputs, inputs)

    def masked(self, adapter: Adapter, device: int, round_: int) -> Adapter:
        """Return the active ranks of a device in a round, scaled to the mean of all."""
        kept = self._kept[device % len(self._kept)]
        found = super().masked(adapter, device, round_)
        return found if found is adapter else replace(found, scale=self.scale * self.rank / kept)
