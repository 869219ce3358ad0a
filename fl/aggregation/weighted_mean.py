"""Weighted mean of the factors of several devices.

Sources: arXiv 2602.20492, Eq. (10), normalized once (as printed it divides twice).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from .robust import Aggregator

Tensors = tuple[torch.Tensor, ...]


def weighted_mean(
    factors: Sequence[Tensors], weights: Sequence[float], aggregator: Aggregator | None = None
) -> Tensors:
    """Return the weighted mean of each layer's matrix over devices.

    Parameters
    ----------
    factors : per device and layer a matrix; those of a layer have one shape
    weights : per device, positive
    aggregator : aggregation rule in place of the mean
    """
    if aggregator is not None:
        return tuple(aggregator(of_layer, None) for of_layer in zip(*factors, strict=True))
    shares = [weight / sum(weights) for weight in weights]
    result = []
    for of_layer in zip(*factors, strict=True):
        each = torch.tensor(shares, dtype=of_layer[0].dtype)
        result.append((torch.stack(of_layer) * each[:, None, None]).sum(0))
    return tuple(result)


def masked_mean(
    values: Sequence[Tensors],
    masks: Sequence[Tensors],
    weights: Sequence[float],
    before: Tensors,
    how: Literal["active", "mean"],
) -> Tensors:
    """Return the weighted mean of each layer's masked matrix over devices.

    Parameters
    ----------
    values, masks : per device and layer, a matrix and its active entries
    weights : per device, positive
    before : per layer, the matrix before
    how : whether entries that are inactive on a device count as before (`mean`), or not (`active`),
        unless they are so on all devices
    """
    result = []
    for layer, old in enumerate(before):
        of_layer = [each[layer] for each in values]
        active = [each[layer] for each in masks]
        if how == "mean":
            filled = [torch.where(on, x, old) for x, on in zip(of_layer, active, strict=True)]
            (mean,) = weighted_mean([(each,) for each in filled], weights)
            result.append(mean)
        else:
            mean = aggregate(of_layer, active, weights, "active")
            result.append(torch.where(torch.stack(active).any(0), mean, old))
    return tuple(result)


def aggregate(
    values: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor],
    weights: Sequence[float],
    how: Literal["active", "mean"],
    aggregator: Aggregator | None = None,
) -> torch.Tensor:
    """Return the entry-wise aggregate of masked matrices.

    Parameters
    ----------
    values, masks : per device (outputs, rank): values, and the active ones among them
    weights : per device, positive
    how : `mean` divides the weighted sum by the sum of all weights; `active` by the sum over the
        devices whose mask covers the entry, so that an entry of a single device keeps its magnitude
    aggregator : aggregation rule in place of both, over the devices whose mask covers the entry

    Returns
    -------
    (outputs, rank), zero where no mask covers an entry
    """
    if aggregator is not None:
        return aggregator(values, masks)
    # [devices, outputs, rank]
    share = torch.stack([mask * weight for mask, weight in zip(masks, weights, strict=True)])
    whole = torch.tensor(float(sum(weights))) if how == "mean" else share.sum(0)
    # The share of one device alone is 1 exactly, which leaves its entries as they are.
    return (torch.where(share > 0, share / whole, 0.0) * torch.stack(list(values))).sum(0)
