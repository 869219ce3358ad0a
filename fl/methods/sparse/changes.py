"""Sparse changes: clients return the largest entries of what their local steps changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...adapters import Adapter, Layer
from ...aggregation.weighted_mean import weighted_mean
from ...updates.codec import Tensors, Update
from ..lora import LoraMethod
from .selection import at_random, largest_of_both, under

CHANGE = "change"
"""Name of the kept tensors: the change of B, then of A of each layer, by the local steps."""


class SparseChanges(LoraMethod):
    """LoRA whose clients return the largest entries of their change; see `extensions`.

    Subclasses tell the share of the entries, and step along the mean change.
    """

    sizes_vary = True

    def share_of(self, device: int, round_: int) -> float:
        """Return the share of the entries that a device returns in a round."""
        raise NotImplementedError

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return the adapter of LoRA, with a change of zero."""
        start = super().initial(layers, seed, device, devices)
        zeros = tuple(torch.zeros_like(each) for each in (*start.b, *start.a))
        return replace(start, kept={CHANGE: zeros})

    def trained(
        self, start: Adapter, after: Adapter, steps: int, learning_rate: float, loss: float
    ) -> Adapter:
        """Return the adapter with its change by the local steps."""
        pairs = zip((*after.b, *after.a), (*start.b, *start.a), strict=True)
        return replace(after, kept={**after.kept, CHANGE: tuple(x - y for x, y in pairs)})

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the largest entries of the change; outside of a round the whole factors."""
        if not round_:
            return super().update(adapter, device, round_, first_contact)
        change, layers = adapter.kept[CHANGE], len(adapter.b)
        whole = Update(device, round_, change[:layers], a=change[layers:])
        return largest(whole, self.share_of(device, round_))

    def stored_entries(self, layers: Sequence[Layer], neighbors: int) -> int:
        """Return the entries of the factors before the local steps."""
        return self.rank * sum(layer.inputs + layer.outputs for layer in layers)

    def aggregate_clients(
        self, previous: Update, updates: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Return the server's factors after a step along the mean change."""
        changes = [(*update.b, *(update.a or ())) for update in updates]
        factors = (*previous.b, *(previous.a or ()))
        mean = weighted_mean(changes, weights)
        moved, extra = self.step(factors, mean, previous.extra)
        layers = len(previous.b)
        return replace(previous, b=moved[:layers], a=moved[layers:], extra=extra)

    def step(
        self, factors: Tensors, mean: Tensors, moments: Tensors | None
    ) -> tuple[Tensors, Tensors | None]:
        """Return the server's factors after a step, and what it keeps for the next one."""
        return tuple(x + change for x, change in zip(factors, mean, strict=True)), None

    def estimate(self, layers: Sequence[Layer], share: float) -> Update:
        """Return entries at random places, whose size estimates that of an update."""
        shapes = at_random(layers, self.rank)
        return largest(Update(0, 0, shapes.b, a=shapes.a), share)


def largest(update: Update, share: float) -> Update:
    """Return the largest entries of both factors, by one threshold over all layers."""
    if share == 1.0:
        return update
    a = update.a or ()
    mask, mask_a = largest_of_both(update.b, a, share)
    return replace(
        update, b=under(update.b, mask), a=under(a, mask_a), mask=mask, mask_a=mask_a,
        includes_mask=True, index="shortest",
    )  # fmt: skip
