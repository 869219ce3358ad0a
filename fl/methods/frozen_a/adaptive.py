"""Adaptive sparsity: a device sends as many entries of B as its links carry before the deadline.

Sources: named as future work by arXiv 2602.20492; the rule is ours. From the times that the last
messages took, a device knows how many bytes each link carries before the deadline. It sends the
entries of largest magnitude under its mask, as many as carry the most bytes to neighbors in time:
fewer reach more of them, more reach fewer. Messages carry the mask of their entries. An entry is
averaged over the device itself and those that sent it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from wnsim.core.units import Floats

from ...adapters import Adapter, Layer
from ...config import SoLora
from ...updates.codec import Update
from .density import largest_masks
from .frozen import FrozenMethod

_TINY = 1e-30
"""Makes entries that are active and zero larger than those that are not active."""


class AdaptiveMethod(FrozenMethod):
    """B under a frozen A, of which a round sends what links carry; see `Method`, `extensions`."""

    adapts = True

    def __init__(self, config: SoLora) -> None:
        super().__init__(config)
        self._shares: dict[tuple[int, int], float] = {}

    def adapt(self, device: int, round_: int, share: float) -> None:
        """Choose the share of the active entries that a device sends in a round."""
        self._shares[device, round_] = share

    def planned(self, device: int, round_: int) -> float:
        """Return the share of the active entries that a device sends in a round."""
        return self._shares.get((device, round_), 1.0)

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the largest entries of B, with their mask; outside of a round all of them."""
        whole = super().update(adapter, device, round_, first_contact)
        if adapter.mask is None:
            return whole
        return self._largest(replace(whole, includes_mask=True), device, round_)

    def combine(
        self, own: Adapter, local: Update, received: Sequence[Update], weights: Sequence[float]
    ) -> Adapter:
        """Return the mean of the device's own entries, sent or not, and of received ones."""
        mine = replace(local, b=own.b, mask=own.mask)
        return self.adopt(own, self.average([mine, *received], weights))

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return all active entries with their mask, all zero."""
        return replace(super().shapes_update(layers, first_contact), includes_mask=True)

    def shapes_update_in(
        self, layers: Sequence[Layer], first_contact: bool, device: int, round_: int
    ) -> Update:
        """Return as many entries as a device sends in a round, all zero."""
        return self._largest(self.shapes_update(layers, first_contact), device, round_)

    def _largest(self, update: Update, device: int, round_: int) -> Update:
        """Return the planned share of an update's active entries, those of largest magnitude."""
        share = self.planned(device, round_)
        if share >= 1.0 or update.mask is None:
            return update
        sizes = [
            torch.where(active, x.float().abs() + _TINY, 0.0)
            for x, active in zip(update.b, update.mask, strict=True)
        ]
        active = sum(int(each.sum()) for each in update.mask)
        mask = largest_masks(sizes, max(1, round(share * active)))
        b = tuple(torch.where(kept, x, 0.0) for x, kept in zip(update.b, mask, strict=True))
        return replace(update, b=b, mask=mask)


def best_size(capacities: Floats, whole: float) -> float:
    """Return the size of a message with which links together carry most.

    Parameters
    ----------
    capacities : (links,) size that each link carries in time [byte]
    whole : largest size of a message [byte]

    Examples
    --------
    >>> best_size(np.array([10.0, 40.0, 100.0]), 60.0)
    40.0
    """
    sizes = np.minimum(capacities, whole)
    arrive = (capacities[None, :] >= sizes[:, None]).sum(axis=1)
    return float(sizes[int(np.argmax(sizes * arrive))])
