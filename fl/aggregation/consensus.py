"""Consensus: distance of the members of a group from their mean, and speed of their mixing.

Sources: Xiao and Boyd, "Fast linear iterations for distributed averaging", Systems and Control
Letters 53, 2004: under x <- W x with a stochastic W, the error contracts by the second largest
modulus of its eigenvalues in each round. The relative size of the error is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from wnsim.core.units import Floats


def mixing_matrix(
    members: Sequence[int], senders: Mapping[int, Sequence[int]], weight: Callable[[int], float]
) -> Floats:
    """Return the mixing matrix W: weight of each member's state in each member's aggregation.

    Parameters
    ----------
    members : devices of a group
    senders : by member, the devices whose updates it aggregated; a missing member received none
    weight : returns the weight of a device's update. If entries of B are averaged over the devices
        that have them active, W is that of an entry active on all devices

    Returns
    -------
    (members, members), rows of sum 1
    """
    row_of = {device: index for index, device in enumerate(members)}
    matrix = np.zeros((len(members), len(members)))
    for me, row in row_of.items():
        for other in (me, *senders.get(me, ())):
            matrix[row, row_of[other]] = weight(other)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def spectral_gap(mixing: Floats) -> float:
    """Return 1 - |lambda_2| of a stochastic matrix (members, members), 1 for a single member."""
    moduli = np.sort(np.abs(np.linalg.eigvals(mixing)))
    return 1.0 - float(moduli[-2]) if moduli.size > 1 else 1.0


def consensus_error(factors: Sequence[Sequence[torch.Tensor]]) -> float:
    """Return the mean over devices of ||B_i - B||^2 over ||B||^2, B being the mean of the B_i.

    Parameters
    ----------
    factors : per device and layer (outputs, rank); squares are summed over layers

    Returns
    -------
    the relative error; NaN if the mean is zero
    """
    error = size = 0.0
    for of_layer in zip(*factors, strict=True):
        stacked = torch.stack(of_layer).double()
        mean = stacked.mean(0)
        error += float((stacked - mean).square().sum())
        size += len(of_layer) * float(mean.square().sum())
    return error / size if size else math.nan
