"""How much the updates of devices get in each other's way when they are aggregated.

An entry of B collides when two or more devices of one aggregation have it active.

Sources: arXiv 2602.20492, Eq. (19), for the rate under independent masks; the empirical
counterparts on the masks themselves, and the share of collisions whose signs disagree, are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Tensors = Sequence[torch.Tensor]


def expected(densities: Floats, sizes: Floats) -> float:
    """Return the share of entries that collide if masks are independent, Eq. (19).

    Parameters
    ----------
    densities : (devices, layers) share of active entries
    sizes : (layers,) entries of each layer, by which layers count
    """
    silent = 1.0 - densities
    nobody = silent.prod(axis=0)
    alone = np.zeros(densities.shape[1])
    for device in range(len(densities)):
        others = np.delete(silent, device, axis=0).prod(axis=0)
        alone += densities[device] * others
    return float(np.average(1.0 - nobody - alone, weights=sizes))


def measured(masks: Sequence[Tensors]) -> tuple[float, float]:
    """Return what share of all entries, and of those that anybody uses, collide.

    Parameters
    ----------
    masks : per device and layer, boolean
    """
    users = _users(masks)
    used = int((users > 0).sum())
    collide = int((users > 1).sum())
    return collide / users.numel(), collide / used if used else 0.0


def overlap(first: Tensors, second: Tensors) -> tuple[float, float]:
    """Return what share of all entries two devices share, and of those that one of them uses."""
    users = _users([first, second])
    both, either = int((users > 1).sum()), int((users > 0).sum())
    return both / users.numel(), both / either if either else 0.0


def sign_conflict(masks: Sequence[Tensors], values: Sequence[Tensors]) -> float:
    """Return the share of colliding entries in which some values are positive and some negative.

    Parameters
    ----------
    masks, values : per device and layer; NaN is returned if nothing collides
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
    return torch.stack([_flat(mask) for mask in masks]).sum(0)


def _flat(tensors: Tensors) -> torch.Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors]).float()
