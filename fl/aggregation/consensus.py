"""How far the members of a group are from agreeing, and how fast their mixing brings them there.

Sources: Xiao and Boyd, "Fast linear iterations for distributed averaging", Systems and Control
Letters 53, 2004: x <- W x with a stochastic W loses the second largest modulus of its eigenvalues
in each round. The relative size of what is left is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mixing_matrix(
    members: Sequence[int], heard: Mapping[int, Sequence[int]], weight: Callable[[int], float]
) -> Floats:
    """Return W, (members, members): how much each member's state counts in each one's merge.

    Parameters
    ----------
    members : of a group
    heard : by member those whose updates it merged; a member that is missing heard nobody
    weight : returns how much a device's update counts; where entries of B are averaged over the
        devices that have them active alone, W is that of an entry that all have
    """
    place = {device: index for index, device in enumerate(members)}
    matrix = np.zeros((len(members), len(members)))
    for me, row in place.items():
        for other in (me, *heard.get(me, ())):
            matrix[row, place[other]] = weight(other)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def spectral_gap(mixing: Floats) -> float:
    """Return 1 - |lambda_2| of a stochastic matrix (members, members), 1 for a single member."""
    moduli = np.sort(np.abs(np.linalg.eigvals(mixing)))
    return 1.0 - float(moduli[-2]) if moduli.size > 1 else 1.0


def consensus_error(factors: Sequence[Sequence[torch.Tensor]]) -> float:
    """Return the mean over devices of ||B_i - B||^2 over ||B||^2, B being the mean of their B_i.

    Parameters
    ----------
    factors : per device and layer (outputs, rank); squares are summed over layers, and NaN is
        returned where the mean is zero
    """
    apart = size = 0.0
    for of_layer in zip(*factors, strict=True):
        stacked = torch.stack(of_layer).double()
        mean = stacked.mean(0)
        apart += float((stacked - mean).square().sum())
        size += len(of_layer) * float(mean.square().sum())
    return apart / size if size else math.nan
