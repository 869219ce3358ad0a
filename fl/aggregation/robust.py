"""Robust aggregation: coordinate-wise median, trimmed mean, and clipping about the local update.

Sources: Yin, Chen, Ramchandran, Bartlett, "Byzantine-robust distributed learning: towards optimal
statistical rates", ICML 2018, definitions 1 and 2 (coordinate-wise median and trimmed mean); He,
Karimireddy, Jaggi, "Byzantine-robust decentralized learning via ClippedGossip", 2022 (received
updates are clipped about the local one); the median norm as the bound is ours, after Andrew et al.,
"Differentially private learning with adaptive clipping", NeurIPS 2021, which follows a quantile
of the norms.

An entry of masked matrices is aggregated over the devices whose mask covers it, whatever their
number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..config import Clair, Median, NormClip, TrimmedMean
from ..updates.codec import Update

Tensors = tuple[torch.Tensor, ...]
Aggregator = Callable[[Sequence[torch.Tensor], Sequence[torch.Tensor] | None], torch.Tensor]
"""Aggregation rule: maps one matrix per device, and their masks or None, to the aggregate."""


def aggregator_of(robust: Median | TrimmedMean | NormClip | Clair | None) -> Aggregator | None:
    """Return the aggregation rule of a configuration; None for a weighted mean."""
    if isinstance(robust, Median):
        return median
    if isinstance(robust, TrimmedMean):
        trim = robust.trim
        return lambda values, masks: trimmed_mean(values, masks, trim)
    return None


def median(
    values: Sequence[torch.Tensor], masks: Sequence[torch.Tensor] | None = None
) -> torch.Tensor:
    """Return the coordinate-wise median over devices, with the mean of two middle values.

    Parameters
    ----------
    values : per device (rows, columns)
    masks : active entries of each device, None for all; an entry without active device is zero
    """
    return _mean_of_middle(values, masks, lambda count: (count - 1).clamp(min=0) // 2)


def trimmed_mean(
    values: Sequence[torch.Tensor], masks: Sequence[torch.Tensor] | None, trim: float
) -> torch.Tensor:
    """Return the coordinate-wise trimmed mean over devices.

    Parameters
    ----------
    values, masks : as for `median`
    trim : share of the values dropped at each end, below a half
    """
    return _mean_of_middle(values, masks, lambda count: (trim * count.double()).floor().long())


def _mean_of_middle(
    values: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor] | None,
    dropped: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Return the coordinate-wise mean after dropping values at each end.

    Parameters
    ----------
    values, masks : as for `median`
    dropped : returns the number dropped at each end, given the number of active values
    """
    # [devices, rows, columns]
    stacked = torch.stack(list(values))
    active = torch.ones_like(stacked, dtype=torch.bool)
    if masks is not None:
        active = torch.stack([mask.bool() for mask in masks])
    count = active.sum(0)
    ordered = torch.where(active, stacked, math.inf).sort(dim=0).values
    order = torch.arange(len(stacked))[:, None, None]
    drop = dropped(count)
    kept = (order >= drop) & (order < count - drop)
    total = torch.where(kept, ordered, 0.0).sum(0)
    return total / (count - 2 * drop).clamp(min=1)


def clipped(
    own: Update, received: Sequence[Update], factor: float, *, with_a: bool
) -> list[Update]:
    """Clip received updates to a maximum distance from the local update.

    Parameters
    ----------
    own : local update
    received : updates of other devices
    factor : maximum distance over the median of the distances
    with_a : whether A is aggregated too, and counts in the distance
    """
    differences = [_difference(own, each, with_a) for each in received]
    norms = [
        math.sqrt(sum(float(part.double().square().sum()) for part in each)) for each in differences
    ]
    bound = factor * float(np.median(norms)) if norms else 0.0
    result = []
    for update, difference, norm in zip(received, differences, norms, strict=True):
        if norm <= bound:
            result.append(update)
            continue
        scaled = [part * (bound / norm) for part in difference]
        layers = len(update.b)
        b = tuple(
            _masked(center + part, update.mask, layer)
            for layer, (center, part) in enumerate(zip(own.b, scaled[:layers], strict=True))
        )
        a = update.a
        if with_a and own.a is not None:
            a = tuple(center + part for center, part in zip(own.a, scaled[layers:], strict=True))
        result.append(replace(update, b=b, a=a))
    return result


def _difference(own: Update, other: Update, with_a: bool) -> list[torch.Tensor]:
    """Return the difference of an update from the local one on the entries that it covers."""
    parts = [
        _masked(theirs - center, other.mask, layer)
        for layer, (center, theirs) in enumerate(zip(own.b, other.b, strict=True))
    ]
    if with_a and own.a is not None and other.a is not None:
        parts += [theirs - center for center, theirs in zip(own.a, other.a, strict=True)]
    return parts


def _masked(values: torch.Tensor, mask: Tensors | None, layer: int) -> torch.Tensor:
    return values if mask is None else torch.where(mask[layer].bool(), values, 0.0)
