"""What the devices of a simulation compute: training, merging and tests, on one frozen model.

Everything is promised first (`jobs`) and computed, many devices together, when a result is needed
(`executor`); so a simulation asks for what it needs when its devices do, and pays for little.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from .adapters import AdaptedModel, Adapter
from .collision import expected, measured, sign_conflict
from .config import Emulate, Learning, Mixture, Similar
from .context import code, digest_of_model, digest_of_rows, digest_of_start
from .evaluate import Evaluator
from .executor import Executor, Outcome
from .jobs import Derived, Job, Value, digest
from .machine import bits_of
from .methods import METHODS
from .mixture.experts import Expert
from .mixture.features import centroid, sketch
from .model import Encoded
from .model import encode as encode_rows
from .partition import partition
from .payload import Payload
from .peft_format import read as read_adapter
from .plan import Size, chunks
from .seeds import generator, key
from .state import Prepared, State, Tested, joined, part, parts
from .training import Work, train
from .update import Update, decode, encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .ranks import Ranks
    from .store import Store
    from .tasks import Task

PREPARATION, TRAINING, TEST, MIXTURE = "preparation", "training", "test", "mixture"
# Prompts of a device over which the mean of what enters each layer is taken.
_CENTROID_PROMPTS = 64
# How many devices are prepared or tested in one job: little is shared, and ranks want their parts.
_TOGETHER = 4


class Trainer:
    """Trains the adapters of all devices on one frozen model.

    Parameters
    ----------
    learning : what is learned
    tasks : the tasks, in order
    model, tokenizer : the shared model; it is wrapped in place
    devices : number of devices
    seed : of data order, initial adapters and masks
    store : keeps what was computed; none: nothing is kept
    ranks : the processes that share the work; none: this one does it all

    Attributes
    ----------
    tasks, task_of : the tasks; and for each device the numbers of those that it trains
    examples : number of training examples of each device
    method, model, payload : what is trained, on what, and its sizes
    executor : computes what is promised
    """

    def __init__(
        self,
        learning: Learning,
        tasks: Sequence[Task],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        devices: int,
        seed: int,
        *,
        store: Store | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        torch.set_num_threads(learning.trainer.threads)
        self._learning = learning
        self._seed = seed
        # Whether devices find out what their prompts look like.
        self._looks = learning.inference is not None or isinstance(learning.topology, Similar)
        self.tasks = tasks
        self.method = METHODS[type(learning.method)](learning.method)
        model_digest = digest_of_model(model)
        computing = learning.trainer
        self.model = AdaptedModel(model, learning.target_modules, computing.checkpointing)
        self._ranks = self.method.ranks(self.model.layers)
        self._devices = devices
        for layer, rank in zip(self.model.layers, self._ranks, strict=True):
            if rank > layer.inputs:
                raise ValueError(
                    f"rank must be at most the inputs of every adapted layer, {layer.inputs} of "
                    f"{layer.name}, got {rank}"
                )
        emulate = learning.payload if isinstance(learning.payload, Emulate) else None
        self.payload = Payload(emulate, self.method, self.model, learning.target_modules)
        self.evaluator = Evaluator(self.model, tasks, tokenizer, learning.max_length)
        shares = partition(learning.partition, tasks, devices, seed)
        self.task_of = [share.tasks for share in shares]
        self._data = [encode_rows(s.examples, tokenizer, learning.max_length) for s in shares]
        self.examples = [len(data.ids) for data in self._data]
        low, high = learning.steps_between
        self._steps = [
            int(generator(seed, "local steps", device).integers(low, high + 1))
            for device in range(devices)
        ]
        self._started = digest_of_start(learning.start)
        self._digests = [digest_of_rows(data) for data in self._data]
        self._tests = digest(
            [[[e.prompt, e.answer, e.choices] for e in task.test] for task in tasks],
            learning.max_length,
        )
        self._settings = digest(
            asdict(learning.method), asdict(learning.optimizer), learning.batch_size,
            learning.clip_norm,
        )  # fmt: skip
        context = digest(code(), model_digest, bits_of(self.model.device, computing.threads))
        self.executor = Executor(context, self._plan, self._compute, store, ranks)

    # What sessions ask for.

    def flops(self, device: int, first: bool) -> float:
        """Return the operations of a device's round, with its preparation if it is the first."""
        learning = self._learning
        batch, length = self.payload.tokens(learning.batch_size, self._data[device].ids.shape[1])
        total = self.payload.training_flops(self._steps[device] * batch * length)
        if first:
            prompts, batches = self.method.calibration
            if self._looks:
                prompts = max(prompts, _CENTROID_PROMPTS)
            prompts = min(prompts, self.examples[device])
            total += self.payload.forward_flops(prompts * length)
            total += self.payload.training_flops(batches * batch * length)
        return total

    def weight(self, device: int) -> float:
        """Return how much a device's update counts."""
        return float(self.examples[device]) if self._learning.weights == "examples" else 1.0

    def train(self, device: int, round_: int, start: Value[State] | None) -> Job[State]:
        """Return a device's state after its local steps of a round.

        Parameters
        ----------
        device, round_ : whose, and when: each round has its own batches
        start : where it starts; None for the first time
        """
        frame = self._frame(device)
        begin = self._fresh(device) if start is None else start
        name = digest(
            TRAINING, begin.key, frame.key, self._digests[device], self._settings,
            [self._seed, device, round_, self._steps[device]],
        )  # fmt: skip

        def read(facts: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> State:
            return joined(frame.value(), facts, tensors)

        return self.executor.submit(
            Job(self.executor, TRAINING, name, (begin, frame), device, round_, read)
        )

    def loss(self, trained: Job[State]) -> float:
        """Return the mean loss of a device's local steps [nat]; all that is pending is computed."""
        return float(trained.outcome()["loss"])

    def agree(self, round_: int, state: str) -> None:
        """Make sure that all ranks see the same simulation.

        Raises
        ------
        ValueError
            if they do not
        """
        self.executor.agree(round_, state)

    def tell(self, device: int, round_: int, state: Value[State]) -> Value[Update]:
        """Return what those understand whom a device tells its state, as the bytes carry it."""

        def make() -> Update:
            return self._carried(self.method.update(state.value().adapter, device, round_, True))

        return Derived(digest("told", state.key, device), (state,), make)

    def merge(
        self,
        device: int,
        own: Value[State],
        heard: Sequence[Value[Update]],
        weights: Sequence[float],
    ) -> Value[State]:
        """Return a device's state with what it heard.

        Parameters
        ----------
        device : the one
        own, heard : its state, and what it was told
        weights : of its own state, and of each of the others
        """

        def make() -> State:
            state = own.value()
            mine = self.method.update(state.adapter, device, 0, True)
            updates = [mine, *(update.value() for update in heard)]
            merged = self.method.adopt(state.adapter, self.method.average(updates, weights))
            return replace(state, adapter=merged)

        keys = [update.key for update in heard]
        name = digest("merged", own.key, keys, list(weights), self._settings)
        return Derived(name, (own, *heard), make)

    def average(self, heard: Sequence[Value[Update]], weights: Sequence[float]) -> Value[Update]:
        """Return what a server makes of updates, as those understand it whom it tells."""

        def make() -> Update:
            updates = [update.value() for update in heard]
            return self._carried(self.method.average(updates, weights))

        keys = [update.key for update in heard]
        return Derived(digest("average", keys, list(weights), self._settings), heard, make)

    def adopt(self, device: int, own: Value[State] | None, average: Value[Update]) -> Value[State]:
        """Return a device's state with what a server told it."""
        start = self._fresh(device) if own is None else own

        def make() -> State:
            state = start.value()
            return replace(state, adapter=self.method.adopt(state.adapter, average.value()))

        return Derived(digest("adopted", start.key, average.key), (start, average), make)

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
            adapter = state.value().adapter
            masks = [each.value().adapter.mask for each in prepared]
            union = None
            if all(mask is not None for mask in masks):
                of_layers = zip(*(mask for mask in masks if mask is not None), strict=True)
                union = tuple(torch.stack(of_layer).any(0) for of_layer in of_layers)
            a = adapter.a if adapter.train_a else None
            return self._carried(Update(head, round_, adapter.b, union, a, None, union is not None))

        name = digest("shared", state.key, [each.key for each in prepared])
        return Derived(name, (state, *prepared), make)

    def densities(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (devices, layers) shares of active entries of B, and (layers,) its entries.

        What devices find out before their first round is computed now, if it was not.
        """
        adapters = [self._frame(device).value() for device in range(self._devices)]
        sizes = np.array([b.numel() for b in adapters[0].b], dtype=np.float64)
        shares = np.ones((len(adapters), len(sizes)))
        for device, adapter in enumerate(adapters):
            if adapter.mask is not None:
                shares[device] = [float(mask.float().mean()) for mask in adapter.mask]
        return shares, sizes

    def sketches(self) -> NDArray[np.float64]:
        """Return a sketch of each device's prompts, (devices, numbers), computed now."""
        seed = key(self._seed, "sketch")
        each = [self._prepared(device).value().centroid or () for device in range(self._devices)]
        return np.array([sketch(means, seed).numpy() for means in each], dtype=np.float64)

    def active(self, members: Sequence[int]) -> float:
        """Return the share of the entries of B that some of these devices have active."""
        masks = [self._frame(member).value().mask for member in members]
        there = [mask for mask in masks if mask is not None]
        if len(there) < len(masks):
            return 1.0
        users = [torch.stack(of_layer).any(0) for of_layer in zip(*there, strict=True)]
        return sum(int(u.sum()) for u in users) / sum(u.numel() for u in users)

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

    def test(
        self,
        device: int,
        round_: int,
        state: Value[State] | None,
        held: Mapping[int, Value[Update]] | None = None,
    ) -> Value[Tested]:
        """Return how well a device does on all tasks.

        Parameters
        ----------
        device, round_ : whom, and when
        state : what it has learned; None stands for the untrained model
        held : by device what it knows of it and its group, of which it answers with a mixture
        """
        if held and self._learning.inference is not None:
            experts = [self._expert(other, held[other]) for other in sorted(held)]
            name = digest(
                MIXTURE, [each.key for each in experts], self._tests,
                asdict(self._learning.inference),
            )  # fmt: skip
            return self.executor.submit(
                Job(self.executor, MIXTURE, name, experts, device, round_, _tested)
            )
        needs = () if state is None else (state,)
        started = "" if needs else self._started
        name = digest(TEST, [need.key for need in needs], self._tests, started)
        return self.executor.submit(Job(self.executor, TEST, name, needs, device, round_, _tested))

    # How it is computed.

    def _carried(self, update: Update) -> Update:
        """Return an update as it comes out of its bytes."""
        return decode(encode(update), self.model.layers, self._ranks)

    @functools.cache  # noqa: B019  (a trainer lives as long as its run)
    def _initial(self, device: int) -> Adapter:
        """Return a device's first adapter, or the one to start from."""
        drawn = self.method.initial(self.model.layers, self._seed, device, self._devices)
        if self._learning.start is None:
            return drawn
        found = read_adapter(Path(self._learning.start), self.model.layers)
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

    def _untrained(self, device: int) -> Adapter:
        """Return what a device begins with; where that is the same for all, it is one object."""
        return self._initial(0 if self.method.shares_a else device)

    def _expert(self, device: int, update: Value[Update]) -> Value[Expert]:
        """Return a device as one of several that answer: its A, and the B of its group."""
        prepared = self._prepared(device)

        def make() -> Expert:
            told, own = update.value(), prepared.value()
            centroid = own.centroid or ()
            a = own.adapter.a if told.a is None else told.a
            return Expert(a, told.b, own.adapter.scale, centroid, self.task_of[device])

        name = digest("expert", update.key, prepared.key)
        return Derived(name, (update, prepared), make)

    @functools.cache  # noqa: B019
    def _frame(self, device: int) -> Value[Adapter]:
        """Return a device's adapter before its first round."""
        prepared = self._prepared(device)
        name = digest("frame", prepared.key)
        return Derived(name, (prepared,), lambda: prepared.value().adapter)

    @functools.cache  # noqa: B019
    def _prepared(self, device: int) -> Value[Prepared]:
        """Return what a device has before its first round, found out on its own data."""
        own = 0 if self.method.shares_a else device
        name = digest("initial", self._seed, own, self._devices, self._settings, self._started)
        initial = Derived(name, (), lambda: Prepared(self._untrained(device)))
        if not any(self.method.calibration) and not self._looks:
            return initial
        name = digest(PREPARATION, name, self._digests[device], self._seed, device, self._looks)

        def read(_: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Prepared:
            mask, centroid = part(tensors, "mask"), part(tensors, "centroid")
            return Prepared(replace(self._untrained(device), mask=mask or None), centroid or None)

        return self.executor.submit(
            Job(self.executor, PREPARATION, name, (initial,), device, 0, read)
        )

    @functools.cache  # noqa: B019
    def _fresh(self, device: int) -> Value[State]:
        """Return a device's state before its first round."""
        frame = self._frame(device)
        return Derived(digest("fresh", frame.key), (frame,), lambda: State(frame.value()))

    def _plan(self, jobs: Sequence[Job[Any]]) -> list[tuple[Job[Any], ...]]:
        return chunks(jobs, self._size, self._fits)

    def _size(self, job: Job[Any]) -> Size:
        if job.kind != TRAINING:
            return Size(1, 1, 1)
        width = self._data[job.device].ids.shape[1]
        return Size(width, self._learning.batch_size, self._steps[job.device])

    def _fits(self, kind: str, jobs: int, size: Size) -> bool:
        if kind != TRAINING:
            return jobs <= _TOGETHER
        bounds, tokens = self._learning.trainer, size.width * size.rows
        needed = self.model.memory(tokens, jobs, max(self._ranks), training=True)
        return jobs * tokens <= bounds.chunk_tokens and needed <= bounds.memory_bytes

    def _compute(self, chunk: Sequence[Job[Any]]) -> list[Outcome]:
        """Return what the jobs of a chunk come to."""
        if chunk[0].kind == PREPARATION:
            return [self._prepare(job) for job in chunk]
        if chunk[0].kind == TEST:
            adapters = [
                job.needs[0].value().adapter if job.needs else self._untrained(job.device)
                for job in chunk
            ]
            return [
                Outcome({"accuracies": found, "routing": None}, {})
                for found in self.evaluator.accuracies(adapters)
            ]
        if chunk[0].kind == MIXTURE:
            return [self._mix(job) for job in chunk]
        return self._train(chunk)

    def _mix(self, job: Job[Any]) -> Outcome:
        experts = [need.value() for need in job.needs]
        gate = self._learning.inference or Mixture()
        accuracies, routing = self.evaluator.mixed(experts, gate)
        shown = None if math.isnan(routing) else routing
        return Outcome({"accuracies": accuracies, "routing": shown}, {})

    def _prepare(self, job: Job[Any]) -> Outcome:
        count = self.method.calibration[1]
        prepared = self.method.calibrate(
            self.model,
            job.needs[0].value().adapter,
            self._data[job.device],
            self._batches(job.device, "calibration", 0, count),
            key(self._seed, "calibration", job.device),
        )
        found = {f"mask.{i}": mask for i, mask in enumerate(prepared.mask or ())}
        if self._looks:
            means = centroid(self.model, self._data[job.device], _CENTROID_PROMPTS)
            found |= {f"centroid.{i}": mean for i, mean in enumerate(means)}
        return Outcome({}, found)

    def _train(self, jobs: Sequence[Job[Any]]) -> list[Outcome]:
        works = []
        for job in jobs:
            start = job.needs[0].value()
            batches = self._batches(job.device, "batches", job.round, self._steps[job.device])
            rate = self.method.learning_rate
            works.append(Work(start.adapter, start.moments, batches, rate))
        optimizer, bound = self._learning.optimizer, self._learning.clip_norm
        outcomes = []
        for job, found in zip(jobs, train(self.model, works, optimizer, bound), strict=True):
            if not math.isfinite(found.loss):
                raise ValueError(
                    f"device {job.device} diverged in round {job.round}, its loss is "
                    f"{found.loss}; the learning rate is {self.method.learning_rate:g}"
                )
            facts, tensors = parts(State(found.adapter, found.moments, found.loss))
            outcomes.append(Outcome(facts, tensors))
        return outcomes

    def _batches(self, device: int, purpose: str, round_: int, count: int) -> list[Encoded]:
        """Return batches of a device's examples, each pass over them in a new order."""
        data = self._data[device]
        rng = generator(self._seed, purpose, device, round_)
        wanted = count * self._learning.batch_size
        order: list[int] = []
        while len(order) < wanted:
            order += rng.permutation(len(data.ids)).tolist()
        rows = torch.tensor(order[:wanted], dtype=torch.int64)
        return [
            Encoded(data.ids[row], data.mask[row], data.labels[row])
            for row in rows.reshape(count, self._learning.batch_size)
        ]


def _tested(facts: Mapping[str, Any], _: Mapping[str, torch.Tensor]) -> Tested:
    routing = facts["routing"]
    return Tested(list(facts["accuracies"]), math.nan if routing is None else routing)
