"""Sub-adapters: a server draws masks for each client and round, and both directions are thinned.

The masks follow from a seed, which each message carries in place of them. Its last sixteen bits
hold the size of the sub-adapter, so that the size may differ between clients and rounds. Entries
outside the masks are zero on the client, and neither trained nor sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from ...adapters import Adapter, Layer
from ...adapters.adapter import shape_only
from ...aggregation.weighted_mean import masked_mean
from ...engine.streams import key
from ...updates.codec import Tensors, Update
from ..lora import LoraLike, LoraMethod
from .selection import ones, under

SIZE_BITS = 16
LARGEST_SIZE = (1 << SIZE_BITS) - 1


class SubAdapterMethod(LoraMethod):
    """LoRA whose clients train sub-adapters; see `Method` and `extensions`.

    Subclasses draw the masks.
    """

    aggregation: Literal["active", "mean"] = "active"
    """Whether an entry is averaged over the clients that trained it, or over all of them."""

    def __init__(self, config: LoraLike) -> None:
        super().__init__(config)
        self._seed = 0

    def size_of(self, device: int, round_: int) -> int:
        """Return the size of a device's sub-adapter, at most 65535, which is the whole adapter."""
        raise NotImplementedError

    def masks_of_seed(self, layers: Sequence[Layer], seed: int) -> tuple[Tensors, Tensors]:
        """Return the masks of B and A, per layer."""
        raise NotImplementedError

    def start_run(self, seed: int, devices: int) -> None:
        """Keep the seed of the run."""
        self._seed = seed

    def seed_of(self, device: int, round_: int | None) -> int | None:
        """Return the seed of a device's masks in a round; None for the whole adapter."""
        if not round_:
            return None
        size = self.size_of(device, round_)
        if size == LARGEST_SIZE:
            return None
        drawn = key(self._seed, "sub-adapter", device, round_)
        return drawn >> SIZE_BITS << SIZE_BITS | size

    def masked(self, adapter: Adapter, device: int, round_: int) -> Adapter:
        """Return the sub-adapter of a device in a round."""
        seed = self.seed_of(device, round_)
        if seed is None:
            return adapter
        mask, mask_a = self.masks_of_seed(_layers_of(adapter.b, adapter.a), seed)
        b, a = under(adapter.b, mask), under(adapter.a, mask_a)
        return replace(adapter, b=b, a=a, mask=mask, mask_a=mask_a)

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the sub-adapter of a device in a round, with its seed."""
        whole = super().update(adapter, device, round_, first_contact)
        return self._thinned(whole, device, round_)

    def tailored(
        self, average: Update, device: int, round_: int | None, is_current: bool
    ) -> Update:
        """Return the sub-adapter of a client in a round, with its seed."""
        return self._thinned(average, device, round_)

    def shapes_update_in(
        self, layers: Sequence[Layer], first_contact: bool, device: int, round_: int
    ) -> Update:
        """Return the sub-adapter of a device in a round, all zero."""
        shapes = shape_only(layers, self.ranks(layers))
        whole = super().update(shapes, device, round_, first_contact)
        return self._thinned(whole, device, round_, values=False)

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return the sub-adapter of the first device in the first round, all zero."""
        return self.shapes_update_in(layers, first_contact, 0, 1)

    def tailored_shapes(
        self, layers: Sequence[Layer], device: int, round_: int, is_current: bool
    ) -> Update:
        """Return the sub-adapter of a client in a round, all zero."""
        return self.shapes_update_in(layers, False, device, round_)

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return both factors, all zero."""
        return self.shapes_update_in(layers, False, 0, 0)

    def aggregate_clients(
        self, previous: Update, updates: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Return the mean of the sub-adapters, entry by entry."""
        if all(update.mask is None for update in updates):
            return self.average(updates, weights)
        return mean_of_parts(previous, updates, weights, self.aggregation)

    def _thinned(
        self, update: Update, device: int, round_: int | None, *, values: bool = True
    ) -> Update:
        """Return the part of an update under the masks of a device and round."""
        seed = self.seed_of(device, round_)
        if seed is None or update.a is None:
            return update
        mask, mask_a = self.masks_of_seed(_layers_of(update.b, update.a), seed)
        b, a = update.b, update.a
        if values:
            b, a = under(b, mask), under(a, mask_a)
        return replace(update, b=b, a=a, mask=mask, mask_a=mask_a, mask_seed=seed)


def mean_of_parts(
    previous: Update,
    updates: Sequence[Update],
    weights: Sequence[float],
    how: Literal["active", "mean"],
) -> Update:
    """Return the mean of updates under their masks, entry by entry.

    Parameters
    ----------
    previous : factors before
    updates, weights : the updates, and their weights
    how : see `masked_mean`
    """
    mask = [update.mask or ones(update.b) for update in updates]
    mask_a = [update.mask_a or ones(update.a or ()) for update in updates]
    b = masked_mean([update.b for update in updates], mask, weights, previous.b, how)
    a = [update.a or () for update in updates]
    mean_a = masked_mean(a, mask_a, weights, previous.a or (), how)
    return Update(previous.device, previous.round, b, a=mean_a)


def _layers_of(b: Tensors, a: Tensors) -> list[Layer]:
    """Return layers of the shapes of factors."""
    return [Layer("", x.shape[1], y.shape[0]) for x, y in zip(a, b, strict=True)]
