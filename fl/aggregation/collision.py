"""Collision rates: share of the entries of B that the updates of several devices have in common.

An entry of B collides if two or more devices of one aggregation have it active.

Sources: arXiv 2602.20492, Eq. (19), for the rate under independent masks; the empirical
counterparts on the masks themselves, and the share of collisions whose signs disagree, are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from wnsim.core.units import Floats

Tensors = Sequence[torch.Tensor]


def expected_collision_rate(densities: Floats, sizes: Floats) -> float:
    """Return the expected share of colliding entries under independent masks, Eq. (19).

    Parameters
    ----------
    densities : (devices, layers) share of active entries
    sizes : (layers,) entries of each layer, the weights of the layers
    """
    inactive = 1.0 - densities
    none = inactive.prod(axis=0)
    exactly_one = np.zeros(densities.shape[1])
    for device in range(len(densities)):
        others = np.delete(inactive, device, axis=0).prod(axis=0)
        exactly_one += densities[device] * others
    return float(np.average(1.0 - none - exactly_one, weights=sizes))


def collision_rates(masks: Sequence[Tensors]) -> tuple[float, float]:
    """Return the share of colliding entries among all entries, and among the active ones.

    Parameters
    ----------
    masks : per device and layer, boolean
    """
    users = _users(masks)
    used = int((users > 0).sum())
    collide = int((users > 1).sum())
    return collide / users.numel(), collide / used if used else 0.0


def overlap(first: Tensors, second: Tensors) -> tuple[float, float]:
    """Return the share of entries active on two devices, of all and of their union."""
    users = _users([first, second])
    both, either = int((users > 1).sum()), int((users > 0).sum())
    return both / users.numel(), both / either if either else 0.0


def sign_conflict(masks: Sequence[Tensors], values: Sequence[Tensors]) -> float:
    """Return the share of colliding entries with both positive and negative values.

    Parameters
    ----------
    masks, values : per device and layer

    Returns
    -------
    the share; NaN if no entry collides
    """
    collide = _users(masks) > 1
    flat = torch.stack([_flat(v) * _flat(m) for v, m in zip(values, masks, strict=True)])[
        :, collide
    ]
    if not flat.shape[1]:
        return float("nan")
    conflict = (flat > 0).any(0) & (flat < 0).any(0)
    return float(conflict.float().mean())


def _users(masks: Sequence[Tensors]) -> torch.Tensor:
    """Return the number of devices that have each entry active."""
    return torch.stack([_flat(mask) for mask in masks]).sum(0)


def _flat(tensors: Tensors) -> torch.Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors]).float()
