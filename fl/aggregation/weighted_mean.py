"""What to do with what was heard: the factors of several devices become one.

Sources: arXiv 2602.20492, Eq. (10), normalized once (as printed it divides twice).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from .robust import Pool

Tensors = tuple[torch.Tensor, ...]


def weighted_mean(
    factors: Sequence[Tensors], weights: Sequence[float], pool: Pool | None = None
) -> Tensors:
    """Return the weighted mean of each layer's matrix over devices.

    Parameters
    ----------
    factors : per device and layer a matrix, those of a layer of one shape
    weights : per device, positive
    pool : what takes the place of the mean, if it is another rule
    """
    if pool is not None:
        return tuple(pool(of_layer, None) for of_layer in zip(*factors, strict=True))
    shares = [weight / sum(weights) for weight in weights]
    result = []
    for of_layer in zip(*factors, strict=True):
        each = torch.tensor(shares, dtype=of_layer[0].dtype)
        result.append((torch.stack(of_layer) * each[:, None, None]).sum(0))
    return tuple(result)


def aggregate(
    values: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor],
    weights: Sequence[float],
    how: Literal["active", "mean"],
    pool: Pool | None = None,
) -> torch.Tensor:
    """Return the aggregate of masked matrices, entry by entry.

    Parameters
    ----------
    values, masks : per device (outputs, rank): numbers, and which of them count
    weights : per device, positive
    how : `mean` divides the weighted sum by all weights; `active` by those of the devices whose
        mask covers the entry, so that an entry that one device alone uses keeps its magnitude
    pool : what takes the place of both, over these devices, if it is another rule

    Returns
    -------
    (outputs, rank), zero where no mask covers an entry
    """
    if pool is not None:
        return pool(values, masks)
    # [devices, outputs, rank]
    share = torch.stack([mask * weight for mask, weight in zip(masks, weights, strict=True)])
    whole = torch.tensor(float(sum(weights))) if how == "mean" else share.sum(0)
    # The share of one device alone is 1 exactly, which leaves its entries as they are.
    return (torch.where(share > 0, share / whole, 0.0) * torch.stack(list(values))).sum(0)
