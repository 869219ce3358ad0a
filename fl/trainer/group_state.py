"""State of groups of devices that aggregate with each other: updates, masks and consensus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import pad

from wnsim.core.units import Floats

from ..aggregation.collision import collision_rates, expected_collision_rate, sign_conflict
from ..aggregation.consensus import consensus_error, spectral_gap
from ..engine.jobs import DerivedValue, LazyValue, digest
from ..engine.streams import key
from ..mixture.experts import Expert
from ..mixture.features import prompt_embedding
from ..updates.codec import Update
from .calibrations import Calibrations
from .state import Calibration, State

if TYPE_CHECKING:
    from ..adapters import Adapter
    from ..updates.channel import UpdateChannel


class GroupState:
    """Updates and statistics of groups of devices that aggregate with each other.

    Parameters
    ----------
    calibrations : calibrations of the devices
    channel : channel of the updates
    tasks_in : returns the numbers of a device's tasks in a round
    devices : number of devices
    seed : seed of the random projection of prompt embeddings
    """

    def __init__(
        self,
        calibrations: Calibrations,
        channel: UpdateChannel,
        tasks_in: Callable[[int, int], tuple[int, ...]],
        devices: int,
        seed: int,
    ) -> None:
        self._calibrations = calibrations
        self._channel = channel
        self._tasks_in, self._devices = tasks_in, devices
        self._seed = seed
        self._densities: tuple[int, tuple[Floats, Floats]] | None = None

    def own_update(self, round_: int, state: LazyValue[State]) -> LazyValue[Update]:
        """Return the aggregated state of a device's own group, as an update in full precision.

        Parameters
        ----------
        round_, state : the round, and the state after it
        """

        def make() -> Update:
            adapter = state.value().adapter
            return Update(0, round_, adapter.b, a=adapter.a if adapter.train_a else None)

        return DerivedValue(digest("own update", state.key, round_), (state,), make)

    def cluster_update(
        self, head: int, round_: int, state: LazyValue[State], members: Sequence[int]
    ) -> LazyValue[Update]:
        """Return the update of a cluster that devices of other clusters decode.

        Parameters
        ----------
        head : member whose state is sent
        round_ : round of the state
        state : aggregated state of the cluster
        members : devices of the cluster
        """
        calibrated = [self._calibrations.of(member) for member in members]

        def make() -> Update:
            adapter, union = state.value().adapter, _union(calibrated)
            a = adapter.a if adapter.train_a else None
            honest = Update(head, round_, adapter.b, union, a, None, union is not None)
            return self._channel.sent(honest)

        name = digest(
            "cluster update", state.key, [each.key for each in calibrated], head, round_,
            *self._channel.attack_key(head, round_),
        )  # fmt: skip
        return DerivedValue(name, (state, *calibrated), make)

    def densities(self) -> tuple[Floats, Floats]:
        """Return (devices, layers) shares of active entries of B, and (layers,) numbers of entries.

        Devices that have not been calibrated are calibrated now.
        """
        if self._densities is not None and self._densities[0] == self._calibrations.renewals:
            return self._densities[1]
        adapters = [self._adapter(device) for device in range(self._devices)]
        sizes = np.array([b.numel() for b in adapters[0].b], dtype=np.float64)
        shares = np.ones((len(adapters), len(sizes)))
        for device, adapter in enumerate(adapters):
            if adapter.mask is not None:
                shares[device] = [float(mask.float().mean()) for mask in adapter.mask]
        self._densities = self._calibrations.renewals, (shares, sizes)
        return shares, sizes

    def prompt_embeddings(self) -> Floats:
        """Return the embedding of each device's prompts, (devices, embedding), computed now."""
        seed = key(self._seed, "sketch")
        centroids = [
            self._calibrations.of(device).value().centroid or () for device in range(self._devices)
        ]
        return np.array(
            [prompt_embedding(centroid, seed).numpy() for centroid in centroids], dtype=np.float64
        )

    def active_share(self, members: Sequence[int]) -> float:
        """Return the share of the entries of B that are active on at least one device."""
        union = _union([self._calibrations.of(member) for member in members])
        if union is None:
            return 1.0
        return sum(int(mask.sum()) for mask in union) / sum(mask.numel() for mask in union)

    def collisions(
        self, members: Sequence[int], trained: Sequence[LazyValue[State]]
    ) -> tuple[float, float, float, float]:
        """Return the collision statistics of a group; see `ClusterRow`.

        Parameters
        ----------
        members : devices of the group
        trained : state of each after its local steps
        """
        densities, sizes = self.densities()
        adapters = [state.value().adapter for state in trained]
        masks = [
            each.mask or tuple(torch.ones_like(b, dtype=torch.bool) for b in each.b)
            for each in adapters
        ]
        masks, b = _of_equal_ranks(masks), _of_equal_ranks([each.b for each in adapters])
        rate = expected_collision_rate(densities[list(members)], sizes)
        conflict = sign_conflict(masks, b)
        return rate, *collision_rates(masks), conflict

    def consensus(
        self, aggregated: Sequence[LazyValue[State]], mixing: Floats
    ) -> tuple[float, float]:
        """Return the consensus error and the spectral gap of a group; see `ClusterRow`.

        Parameters
        ----------
        aggregated : state of each device after aggregation
        mixing : (devices, devices) mixing matrix, the weight of each device's state in each
            device's aggregation
        """
        factors = _of_equal_ranks([each.value().adapter.b for each in aggregated])
        return consensus_error(factors), spectral_gap(mixing)

    def expert(self, device: int, update: LazyValue[Update]) -> LazyValue[Expert]:
        """Return the expert of a device: its A, and the B of its cluster's update."""
        calibrations, tasks_in = self._calibrations, self._tasks_in
        rounds = calibrations.rounds(device)

        def make() -> Expert:
            received = update.value()
            own = calibrations.at(device, received.round).value()
            centroid = own.centroid or ()
            a = own.adapter.written_a() if received.a is None else received.a
            return Expert(
                a, received.b, own.adapter.scale, centroid, tasks_in(device, received.round)
            )

        calibrated = [calibrations.at(device, each) for each in rounds]
        name = digest("expert", update.key, [each.key for each in calibrated])
        return DerivedValue(name, (update, *calibrated), make)

    def _adapter(self, device: int) -> Adapter:
        return self._calibrations.of(device).value().adapter


def _union(
    calibrated: Sequence[LazyValue[Calibration]],
) -> tuple[torch.Tensor, ...] | None:
    """Return the union of masks per layer; None if a device has no mask."""
    masks = [each.value().adapter.mask for each in calibrated]
    found = [mask for mask in masks if mask is not None]
    if len(found) < len(masks):
        return None
    return tuple(torch.stack(of_layer).any(0) for of_layer in zip(*found, strict=True))


def _of_equal_ranks(
    factors: Sequence[tuple[torch.Tensor, ...]],
) -> list[tuple[torch.Tensor, ...]]:
    """Return B's, or masks of B's, whose further ranks are zero on devices with fewer ones."""
    ranks = [max(b.shape[1] for b in of_layer) for of_layer in zip(*factors, strict=True)]
    return [
        tuple(
            b if b.shape[1] == rank else pad(b, (0, rank - b.shape[1]))
            for b, rank in zip(of_device, ranks, strict=True)
        )
        for of_device in factors
    ]
