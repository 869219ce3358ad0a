"""How jobs of each kind are computed: preparation, training, tests; and which together."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adapters.memory import MemoryEstimate
from ..adapters.peft_format import read as read_adapter
from ..config import Mixture, Similar
from ..engine.batching import Size, chunks
from ..engine.executor import Outcome
from ..engine.streams import key
from ..evaluation import Evaluator
from ..mixture.features import centroid
from ..training.local_steps import LocalTraining, train
from .state import State, parts

if TYPE_CHECKING:
    from ..adapters import AdaptedModel, Adapter
    from ..config import Learning
    from ..data.device_examples import Examples
    from ..engine.jobs import Job
    from ..methods import Method
    from ..models.sentence_encoder import Reader
    from ..tasks import Task

PREPARATION, TRAINING, TEST, MIXTURE = "preparation", "training", "test", "mixture"
CENTROID_PROMPTS = 64
"""Prompts of a device over which the mean of what enters each layer is taken."""

# How many devices are prepared or tested in one job: little is shared, and ranks want their parts.
_TOGETHER = 4


class Kernels:
    """Plans and computes jobs, of the kinds that a trainer hands in.

    Parameters
    ----------
    learning : what is learned
    model, method, examples : what is trained, how and from what
    tasks, reader : what is tested, and what makes it tokens
    devices, seed : number of devices, and seed of what they draw

    Attributes
    ----------
    looks : whether devices find out what their prompts look like
    evaluator : the tests
    """

    def __init__(
        self,
        learning: Learning,
        model: AdaptedModel,
        method: Method,
        examples: Examples,
        tasks: Sequence[Task],
        reader: Reader,
        devices: int,
        seed: int,
    ) -> None:
        self._learning = learning
        self._model = model
        self._method = method
        self._examples = examples
        self._devices = devices
        self._seed = seed
        self._rank = max(method.ranks(model.layers))
        self._memory = MemoryEstimate(model)
        self.looks = learning.inference is not None or isinstance(learning.topology, Similar)
        self.evaluator = Evaluator(model, tasks, reader, learning.max_length)

    def untrained(self, device: int) -> Adapter:
        """Return what a device begins with; where that is the same for all, it is one object."""
        return self._initial(0 if self._method.shares_a else device)

    def plan(self, jobs: Sequence[Job[Any]]) -> list[tuple[Job[Any], ...]]:
        """Cut jobs that do not need each other into chunks."""
        return chunks(jobs, self._size, self._fits)

    def compute(self, chunk: Sequence[Job[Any]]) -> list[Outcome]:
        """Return what the jobs of a chunk come to."""
        kind = chunk[0].kind
        if kind == TRAINING:
            return self._train(chunk)
        if kind == PREPARATION:
            return [self._prepare(job) for job in chunk]
        if kind == MIXTURE:
            return [self._mix(job) for job in chunk]
        adapters = [
            job.needs[0].value().adapter if job.needs else self.untrained(job.device)
            for job in chunk
        ]
        return [
            Outcome({"accuracies": found, "routing": None, "load_entropy": None}, {})
            for found in self.evaluator.accuracies(adapters)
        ]

    @functools.cache  # noqa: B019  (a trainer lives as long as its run)
    def _initial(self, device: int) -> Adapter:
        """Return a device's first adapter, or the one to start from."""
        drawn = self._method.initial(self._model.layers, self._seed, device, self._devices)
        if self._learning.start is None:
            return drawn
        found = read_adapter(Path(self._learning.start), self._model.layers)
        if [len(a) for a in found.a] != [len(a) for a in drawn.a]:
            raise ValueError(
                f"start must be an adapter of rank {drawn.rank} on every adapted layer, got ranks "
                f"{min(len(a) for a in found.a)} to {max(len(a) for a in found.a)}"
            )
        if found.layer_scales is not None or found.scale != drawn.scale:
            raise ValueError(
                f"start must be an adapter of scale {drawn.scale:g}, as alpha and rank of the "
                f"method say, got {found.scale:g}"
            )
        return found

    def _size(self, job: Job[Any]) -> Size:
        if job.kind != TRAINING:
            return Size(1, 1, 1)
        width = self._examples.width(job.device)
        return Size(width, self._learning.batch_size, self._examples.steps[job.device])

    def _fits(self, kind: str, jobs: int, size: Size) -> bool:
        if kind != TRAINING:
            return jobs <= _TOGETHER
        bounds, tokens = self._learning.trainer, size.width * size.rows
        needed = self._memory.peak_bytes(tokens, jobs, self._rank, training=True)
        return jobs * tokens <= bounds.chunk_tokens and needed <= bounds.memory_bytes

    def _mix(self, job: Job[Any]) -> Outcome:
        experts = [need.value() for need in job.needs]
        gate = self._learning.inference or Mixture()
        accuracies, *choice = self.evaluator.mixed(experts, gate)
        routing, load = (None if math.isnan(value) else value for value in choice)
        facts = {"accuracies": accuracies, "routing": routing, "load_entropy": load}
        return Outcome(facts, {})

    def _prepare(self, job: Job[Any]) -> Outcome:
        count = self._method.calibration[1]
        prepared = self._method.calibrate(
            self._model,
            job.needs[0].value().adapter,
            self._examples.rows[job.device],
            self._examples.batches(job.device, "calibration", 0, count),
            key(self._seed, "calibration", job.device),
        )
        found = {f"mask.{i}": mask for i, mask in enumerate(prepared.mask or ())}
        if self.looks:
            means = centroid(self._model, self._examples.rows[job.device], CENTROID_PROMPTS)
            found |= {f"centroid.{i}": mean for i, mean in enumerate(means)}
        return Outcome({}, found)

    def _rate(self, round_: int) -> float:
        """Return the learning rate of a round, counted from 1."""
        learning = self._learning
        left = 1.0 - (round_ - 1) / learning.rounds
        share = 1.0 if learning.optimizer.schedule == "constant" else max(left, 1 / learning.rounds)
        return self._method.learning_rate * share

    def _train(self, jobs: Sequence[Job[Any]]) -> list[Outcome]:
        works = []
        for job in jobs:
            start = job.needs[0].value()
            batches = self._examples.training(job.device, job.round)
            rate = self._rate(job.round)
            works.append(LocalTraining(start.adapter, start.moments, batches, rate))
        optimizer, bound = self._learning.optimizer, self._learning.clip_norm
        outcomes = []
        for job, found in zip(jobs, train(self._model, works, optimizer, bound), strict=True):
            if not math.isfinite(found.loss):
                raise ValueError(
                    f"device {job.device} diverged in round {job.round}, its loss is "
                    f"{found.loss}; the learning rate is {self._rate(job.round):g}"
                )
            facts, tensors = parts(State(found.adapter, found.moments, found.loss))
            outcomes.append(Outcome(facts, tensors))
        return outcomes
