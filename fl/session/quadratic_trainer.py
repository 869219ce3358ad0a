"""Trainer of numbers in closed form, in place of `fl.trainer.Trainer`, to check sessions.

Each device minimizes (x - c)^2 / 2 by gradient descent; its adapter is the number x.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from wnsim.core.units import Floats

from ..aggregation.superposition import Superposition, superposed_mean
from ..engine.jobs import DerivedValue, LazyValue
from ..trainer.cut import SplitSteps
from ..trainer.state import Evaluation

Number = LazyValue[float]


class QuadraticCostModel:
    """Messages of equal size; see `SessionCostModel`."""

    centroid_bytes = 0
    values = 100

    def size_bytes(self, first_contact: bool) -> int:
        """Return the size of an update's message [byte]."""
        return 100

    def cluster_update_bytes(self, active: float, includes_mask: bool, newcomers: int) -> int:
        """Return the size of a cluster update's message [byte]."""
        return 100

    def control_bytes(self, embedding_size: int = 0) -> int:
        """Return the size of a control message [byte]."""
        return 100

    def listing_bytes(self, groups: int) -> int:
        """Return the size of a list of cluster updates [byte]."""
        return 100

    def stored_bytes(self, states: int, devices: int, centroids: int, neighbors: int = 0) -> int:
        """Return the storage of cached numbers [byte]."""
        return 4 * states


class QuadraticChannel:
    """A channel without faults; see `SessionChannel`."""

    def corrupted(
        self, receiver: int, sender: int, round_: int, update: Number, members: Sequence[int] = ()
    ) -> None:
        """Return None: there are no bit errors."""
        return


class QuadraticGroups:
    """Groups of numbers; see `SessionGroups`."""

    def __init__(self, devices: int) -> None:
        self._devices = devices

    def own_update(self, round_: int, state: Number) -> Number:
        """Return the state."""
        return state

    def cluster_update(
        self, head: int, round_: int, state: Number, members: Sequence[int]
    ) -> Number:
        """Return the state."""
        return state

    def densities(self) -> tuple[Any, Any]:
        """Return ones: the only entry is active."""
        return np.ones((self._devices, 1)), np.ones(1)

    def prompt_embeddings(self) -> Any:
        """Return zeros: all prompts are alike."""
        return np.zeros((self._devices, 1))

    def active_share(self, members: Sequence[int]) -> float:
        """Return 1: the only entry is active."""
        return 1.0

    def collisions(
        self, members: Sequence[int], trained: Sequence[Number]
    ) -> tuple[float, float, float, float]:
        """Return the statistics of one entry that all devices share."""
        return 1.0, 1.0, 1.0, 0.0

    def consensus(self, aggregated: Sequence[Number], mixing: Any) -> tuple[float, float]:
        """Return the variance of the states, and a spectral gap of 1."""
        return float(np.var([each.value() for each in aggregated])), 1.0


class QuadraticTrainer:
    """Gradient descent on (x - c)^2 / 2 of each device; see `SessionTrainer`.

    Parameters
    ----------
    targets : c of each device, whose mean is not zero
    rate : learning rate
    """

    tasks = (SimpleNamespace(name="near", majority_accuracy=0.0, test=()),)
    method = SimpleNamespace(exchanges=True)

    def __init__(self, targets: Sequence[float], rate: float) -> None:
        self._targets, self._rate = targets, rate
        self.task_of = [(0,)] * len(targets)
        self.cost_model = QuadraticCostModel()
        self.channel = QuadraticChannel()
        self.groups = QuadraticGroups(len(targets))

    def flops(self, device: int, calibrations: int) -> float:
        """Return 1."""
        return 1.0

    def split_steps(self, device: int) -> SplitSteps:
        """Return two steps of a thousand bytes up and down, of 1, 2 and 3 operations."""
        return SplitSteps(2, 1.0, 2.0, 3.0, 1000, 1000)

    def query(self, device: int, prompts: int) -> tuple[int, int, float]:
        """Return a thousand bytes for each prompt, a hundred for its answer, and 1."""
        return 1000 * prompts, 100 * prompts, 1.0

    def class_sizes(self, device: int) -> Sequence[tuple[int, int]]:
        """Return nothing: there are no classes."""
        return ()

    def weight(self, device: int) -> float:
        """Return 1."""
        return 1.0

    @property
    def adapts(self) -> bool:
        """False."""
        return False

    def adapt(self, device: int, round_: int, capacities: Floats) -> None:
        """Do nothing."""

    @property
    def plans(self) -> bool:
        """False."""
        return False

    def plan(
        self,
        round_: int,
        clients: Sequence[int],
        compute_s: Floats,
        downlink_bps: Floats,
        uplink_bps: Floats,
    ) -> None:
        """Do nothing."""

    def renew(self, device: int, round_: int, start: Number | None) -> None:
        """Do nothing: the data stay as they are."""

    def train(self, device: int, round_: int, start: Number | None) -> Number:
        """Return the state after one gradient step; the first start is 0."""

        def make() -> float:
            x = 0.0 if start is None else start.value()
            return x - self._rate * (x - self._targets[device])

        return DerivedValue(f"{device} {round_}", (), make)

    def loss(self, trained: Number) -> float:
        """Return the state in place of a loss."""
        return trained.value()

    def epsilon(self, device: int) -> float:
        """Return NaN: nothing is private."""
        return math.nan

    def check_agreement(self, round_: int, state: str) -> None:
        """Do nothing: a single process agrees with itself."""

    def outgoing_update(self, device: int, round_: int, state: Number) -> Number:
        """Return the state."""
        return state

    def update_bytes(self, device: int, round_: int, state: Number, first_contact: bool) -> int:
        """Return the size of all messages [byte]."""
        return self.cost_model.size_bytes(first_contact)

    def average_bytes(self, average: Number, device: int, round_: int, is_current: bool) -> int:
        """Return the size of all messages [byte]."""
        return self.cost_model.size_bytes(False)

    def aggregate(
        self, device: int, own: Number, received: Sequence[Number], weights: Sequence[float]
    ) -> Number:
        """Return the weighted mean of the own state and the received ones."""
        return _mean(f"aggregated {own.key}", [own, *received], weights)

    def average(
        self,
        received: Sequence[Number],
        weights: Sequence[float],
        previous: Number | None = None,
    ) -> Number:
        """Return the weighted mean of the received states."""
        return _mean("average", received, weights)

    def superposed_average(
        self,
        received: Sequence[Number],
        weights: Sequence[float],
        superposition: Superposition | None,
        exact: Sequence[Number] = (),
        exact_weights: Sequence[float] = (),
        previous: Number | None = None,
    ) -> Number:
        """Return the mean of numbers x that were added by a channel as values x and -x."""

        def make() -> float:
            before = 0.0 if previous is None else previous.value()
            change = superposed_mean(
                [_pair(each.value() - before) for each in received], weights, superposition,
                [_pair(each.value() - before) for each in exact], exact_weights,
            )  # fmt: skip
            return before + float(change[0])

        return DerivedValue("superposed average", (), make)

    def superposed_aggregate(
        self,
        device: int,
        own: Number,
        received: Sequence[Number],
        weights: Sequence[float],
        superposition: Superposition | None,
        exact: Sequence[Number] = (),
        exact_weights: Sequence[float] = (),
    ) -> Number:
        """Return the mean of the own number and of others that were added by a channel."""
        exact, shares = [own, *exact], [weights[0], *exact_weights]
        return self.superposed_average(received, weights[1:], superposition, exact, shares)

    def distance(self, update: Number, before: Number | None) -> float:
        """Return the distance of a received state from the average before it."""
        return abs(update.value() - (0.0 if before is None else before.value()))

    def for_client(self, device: int, average: Number, round_: int | None = None) -> Number:
        """Return the average."""
        return average

    def adopt(self, device: int, own: Number | None, average: Number) -> Number:
        """Return the average."""
        return average

    def test(
        self,
        device: int,
        round_: int,
        state: Number | None,
        cached: Mapping[int, Number] | None = None,
    ) -> LazyValue[Any]:
        """Return 1 - |x - c| / |c| as accuracy, at least 0, with the mean c of all devices."""

        def measure() -> Evaluation:
            mean = float(np.mean(self._targets))
            x = 0.0 if state is None else state.value()
            return Evaluation([max(0.0, 1.0 - abs(x - mean) / abs(mean))], 0.0, 0.0, [{}])

        return DerivedValue(f"test {device} {round_}", (), measure)


def _pair(x: float) -> Any:
    """Return a number as two values of mean zero."""
    return np.array([x, -x])


def _mean(key: str, values: Sequence[Number], weights: Sequence[float]) -> Number:
    return DerivedValue(
        key, (), lambda: float(np.average([each.value() for each in values], weights=weights))
    )
