"""FedLoDrop: random inputs of A and outputs of B are dropped for each client and round.

Sources: Xie et al., "FedLoDrop: federated LoRA with dropout for generalized LLM fine-tuning", IEEE
JSAC 2026 (arXiv 2510.12078): A diag(m_A) and diag(m_B) B with independent Bernoulli masks, of
probability 1 - gamma, drawn by the server for each client and round; the rank is never dropped;
both directions carry the remaining (1 - gamma) (|A| + |B|) values and a seed. Ours: what is dropped
is frozen (the public code lets the optimizer refill it, and saves nothing); an entry is averaged
over the clients that trained it, and stays if there is none; in the first round, before which
nothing is sent, clients draw the masks themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...adapters import Layer
from ...config import FedLoDrop
from ...updates.codec import Tensors
from .sub_adapters import LARGEST_SIZE, SubAdapterMethod


class FedLoDropMethod(SubAdapterMethod):
    """LoRA with dropped inputs and outputs; see `Method` and `extensions`."""

    def __init__(self, config: FedLoDrop) -> None:
        super().__init__(config)
        self._size: int = round((1.0 - config.gamma) * LARGEST_SIZE)
        self._counts = config.draws == "count"

    def size_of(self, device: int, round_: int) -> int:
        """Return the probability of an input or output to stay, in multiples of 1/65535."""
        return self._size

    def masks_of_seed(self, layers: Sequence[Layer], seed: int) -> tuple[Tensors, Tensors]:
        """Return the masks of rows of B and of columns of A, as views."""
        generator = torch.Generator().manual_seed(seed)
        share = (seed & LARGEST_SIZE) / LARGEST_SIZE
        mask, mask_a = [], []
        for layer in layers:
            columns = self._drawn(layer.inputs, share, generator)
            rows = self._drawn(layer.outputs, share, generator)
            mask_a.append(columns.expand(self.rank, layer.inputs))
            mask.append(rows[:, None].expand(layer.outputs, self.rank))
        return tuple(mask), tuple(mask_a)

    def _drawn(self, width: int, share: float, generator: torch.Generator) -> torch.Tensor:
        """Return which of some inputs or outputs stay."""
        if not self._counts:
            return torch.rand(width, generator=generator) < share
        stays = torch.zeros(width, dtype=torch.bool)
        stays[torch.randperm(width, generator=generator)[: round(share * width)]] = True
        return stays
