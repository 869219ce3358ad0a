"""FedLoDrop: random inputs of A and outputs of B are dropped for each client and round.

Sources: Xie et al., "FedLoDrop: federated LoRA with dropout for generalized LLM fine-tuning", IEEE
JSAC 2026 (arXiv 2510.12078): A diag(m_A) and diag(m_B) B with independent Bernoulli masks, of
probability 1 - gamma, drawn by the server for each client and round; the rank is never dropped;
both directions carry the remaining (1 - gamma) (|A| + |B|) values and a seed. Ours: what is dropped
is frozen (the public code lets the optimizer refill it, and saves nothing); an entry is averaged
over the clients that trained it, and stays if there is none; in the first round, before which
nothing is sent, clients draw the masks themselves; and with gamma by latency the search for the
smallest gamma, in place of the paper's optimization, whose bound is not public.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from wnsim.core.units import Floats

from ...adapters import Layer
from ...config import FedLoDrop
from ...updates.codec import Tensors
from .planning import shares_in_time
from .sub_adapters import LARGEST_SIZE, SubAdapterMethod

_LARGEST_GAMMA = 0.99


class FedLoDropMethod(SubAdapterMethod):
    """LoRA with dropped inputs and outputs; see `Method` and `extensions`."""

    def __init__(self, config: FedLoDrop) -> None:
        super().__init__(config)
        gamma = 0.0 if config.gamma == "latency" else config.gamma
        self._size: int = round((1.0 - gamma) * LARGEST_SIZE)
        self._round_s = config.latency_s
        self.plans = config.latency_s is not None
        self._planned: dict[tuple[int, int], int] = {}
        self._counts = config.draws == "count"

    def plan(
        self, round_: int, clients: Sequence[int], compute_s: Floats, down_s: Floats, up_s: Floats
    ) -> None:
        """Choose the smallest gamma of each client with which it ends in time."""
        if self._round_s is not None:
            shares = shares_in_time(self._round_s, compute_s, down_s + up_s, 1.0 - _LARGEST_GAMMA)
            sizes = np.floor(shares * LARGEST_SIZE).astype(int).tolist()
            self._planned |= {
                (client, round_): size for client, size in zip(clients, sizes, strict=True)
            }

    def planned(self, device: int, round_: int) -> float:
        """Return the planned size."""
        return self.size_of(device, round_)

    def size_of(self, device: int, round_: int) -> int:
        """Return the probability of an input or output to stay, in multiples of 1/65535."""
        return self._planned.get((device, round_), self._size)

    def masks_of_seed(self, layers: Sequence[Layer], seed: int) -> tuple[Tensors, Tensors]:
        """Return rows of B and columns of A, drawn for each layer."""
        shapes = tuple((layer.outputs, layer.inputs) for layer in layers)
        return _masks(shapes, self.rank, seed, self._counts)


@lru_cache(maxsize=128)
def _masks(
    shapes: tuple[tuple[int, int], ...], rank: int, seed: int, counts: bool
) -> tuple[Tensors, Tensors]:
    """Return rows of B and columns of A, drawn for each layer, as views.

    They are kept, as several messages of a round have the same.

    Parameters
    ----------
    shapes : outputs and inputs of each layer
    rank, seed : of the adapter, and of the masks
    counts : whether a share of the entries is drawn, in place of each with that probability
    """
    generator = torch.Generator().manual_seed(seed)
    share = (seed & LARGEST_SIZE) / LARGEST_SIZE
    mask, mask_a = [], []
    for outputs, inputs in shapes:
        columns = _drawn(inputs, share, generator, counts)
        rows = _drawn(outputs, share, generator, counts)
        mask_a.append(columns.expand(rank, inputs))
        mask.append(rows[:, None].expand(outputs, rank))
    return tuple(mask), tuple(mask_a)


def _drawn(width: int, share: float, generator: torch.Generator, counts: bool) -> torch.Tensor:
    """Return which entries stay, (width,)."""
    if not counts:
        return torch.rand(width, generator=generator) < share
    stays = torch.zeros(width, dtype=torch.bool)
    stays[torch.randperm(width, generator=generator)[: round(share * width)]] = True
    return stays
