"""What groups of devices have come to, what is known of their members, and how they collide."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..aggregation.collision import expected, measured, sign_conflict
from ..aggregation.consensus import consensus_error, spectral_gap
from ..engine.jobs import Derived, Value, digest
from ..engine.streams import key
from ..mixture.experts import Expert
from ..mixture.features import sketch
from ..updates.codec import Update
from .state import Prepared, State

if TYPE_CHECKING:
    from ..adapters import Adapter


class Groups:
    """What sessions ask about devices that aggregate with each other.

    Parameters
    ----------
    prepared : returns what a device has before its first round
    carried : returns an update as it comes out of its bytes
    task_of : for each device the numbers of its tasks
    seed : of the projection of sketches
    falsified : returns what a device tells in place of an update
    lie : returns what names a device's lie in a round, nothing if it tells the truth
    """

    def __init__(
        self,
        prepared: Callable[[int], Value[Prepared]],
        carried: Callable[[Update], Update],
        task_of: Sequence[tuple[int, ...]],
        seed: int,
        falsified: Callable[[Update], Update] = lambda update: update,
        lie: Callable[[int, int], list[object]] = lambda _device, _round: [],
    ) -> None:
        self._prepared = prepared
        self._carried = carried
        self._task_of = task_of
        self._seed = seed
        self._falsified = falsified
        self._lie = lie

    def known(self, state: Value[State]) -> Value[Update]:
        """Return what a device knows of its own group: the state that it has come to."""

        def make() -> Update:
            adapter = state.value().adapter
            return Update(0, 0, adapter.b, a=adapter.a if adapter.train_a else None)

        return Derived(digest("known", state.key), (state,), make)

    def share(
        self, head: int, round_: int, state: Value[State], members: Sequence[int]
    ) -> Value[Update]:
        """Return what a group has come to, as those outside of it hear it from its head."""
        prepared = [self._prepared(member) for member in members]

        def make() -> Update:
            adapter, union = state.value().adapter, self._union(members)
            a = adapter.a if adapter.train_a else None
            true = Update(head, round_, adapter.b, union, a, None, union is not None)
            return self._carried(self._falsified(true))

        name = digest(
            "shared", state.key, [each.key for each in prepared], head, round_,
            *self._lie(head, round_),
        )  # fmt: skip
        return Derived(name, (state, *prepared), make)

    @functools.cache  # noqa: B019  (it lives as long as its run, and masks never change)
    def densities(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (devices, layers) shares of active entries of B, and (layers,) its entries.

        What devices find out before their first round is computed now, if it was not.
        """
        adapters = [self._adapter(device) for device in range(len(self._task_of))]
        sizes = np.array([b.numel() for b in adapters[0].b], dtype=np.float64)
        shares = np.ones((len(adapters), len(sizes)))
        for device, adapter in enumerate(adapters):
            if adapter.mask is not None:
                shares[device] = [float(mask.float().mean()) for mask in adapter.mask]
        return shares, sizes

    def sketches(self) -> NDArray[np.float64]:
        """Return a sketch of each device's prompts, (devices, numbers), computed now."""
        seed = key(self._seed, "sketch")
        each = [
            self._prepared(device).value().centroid or () for device in range(len(self._task_of))
        ]
        return np.array([sketch(means, seed).numpy() for means in each], dtype=np.float64)

    def active(self, members: Sequence[int]) -> float:
        """Return the share of the entries of B that some of these devices have active."""
        union = self._union(members)
        if union is None:
            return 1.0
        return sum(int(mask.sum()) for mask in union) / sum(mask.numel() for mask in union)

    def collisions(
        self, members: Sequence[int], trained: Sequence[Value[State]]
    ) -> tuple[float, float, float, float]:
        """Return how devices collide that aggregate with each other; see `GroupRow`."""
        densities, sizes = self.densities()
        adapters = [state.value().adapter for state in trained]
        masks = [
            each.mask or tuple(torch.ones_like(b, dtype=torch.bool) for b in each.b)
            for each in adapters
        ]
        rate = expected(densities[list(members)], sizes)
        conflict = sign_conflict(masks, [each.b for each in adapters])
        return rate, *measured(masks), conflict

    def agreement(
        self, merged: Sequence[Value[State]], mixing: NDArray[np.float64]
    ) -> tuple[float, float]:
        """Return how far devices are from agreeing, and how fast they do; see `GroupRow`.

        Parameters
        ----------
        merged : what each of them has come to
        mixing : (devices, devices) how much each one's state counted in each one's merge
        """
        return consensus_error([each.value().adapter.b for each in merged]), spectral_gap(mixing)

    def expert(self, device: int, update: Value[Update]) -> Value[Expert]:
        """Return a device as one of several that answer: its A, and the B of its group."""
        prepared = self._prepared(device)

        def make() -> Expert:
            told, own = update.value(), prepared.value()
            centroid = own.centroid or ()
            a = own.adapter.a if told.a is None else told.a
            return Expert(a, told.b, own.adapter.scale, centroid, self._task_of[device])

        name = digest("expert", update.key, prepared.key)
        return Derived(name, (update, prepared), make)

    def _union(self, members: Sequence[int]) -> tuple[torch.Tensor, ...] | None:
        """Return which entries some member has active, per layer; None if one has no mask."""
        masks = [self._adapter(member).mask for member in members]
        there = [mask for mask in masks if mask is not None]
        if len(there) < len(masks):
            return None
        return tuple(torch.stack(of_layer).any(0) for of_layer in zip(*there, strict=True))

    def _adapter(self, device: int) -> Adapter:
        return self._prepared(device).value().adapter
