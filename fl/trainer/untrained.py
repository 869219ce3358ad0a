"""Trainer without training: sizes and durations of a scenario, and no learned values.

With it a session sends the messages of a run at their instants. Whatever a topology asks of the
devices before the first round, their masks and prompts, is calibrated as in the run, unless that
takes too many operations; then masks are taken as independent, and devices as alike if they have
equal tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from wnsim.core.units import Floats

from ..adapters.stacked import FORWARD_FLOPS, TRAINING_FLOPS
from ..engine.jobs import DerivedValue, Job, LazyValue
from ..methods.extensions import served_shapes
from .language_workload import CENTROID_PROMPTS
from .state import Evaluation

if TYPE_CHECKING:
    from ..aggregation.superposition import Superposition
    from ..session.protocols import SessionTrainer
    from ..updates.codec import Update
    from .cut import SplitSteps
    from .state import Drifted, State
    from .trainer import Trainer

_MOST_FLOP = {"cpu": 1e12, "cuda": 1e15}
"""Operations of a calibration that takes about a minute on each kind of device."""


class UntrainedTrainer:
    """Sizes and durations of a trainer, without its training; see `SessionTrainer`.

    Parameters
    ----------
    trainer : trainer with the tasks, the method and the cost model
    batch_size : examples of a step

    Attributes
    ----------
    groups : masks and prompts of groups of devices
    """

    def __init__(self, trainer: Trainer, batch_size: int) -> None:
        self._trainer = trainer
        self.tasks, self.task_of = trainer.tasks, trainer.task_of
        self.method, self.cost_model = trainer.method, trainer.cost_model
        self.channel = _ErrorFreeChannel()
        most = _MOST_FLOP.get(trainer.model.device.type, _MOST_FLOP["cpu"])
        calibrates = _calibration_flop(trainer, batch_size) <= most
        self.groups = _UntrainedGroups(trainer, calibrates=calibrates)

    @property
    def assumes(self) -> bool:
        """Whether masks or prompts are assumed in place of calibrated."""
        return self.groups.assumes

    def flops(self, device: int, calibrations: int) -> float:
        """Return the operations of a device's round with a number of calibrations [FLOP]."""
        return self._trainer.flops(device, calibrations)

    def split_steps(self, device: int) -> SplitSteps | None:
        """Return the local steps of a device whose model is cut; None if it is whole."""
        return self._trainer.split_steps(device)

    def query(self, device: int, prompts: int) -> tuple[int, int, float]:
        """Return the sizes of a device's query and of its answer, and the operations in between."""
        return self._trainer.query(device, prompts)

    def class_sizes(self, device: int) -> Sequence[tuple[int, int]]:
        """Return nothing: devices are not tested."""
        return ()

    def weight(self, device: int) -> float:
        """Return the aggregation weight of a device's update."""
        return self._trainer.weight(device)

    @property
    def adapts(self) -> bool:
        """Whether the size of messages adapts to the links."""
        return self._trainer.adapts

    def adapt(self, device: int, round_: int, capacities: Floats) -> None:
        """Let a device's update fit into its links."""
        self._trainer.adapt(device, round_, capacities)

    @property
    def plans(self) -> bool:
        """Whether the method plans the rounds of a server."""
        return self._trainer.plans

    def plan(
        self,
        round_: int,
        clients: Sequence[int],
        compute_s: Floats,
        downlink_bps: Floats,
        uplink_bps: Floats,
    ) -> None:
        """Let the method plan a round: sizes may depend on it."""
        self._trainer.plan(round_, clients, compute_s, downlink_bps, uplink_bps)

    def renew(self, device: int, round_: int, start: LazyValue[State] | None) -> Drifted | None:
        """Return None: a forecast does not look at data that change."""
        return None

    def train(self, device: int, round_: int, start: LazyValue[State] | None) -> Job[State]:
        """Return a job that is never computed."""
        return Job(self._trainer.executor, "none", "", (), device, round_, _unknown)

    def loss(self, trained: Job[State]) -> float:
        """Return NaN."""
        return math.nan

    def epsilon(self, device: int) -> float:
        """Return NaN."""
        return math.nan

    def check_agreement(self, round_: int, state: str) -> None:
        """Do nothing: a forecast has a single process."""

    def outgoing_update(
        self, device: int, round_: int, state: LazyValue[State]
    ) -> LazyValue[Update]:
        """Return an update without values."""
        return _nothing()

    def update_bytes(
        self, device: int, round_: int, state: LazyValue[State], first_contact: bool
    ) -> int:
        """Return the size of an update's message, that of random factors if it varies [byte]."""
        return self.cost_model.size_bytes_in(first_contact, device, round_)

    def average_bytes(
        self, average: LazyValue[Update], device: int, round_: int, is_current: bool
    ) -> int:
        """Return the size of the message with a server's average to a client [byte]."""
        cost = self.cost_model
        if cost.is_by_rule or served_shapes(self.method, self._trainer.model.layers) is not None:
            return cost.average_bytes_to(device, round_, is_current)
        return cost.size_bytes(False)

    def aggregate(
        self,
        device: int,
        own: LazyValue[State],
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
    ) -> LazyValue[State]:
        """Return the own state."""
        return own

    def average(
        self,
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
        previous: LazyValue[Update] | None = None,
    ) -> LazyValue[Update]:
        """Return an average without values."""
        return _nothing()

    def superposed_average(
        self,
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
        superposition: Superposition | None,
        exact: Sequence[LazyValue[Update]] = (),
        exact_weights: Sequence[float] = (),
        previous: LazyValue[Update] | None = None,
    ) -> LazyValue[Update]:
        """Return an average without values."""
        return _nothing()

    def superposed_aggregate(
        self,
        device: int,
        own: LazyValue[State],
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
        superposition: Superposition | None,
        exact: Sequence[LazyValue[Update]] = (),
        exact_weights: Sequence[float] = (),
    ) -> LazyValue[State]:
        """Return the own state."""
        return own

    def distance(self, update: LazyValue[Update], before: LazyValue[Update] | None) -> float:
        """Return 1: only rounds after the first one depend on it."""
        return 1.0

    def for_client(
        self, device: int, average: LazyValue[Update], round_: int | None = None
    ) -> LazyValue[Update]:
        """Return an average without values."""
        return average

    def adopt(
        self, device: int, own: LazyValue[State] | None, average: LazyValue[Update]
    ) -> LazyValue[State]:
        """Return a state without values."""
        return _nothing()

    def test(
        self,
        device: int,
        round_: int,
        state: LazyValue[State] | None,
        cached: Mapping[int, LazyValue[Update]] | None = None,
    ) -> LazyValue[Evaluation]:
        """Return test results of NaN."""
        count = len(self.tasks)
        result = Evaluation([math.nan] * count, math.nan, math.nan, [{}] * count)
        return DerivedValue("", (), lambda: result)


class _ErrorFreeChannel:
    """Channel that never corrupts an update; see `SessionChannel`."""

    def corrupted(
        self,
        receiver: int,
        sender: int,
        round_: int,
        update: LazyValue[Update],
        members: Sequence[int] = (),
    ) -> None:
        """Return None: corruption changes what is learned, not what is sent."""
        return


class _UntrainedGroups:
    """Masks and prompts before the first round; see `SessionGroups`.

    Parameters
    ----------
    trainer : trainer of the devices
    calibrates : whether they are those of the run

    Attributes
    ----------
    assumes : whether assumptions about them have been used
    """

    def __init__(self, trainer: Trainer, *, calibrates: bool) -> None:
        self._trainer, self._calibrates = trainer, calibrates
        self.assumes = False

    def own_update(self, round_: int, state: LazyValue[State]) -> LazyValue[Update]:
        """Return an update without values."""
        return _nothing()

    def cluster_update(
        self, head: int, round_: int, state: LazyValue[State], members: Sequence[int]
    ) -> LazyValue[Update]:
        """Return an update without values."""
        return _nothing()

    def densities(self) -> tuple[Floats, Floats]:
        """Return (devices, layers) shares of active entries, and (layers,) numbers of entries."""
        if self._calibrates:
            return self._trainer.groups.densities()
        self.assumes = True
        layers, method = self._trainer.model.layers, self._trainer.method
        ranks = method.ranks(layers)
        sizes = [layer.outputs * rank for layer, rank in zip(layers, ranks, strict=True)]
        density = self._trainer.cost_model.density
        shares = np.full((len(self._trainer.task_of), len(sizes)), density)
        return shares, np.array(sizes, dtype=np.float64)

    def prompt_embeddings(self) -> Floats:
        """Return the embedding of each device's prompts, (devices, embedding)."""
        if self._calibrates:
            return self._trainer.groups.prompt_embeddings()
        self.assumes = True
        found = np.zeros((len(self._trainer.task_of), len(self._trainer.tasks)))
        for device, tasks in enumerate(self._trainer.task_of):
            found[device, list(tasks)] = 1.0
        return found

    def active_share(self, members: Sequence[int]) -> float:
        """Return the share of the entries that are active on at least one device."""
        if self._calibrates:
            return self._trainer.groups.active_share(members)
        self.assumes = True
        return 1.0 - (1.0 - self._trainer.cost_model.density) ** len(members)

    def collisions(
        self, members: Sequence[int], trained: Sequence[LazyValue[State]]
    ) -> tuple[float, float, float, float]:
        """Return NaN: nothing has been trained."""
        return math.nan, math.nan, math.nan, math.nan

    def consensus(
        self, aggregated: Sequence[LazyValue[State]], mixing: Floats
    ) -> tuple[float, float]:
        """Return NaN: nothing has been trained."""
        return math.nan, math.nan


def _calibration_flop(trainer: Trainer, batch_size: int) -> float:
    """Return the operations of the calibration of all devices on this machine, at most [FLOP]."""
    prompts, batches = trainer.method.calibration
    prompts, examples = max(prompts, CENTROID_PROMPTS), trainer.examples
    tokens = sum(
        examples.width(device)
        * (
            FORWARD_FLOPS * min(prompts, examples.count(device))
            + TRAINING_FLOPS * batches * batch_size
        )
        for device in range(len(trainer.task_of))
    )
    return float(trainer.model.parameter_count * tokens)


def _nothing() -> LazyValue[Any]:
    """Return a value that nobody may ask for."""
    return DerivedValue("", (), _unknown)


def _unknown(*_: object) -> NoReturn:
    raise RuntimeError("a forecast trains nothing, so that there is no such value")


if TYPE_CHECKING:

    def _implements(trainer: UntrainedTrainer) -> SessionTrainer:
        return trainer
