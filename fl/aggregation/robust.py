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
from typing import Any

import numpy as np
import torch

from ..config import Clair, Median, NormClip, TrimmedMean
from ..updates.codec import Update

Tensors = tuple[torch.Tensor, ...]
Aggregator = Callable[[Sequence[torch.Tensor], Sequence[torch.Tensor] | None], torch.Tensor]
"""Aggregation rule: maps one matrix per device, and their masks or None, to the aggregate."""


def is_own_rule(robust: Any) -> bool:
    """Return whether a robust rule is user-defined: one that sees whole updates at once."""
    return robust is not None and not isinstance(robust, Median | TrimmedMean | NormClip | Clair)


def aggregator_of(robust: Any) -> Aggregator | None:
    """Return the entry-wise rule of a configuration; None for a weighted mean, and other rules."""
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


class OwnRule:
    """User-defined robust rule, applied to all values that a method averages, as vectors.

    A method averages matrix by matrix. A first pass through its average collects them, and a second
    one puts the aggregate in their place.

    Parameters
    ----------
    config : the rule
    average : average of the method, `Method.average`
    """

    def __init__(self, config: Any, average: Callable[..., Update]) -> None:
        self._config, self._average = config, average

    def __call__(
        self, updates: Sequence[Update], weights: Sequence[float], reference: Update
    ) -> Update:
        """Return the aggregate.

        Parameters
        ----------
        updates, weights : updates of devices, and their weights
        reference : a device's own update, or a server's average before

        Raises
        ------
        ValueError
            if the rule does not return one finite vector
        """
        shapes: list[torch.Size] = []
        rows = self._values(updates, weights, shapes)
        (center,) = self._values([reference], [1.0], [])
        result = self._config.aggregate(
            rows.clone(), torch.tensor(weights, dtype=rows.dtype), center
        )
        name = self._config.model
        if not isinstance(result, torch.Tensor) or result.shape != rows.shape[1:]:
            found = getattr(result, "shape", type(result).__name__)
            found = tuple(found) if isinstance(found, torch.Size) else found
            raise ValueError(
                f"{name}: aggregate must return a vector of shape {tuple(rows.shape[1:])}, "
                f"got {found}"
            )
        # An entry that no device has active is zero.
        whole = torch.where(rows.isnan().all(0), 0.0, result.to(rows.dtype))
        if not whole.isfinite().all():
            raise ValueError(f"{name}: aggregate must return finite values")
        parts = iter(whole.split([shape.numel() for shape in shapes]))
        ordered = iter(shapes)
        return self._average(
            updates, weights, lambda values, masks: next(parts).reshape(next(ordered))
        )

    def _values(
        self, updates: Sequence[Update], weights: Sequence[float], shapes: list[torch.Size]
    ) -> torch.Tensor:
        """Return what a method averages, (updates, entries), NaN for inactive entries."""
        columns = []

        def collect(
            values: Sequence[torch.Tensor], masks: Sequence[torch.Tensor] | None
        ) -> torch.Tensor:
            stacked = torch.stack(list(values)).float()
            if masks is not None:
                stacked = torch.where(
                    torch.stack([each.bool() for each in masks]), stacked, math.nan
                )
            columns.append(stacked.flatten(1))
            shapes.append(values[0].shape)
            return torch.zeros_like(values[0])

        self._average(updates, weights, collect)
        return torch.cat(columns, dim=1)


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
