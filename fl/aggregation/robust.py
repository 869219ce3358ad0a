"""Robust aggregation: medians, trimmed means, and updates that are clipped about one's own.

Sources: Yin, Chen, Ramchandran, Bartlett, "Byzantine-robust distributed learning: towards optimal
statistical rates", ICML 2018, definitions 1 and 2 (coordinate-wise median and trimmed mean); He,
Karimireddy, Jaggi, "Byzantine-robust decentralized learning via ClippedGossip", 2022 (what is
heard is clipped about one's own); the median norm as the bound is ours, after Andrew et al.,
"Differentially private learning with adaptive clipping", NeurIPS 2021, which follows a quantile
of the norms.

Of masked matrices an entry is taken over the devices that have it active, however many these are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..config import Median, NormClip, TrimmedMean
from ..updates.codec import Update

Tensors = tuple[torch.Tensor, ...]
# Values of one matrix by device, and their masks or none: what they come to.
Pool = Callable[[Sequence[torch.Tensor], Sequence[torch.Tensor] | None], torch.Tensor]


def pool_of(robust: Median | TrimmedMean | NormClip | None) -> Pool | None:
    """Return what takes the place of a mean; None, if it is a mean."""
    if isinstance(robust, Median):
        return median
    if isinstance(robust, TrimmedMean):
        trim = robust.trim
        return lambda values, masks: trimmed_mean(values, masks, trim)
    return None


def median(
    values: Sequence[torch.Tensor], masks: Sequence[torch.Tensor] | None = None
) -> torch.Tensor:
    """Return the median over devices of each entry, the mean of the two in the middle if need be.

    Parameters
    ----------
    values : per device (rows, columns)
    masks : which of them count, all if none is given; an entry that none covers is zero
    """
    return _middle(values, masks, lambda count: (count - 1).clamp(min=0) // 2)


def trimmed_mean(
    values: Sequence[torch.Tensor], masks: Sequence[torch.Tensor] | None, trim: float
) -> torch.Tensor:
    """Return the mean over devices of each entry without its extremes.

    Parameters
    ----------
    values, masks : as for `median`
    trim : share left out at each end, below a half
    """
    return _middle(values, masks, lambda count: (trim * count.double()).floor().long())


def _middle(
    values: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor] | None,
    left_out: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Return the mean of each entry's values but for so many at each end, by their number."""
    # [devices, rows, columns]
    stacked = torch.stack(list(values))
    active = torch.ones_like(stacked, dtype=torch.bool)
    if masks is not None:
        active = torch.stack([mask.bool() for mask in masks])
    count = active.sum(0)
    ordered = torch.where(active, stacked, math.inf).sort(dim=0).values
    place = torch.arange(len(stacked))[:, None, None]
    drop = left_out(count)
    kept = (place >= drop) & (place < count - drop)
    total = torch.where(kept, ordered, 0.0).sum(0)
    return total / (count - 2 * drop).clamp(min=1)


def clipped(own: Update, heard: Sequence[Update], factor: float, *, with_a: bool) -> list[Update]:
    """Return updates none of which is farther from one's own than a bound.

    Parameters
    ----------
    own : one's own
    heard : others
    factor : the bound over the median of their distances
    with_a : whether A is averaged too, and counts in the distance
    """
    apart = [_difference(own, each, with_a) for each in heard]
    norms = [math.sqrt(sum(float(part.double().square().sum()) for part in each)) for each in apart]
    bound = factor * float(np.median(norms)) if norms else 0.0
    result = []
    for update, difference, norm in zip(heard, apart, norms, strict=True):
        if norm <= bound:
            result.append(update)
            continue
        near = [part * (bound / norm) for part in difference]
        layers = len(update.b)
        b = tuple(
            _under(mine + part, update.mask, layer)
            for layer, (mine, part) in enumerate(zip(own.b, near[:layers], strict=True))
        )
        a = update.a
        if with_a and own.a is not None:
            a = tuple(mine + part for mine, part in zip(own.a, near[layers:], strict=True))
        result.append(replace(update, b=b, a=a))
    return result


def _difference(own: Update, other: Update, with_a: bool) -> list[torch.Tensor]:
    """Return by what an update differs from one's own, where it says anything."""
    parts = [
        _under(theirs - mine, other.mask, layer)
        for layer, (mine, theirs) in enumerate(zip(own.b, other.b, strict=True))
    ]
    if with_a and own.a is not None and other.a is not None:
        parts += [theirs - mine for mine, theirs in zip(own.a, other.a, strict=True)]
    return parts


def _under(values: torch.Tensor, mask: Tensors | None, layer: int) -> torch.Tensor:
    return values if mask is None else torch.where(mask[layer].bool(), values, 0.0)
