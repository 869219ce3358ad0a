"""Masks of B: selection of the trained entries on a device's own data, before its first round.

Sources: `grad`: arXiv 2602.20492, Eq. (18) and (20)-(22), see `density`; one step of plain gradient
descent from B = 0 has the same mask. `lori`: Zhang et al., "LoRI: reducing cross-task interference
in multi-task low-rank adaptation", 2025: B is trained without a mask, and one threshold over all
layers keeps the largest entries; there on the whole training set, here for a number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch

from ...adapters import AdaptedModel, Adapter
from ...config import AdamW
from ...engine.streams import key
from ...training.local_steps import LocalTraining, train
from .calibration import b_gradients, second_moments
from .density import allocate, largest_mask, largest_masks, spectral_entropy

if TYPE_CHECKING:
    from ...models.language_model import Encoded

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
    """Return the number of active entries of B in each layer, by the entropy of its input."""
    moments = second_moments(model, examples, prompts)
    entropies = [
        spectral_entropy(module.frozen_weight().float().cpu(), moment)
        for module, moment in zip(model.modules, moments, strict=True)
    ]
    return allocate([b.numel() for b in adapter.b], entropies, density, allocation)


def uniform_counts(adapter: Adapter, density: float) -> list[int]:
    """Return the number of active entries of B in each layer, in proportion to its size."""
    sizes = [b.numel() for b in adapter.b]
    return allocate(sizes, [0.0] * len(sizes), density, "uniform")


def gradient_mask(
    model: AdaptedModel, adapter: Adapter, batches: Sequence[Encoded], counts: Sequence[int]
) -> Tensors:
    """Return the mask of the largest gradients at B = 0, given the number of entries per layer."""
    scores = b_gradients(model, adapter, batches)
    return tuple(largest_mask(score, count) for score, count in zip(scores, counts, strict=True))


def mask_overlap(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> float:
    """Return the share of the active entries of one mask that another one has too, beyond chance.

    The index is kappa of Cohen, "A coefficient of agreement for nominal scales", 1960, for layers
    of which both masks keep equal numbers of entries.

    Parameters
    ----------
    before, after : per layer (outputs, rank), equally many active entries

    Returns
    -------
    1 for equal masks; about 0 for independent ones, of which random entries coincide; 1 without any
    choice, where all entries are active

    Examples
    --------
    >>> every, half = torch.ones(2, 4, dtype=torch.bool), torch.arange(8).reshape(2, 4) < 4
    >>> mask_overlap([half], [half]), mask_overlap([half], [~half]), mask_overlap([every], [every])
    (1.0, -1.0, 1.0)
    """
    pairs = list(zip(before, after, strict=True))
    common = sum(int((old & new).sum()) for old, new in pairs)
    chance = sum(int(old.sum()) * int(new.sum()) / old.numel() for old, new in pairs)
    most = sum(int(old.sum()) for old, _ in pairs)
    return 1.0 if most == chance else (common - chance) / (most - chance)


def random_mask(adapter: Adapter, seed: int, counts: Sequence[int]) -> Tensors:
    """Return a random mask, given the number of entries per layer."""
    generator = torch.Generator().manual_seed(key(seed, "mask"))
    scores = [torch.rand(b.shape, generator=generator) for b in adapter.b]
    return tuple(largest_mask(score, count) for score, count in zip(scores, counts, strict=True))


def trained_mask(
    model: AdaptedModel,
    adapter: Adapter,
    batches: Sequence[Encoded],
    learning_rate: float,
    density: float,
) -> Tensors:
    """Return the mask of the largest entries of B over all layers after some training steps."""
    work = LocalTraining(adapter, None, batches, learning_rate)
    (found,) = train(model, [work], AdamW(), clip_norm=1.0)
    entries = sum(b.numel() for b in adapter.b)
    return largest_masks(found.adapter.b, max(1, round(density * entries)))
