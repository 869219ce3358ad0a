"""Selection of the largest entries of both factors, over all layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...adapters import Adapter, Layer
from ...adapters.adapter import shape_only
from ..frozen_a.density import largest_masks

Tensors = tuple[torch.Tensor, ...]


def largest_of_both(b: Tensors, a: Tensors, share: float) -> tuple[Tensors, Tensors]:
    """Return the masks of the entries of B and A of largest magnitude, at least one.

    Parameters
    ----------
    b, a : per layer (outputs, rank) and (rank, inputs)
    share : of the entries, over all layers and both factors
    """
    both = (*b, *a)
    entries = sum(each.numel() for each in both)
    masks = largest_masks(both, max(1, round(share * entries)))
    return masks[: len(b)], masks[len(b) :]


def under(values: Tensors, masks: Tensors) -> Tensors:
    """Return the entries under masks, and zero elsewhere."""
    return tuple(torch.where(mask, each, 0.0) for each, mask in zip(values, masks, strict=True))


def differences(values: Tensors, others: Tensors) -> Tensors:
    """Return the difference of each matrix to another one."""
    return tuple(one - other.float() for one, other in zip(values, others, strict=True))


def ones(values: Tensors) -> Tensors:
    """Return masks of all entries."""
    return tuple(torch.ones_like(each, dtype=torch.bool) for each in values)


def at_random(layers: Sequence[Layer], rank: int) -> Adapter:
    """Return random factors, always the same, whose largest entries are at random places."""
    shapes = shape_only(layers, [rank] * len(layers))
    generator = torch.Generator().manual_seed(0)
    b = tuple(torch.rand(each.shape, generator=generator) for each in shapes.b)
    a = tuple(torch.rand(each.shape, generator=generator) for each in shapes.a)
    return replace(shapes, a=a, b=b)
