"""Which entries of B a device trains: found out on its own data before its first round.

Sources: `grad`: arXiv 2602.20492, Eq. (18) and (20)-(22), see `density`; one step of plain gradient
descent from B = 0 has the same mask. `lori`: Zhang et al., "LoRI: reducing cross-task interference
in multi-task low-rank adaptation", 2025: B is trained without a mask, and one threshold over all
layers keeps the largest entries; there on the whole training set, here for some steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch

from ..adapters import AdaptedModel, Adapter
from ..config import AdamW
from ..engine.streams import key
from ..training.local_steps import LocalTraining, train
from .calibration import b_gradients, second_moments
from .density import allocate, largest, spectral_entropy

if TYPE_CHECKING:
    from ..models.language_model import Encoded

Tensors = tuple[torch.Tensor, ...]
Allocation = Literal["size", "paper", "uniform"]


def layer_counts(
    model: AdaptedModel,
    adapter: Adapter,
    examples: Encoded,
    prompts: int,
    density: float,
    allocation: Allocation,
) -> list[int]:
    """Return how many entries of B are active in each layer, by the entropy of what enters it."""
    moments = second_moments(model, examples, prompts)
    entropies = [
        spectral_entropy(module.frozen_weight().float().cpu(), moment)
        for module, moment in zip(model.modules, moments, strict=True)
    ]
    return allocate([b.numel() for b in adapter.b], entropies, density, allocation)


def by_gradient(
    model: AdaptedModel, adapter: Adapter, batches: Sequence[Encoded], counts: Sequence[int]
) -> Tensors:
    """Return the entries with the largest gradients at B = 0, as many in each layer as is said."""
    scores = b_gradients(model, adapter, batches)
    return tuple(largest(score, count) for score, count in zip(scores, counts, strict=True))


def by_chance(adapter: Adapter, seed: int, counts: Sequence[int]) -> Tensors:
    """Return random entries, as many in each layer as is said."""
    generator = torch.Generator().manual_seed(key(seed, "mask"))
    scores = [torch.rand(b.shape, generator=generator) for b in adapter.b]
    return tuple(largest(score, count) for score, count in zip(scores, counts, strict=True))


def by_training(
    model: AdaptedModel,
    adapter: Adapter,
    batches: Sequence[Encoded],
    learning_rate: float,
    density: float,
) -> Tensors:
    """Return the largest entries of B over all layers after training it, one batch a step."""
    work = LocalTraining(adapter, None, batches, learning_rate)
    (found,) = train(model, [work], AdamW(), clip_norm=1.0)
    flat = torch.cat([b.reshape(-1) for b in found.adapter.b])
    mask = largest(flat, max(1, round(density * flat.numel())))
    parts = mask.split([b.numel() for b in adapter.b])
    return tuple(part.reshape(b.shape) for part, b in zip(parts, adapter.b, strict=True))
