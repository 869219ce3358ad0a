"""Densities of B: number of active entries in each layer, and their selection by magnitude.

Sources: arXiv 2602.20492, Eq. (18) and (20)-(22), with these readings: densities share a budget
by water-filling, each layer capped at its size (the equation as printed takes a maximum, which
would exceed 1); the mask takes the largest magnitudes (as printed, the largest signed values);
the matrix of Eq. (20) uses the tokens' second moment with the damping that CorDA (Yang et al.,
NeurIPS 2024) uses, since the mean vector alone gives a matrix of rank 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

_DAMPING = 0.01

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def spectral_entropy(weight: torch.Tensor, second_moment: torch.Tensor) -> float:
    """Return the entropy of the normalized singular values of W0 C [nat].

    Parameters
    ----------
    weight : (outputs, inputs) frozen weight W0
    second_moment : (inputs, inputs) mean of x x^T over the tokens that enter the layer
    """
    damping = _DAMPING * second_moment.diagonal().mean()
    damped = second_moment + damping * torch.eye(second_moment.shape[0])
    singular = torch.linalg.svdvals(weight @ damped)
    share = singular / singular.sum()
    return float(-torch.special.xlogy(share, share).sum())


def allocate(
    sizes: Sequence[int],
    entropies: Sequence[float],
    density: float,
    allocation: Literal["size", "paper", "uniform"],
) -> list[int]:
    """Return the number of active entries of each layer; their sum is exactly the budget.

    Parameters
    ----------
    sizes : entries of B in each layer
    entropies : spectral entropy of each layer [nat]
    density : the budget as a share of all entries, above 0 and at most 1
    allocation : `size`: in proportion to size times exp(entropy); `paper`: to exp(entropy);
        `uniform`: to size

    Returns
    -------
    counts between 1 and the layer's size

    Raises
    ------
    ValueError
        if the budget is less than one entry per layer
    """
    caps = np.array(sizes, dtype=np.int64)
    relative = np.exp(np.array(entropies) - max(entropies))
    weights = {"size": caps * relative, "paper": relative, "uniform": caps.astype(float)}
    budget = round(density * int(caps.sum()))
    if budget < len(caps):
        raise ValueError(
            f"density must leave at least one entry of B in each of {len(caps)} layers, "
            f"got {density:g} of {int(caps.sum())} entries"
        )
    extra = _water_fill(weights[allocation], caps - 1, budget - len(caps))
    return [1 + int(count) for count in extra]


def _water_fill(weights: Floats, caps: Ints, budget: int) -> Ints:
    """Return integer shares of a budget in proportion to weights, bounded by caps."""
    share = np.zeros(len(caps))
    full = np.zeros(len(caps), dtype=bool)
    while not full.all():
        left = budget - caps[full].sum()
        share = np.where(full, caps, left * weights / weights[~full].sum())
        over = ~full & (share > caps)
        if not over.any():
            break
        full |= over
    share = np.minimum(share, caps)
    whole = np.floor(share).astype(np.int64)
    # The rest goes to the largest remainders, ties to the lowest index.
    for index in np.argsort(whole - share, kind="stable"):
        if whole.sum() == budget:
            break
        whole[index] += whole[index] < caps[index]
    return whole


def density_of_ratio(
    ratio: float, shapes: Sequence[tuple[int, int]], ranks: Sequence[int]
) -> float:
    """Return the density at which a message has a given share of the parameters of both factors.

    Parameters
    ----------
    ratio : parameters under the mask over those of A and B, above 0
    shapes : outputs d and inputs k of each layer
    ranks : rank r of each layer

    Returns
    -------
    ratio / beta, with beta = sum d r / sum (d + k) r

    Raises
    ------
    ValueError
        if B has fewer parameters
    """
    sized = list(zip(shapes, ranks, strict=True))
    of_b = sum(outputs * rank for (outputs, _), rank in sized)
    beta = of_b / sum((outputs + inputs) * rank for (outputs, inputs), rank in sized)
    if ratio > beta:
        raise ValueError(
            f"a message of {ratio:.4g} of both factors' parameters must fit B, which has "
            f"{beta:.4g} of them in these layers; choose a density"
        )
    return ratio / beta


def largest_mask(values: torch.Tensor, count: int) -> torch.Tensor:
    """Return the mask of the entries of largest magnitude, ties in favor of the first.

    Parameters
    ----------
    values : (...,) numbers
    count : exact number of entries
    """
    magnitudes = values.abs().reshape(-1)
    least = min(magnitudes.numel(), magnitudes.numel() - count + 1)
    threshold = magnitudes.kthvalue(least).values
    # Numbers that are not finite count as largest.
    mask = ~(magnitudes <= threshold)
    ties = (magnitudes == threshold).nonzero()[: count - int(mask.sum()), 0]
    mask[ties] = True
    return mask.reshape(values.shape)


def largest_masks(matrices: Sequence[torch.Tensor], count: int) -> tuple[torch.Tensor, ...]:
    """Return the masks of the entries of largest magnitude, by one threshold over all matrices.

    Parameters
    ----------
    matrices : of any shapes
    count : exact number of entries, over all of them
    """
    mask = largest_mask(torch.cat([each.reshape(-1) for each in matrices]), count)
    parts = mask.split([each.numel() for each in matrices])
    return tuple(part.reshape(each.shape) for part, each in zip(parts, matrices, strict=True))
