"""Computation of the jobs of each kind: calibration, training, tests and mixtures."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adapters.peft_format import read as read_adapter
from ..config import Mixture, Similarity
from ..config.computing import schedule_of
from ..engine.batching import JobSize, micro_batches
from ..engine.executor import Outcome
from ..engine.jobs import DivergedError
from ..engine.streams import key
from ..methods.extensions import (
    after_training,
    fitted,
    masked,
    objective_of_method,
    trained_factors,
)
from ..training.local_steps import LocalTraining, train
from ..training.objective import objective_of
from ..training.privacy import GaussianRelease
from .state import State, to_parts

if TYPE_CHECKING:
    from ..adapters import Adapter
    from ..config import Learning
    from ..engine.jobs import Job
    from ..evaluation import Score
    from ..methods import Method
    from ..training.objective import LocalObjective
    from .workload import Workload

CALIBRATION, TRAINING, TEST, MIXTURE = "preparation", "training", "test", "mixture"
# Batch size of calibration and test jobs: they share little, and small batches keep all ranks busy.
_BATCH_SIZE = 2


class Kernels:
    """Batching and computation of the jobs that a trainer submits.

    Parameters
    ----------
    learning : configuration of the learning
    workload, method : what is trained, and the method
    devices, seed : number of devices, and seed of their draws

    Attributes
    ----------
    profiles_prompts : whether the calibration of a device includes its prompt centroid
    """

    def __init__(
        self,
        learning: Learning,
        workload: Workload,
        method: Method,
        devices: int,
        seed: int,
    ) -> None:
        self._learning = learning
        self._workload = workload
        # Methods that look at more than its layers are for language models only.
        self._model: Any = workload.model
        self._method = method
        self._examples = workload.examples
        self._devices = devices
        self._seed = seed
        self._rank = max(method.ranks(self._model.layers)) + getattr(method, "fixed_ranks", 0)
        matches = learning.queries is not None and learning.queries.helper == "matching"
        self.profiles_prompts = (
            learning.inference is not None or isinstance(learning.topology, Similarity) or matches
        )
        if learning.initial_adapter is not None:
            # Refused at once if it does not fit.
            self.initial_adapter(0)

    def initial_adapter(self, device: int, round_: int = 0) -> Adapter:
        """Return the initial adapter of a device; one object if it is common to all devices.

        Parameters
        ----------
        device : the device
        round_ : 0, or the round in which its adapter is renewed, with another A of its own
        """
        return self._initial(0, 0) if self._method.shares_a else self._initial(device, round_)

    def split(self, jobs: Sequence[Job[Any]]) -> list[tuple[Job[Any], ...]]:
        """Split independent jobs into micro-batches."""
        return micro_batches(jobs, self._size, self._fits)

    def compute(self, micro_batch: Sequence[Job[Any]]) -> list[Outcome]:
        """Compute the jobs of a micro-batch."""
        kind = micro_batch[0].kind
        if kind == TRAINING:
            return self._train(micro_batch)
        if kind == CALIBRATION:
            return [self._calibrate(job) for job in micro_batch]
        if kind == MIXTURE:
            return [self._test_mixture(job) for job in micro_batch]
        adapters = [
            job.dependencies[0].value().adapter
            if job.dependencies
            else self.initial_adapter(job.device)
            for job in micro_batch
        ]
        return [
            Outcome(_scalars(found) | {"routing": None, "expert_usage_entropy": None}, {})
            for found in self._workload.evaluator.scores(adapters)
        ]

    @functools.cache  # noqa: B019  (a trainer lives as long as its run)
    def _initial(self, device: int, round_: int) -> Adapter:
        """Return the drawn initial adapter of a device, or the one of the configuration."""
        seed = key(self._seed, "renewed", round_) if round_ else self._seed
        drawn = self._method.initial(self._model.layers, seed, device, self._devices)
        if self._learning.initial_adapter is None:
            return fitted(self._method, self._model, drawn)
        folder = Path(self._learning.initial_adapter)
        found = read_adapter(folder, self._model.layers, self._model.model)
        if [len(a) for a in found.a] != [len(a) for a in drawn.a]:
            raise ValueError(
                f"initial_adapter must be an adapter of rank {drawn.rank} on every adapted layer, "
                f"got ranks {min(len(a) for a in found.a)} to {max(len(a) for a in found.a)}"
            )
        if found.layer_scales is not None or found.scale != drawn.scale:
            raise ValueError(
                f"initial_adapter must be an adapter of scale {drawn.scale:g}, "
                f"which alpha and rank of the method give, got {found.scale:g}"
            )
        return found

    def _size(self, job: Job[Any]) -> JobSize:
        if job.kind != TRAINING:
            return JobSize(1, 1, 1)
        width = self._examples.width(job.device, job.round)
        return JobSize(width, self._learning.batch_size, self._examples.steps[job.device])

    def _fits(self, kind: str, jobs: int, size: JobSize) -> bool:
        if kind != TRAINING:
            return jobs <= _BATCH_SIZE
        bounds, tokens = self._learning.trainer, size.width * size.rows
        needed = self._workload.peak_bytes(size, jobs, self._rank)
        return jobs * tokens <= bounds.micro_batch_tokens and needed <= bounds.memory_bytes

    def peak_bytes(self, devices: int) -> int:
        """Return the estimated memory of the largest micro-batch, beyond the model [byte]."""
        width = max(self._examples.width(device, 0) for device in range(devices))
        size = JobSize(width, self._learning.batch_size, max(self._examples.steps))
        jobs = 1
        while jobs < devices and self._fits(TRAINING, jobs + 1, size):
            jobs += 1
        return self._workload.peak_bytes(size, jobs, self._rank)

    def _test_mixture(self, job: Job[Any]) -> Outcome:
        experts = [each.value() for each in job.dependencies]
        gate = self._learning.inference or Mixture()
        found, *routed = self._workload.evaluator.mixture_scores(experts, gate)
        routing, load = (None if math.isnan(value) else value for value in routed)
        return Outcome(_scalars(found) | {"routing": routing, "expert_usage_entropy": load}, {})

    def _calibrate(self, job: Job[Any]) -> Outcome:
        count, rows = self._method.calibration[1], self._examples.during(job.round).rows[job.device]
        again = [job.round] if job.round else []
        calibrated = self._method.calibrate(
            self._model,
            job.dependencies[0].value(),
            rows,
            self._examples.batches(job.device, "calibration", job.round, count),
            key(self._seed, "calibration", job.device, *again),
        )
        tensors = {f"mask.{i}": mask for i, mask in enumerate(calibrated.mask or ())}
        if self.profiles_prompts:
            means = self._workload.centroid(rows)
            tensors |= {f"centroid.{i}": mean for i, mean in enumerate(means)}
        return Outcome({}, tensors)

    def _learning_rate(self, round_: int) -> float:
        """Return the learning rate of a round, counted from 1."""
        learning = self._learning
        left = 1.0 - (round_ - 1) / learning.rounds
        share = (
            1.0 if schedule_of(learning.optimizer) == "constant" else max(left, 1 / learning.rounds)
        )
        return self._method.learning_rate * share

    def _objectives(self, device: int, round_: int, adapter: Adapter) -> list[LocalObjective]:
        """Return the terms of a device's objective in a round."""
        seed = key(self._seed, "objective", device, round_)
        own = objective_of_method(self._method, adapter, seed)
        terms = (objective_of(self._learning.objective, seed), own)
        return [term for term in terms if term is not None]

    def _release(self, device: int, round_: int) -> GaussianRelease | None:
        """Return the release of a device in a round; None without privacy."""
        privacy = self._learning.privacy
        if privacy is None:
            return None
        return GaussianRelease(privacy, key(self._seed, "privacy", device, round_))

    def _train(self, jobs: Sequence[Job[Any]]) -> list[Outcome]:
        works = []
        waiting = []
        for job in jobs:
            start = job.dependencies[0].value()
            batches = self._examples.training(job.device, job.round)
            rate = self._learning_rate(job.round)
            trains = trained_factors(self._method, job.round)
            moments, others = start.moments_for(trains)
            waiting.append(others)
            adapter = masked(self._method, start.adapter, job.device, job.round)
            objectives = self._objectives(job.device, job.round, adapter)
            release = self._release(job.device, job.round)
            works.append(
                LocalTraining(adapter, moments, batches, rate, trains, objectives, release)
            )
        optimizer, bound = self._learning.optimizer, self._learning.clip_norm
        outcomes = []
        results = train(self._model, works, optimizer, bound)
        for job, work, found, others in zip(jobs, works, results, waiting, strict=True):
            if not math.isfinite(found.loss):
                raise DivergedError(
                    f"device {job.device} diverged in round {job.round}, its loss is "
                    f"{found.loss}; the learning rate is {self._learning_rate(job.round):g}"
                )
            adapter = after_training(
                self._method, work.adapter, found.adapter, len(work.batches), work.learning_rate,
                found.loss,
            )  # fmt: skip
            scalars, tensors = to_parts(
                State(adapter, found.moments, found.loss, others, work.trains)
            )
            outcomes.append(Outcome(scalars, tensors))
        return outcomes


def _scalars(found: Sequence[Score]) -> dict[str, Any]:
    """Return the accuracies on all tasks, those by each rule, and correct answers by class."""
    return {
        "accuracies": [one.accuracy for one in found],
        "by_rule": [dict(one.by_rule) for one in found],
        "correct": [list(one.correct) for one in found],
    }
