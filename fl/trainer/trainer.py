"""What the devices of a simulation compute: training, merging and tests, on one frozen model.

Everything is promised first (`jobs`) and computed, many devices together, when a result is needed
(`executor`); so a simulation asks for what it needs when its devices do, and pays for little.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch

from ..adapters import AdaptedModel, Adapter
from ..config import Emulate, Learning, Wrongs
from ..data.device_examples import Examples
from ..digests import code_digest, digest_of_model, digest_of_start, own_code
from ..engine.device import bits_of
from ..engine.executor import Executor
from ..engine.jobs import Derived, Job, Value, digest
from ..engine.streams import generator, key
from ..methods import method_of
from ..methods.merging import Merging
from ..methods.projections import overlaps
from ..models.checks import check_length, check_token
from ..models.sentence_encoder import Choices
from ..updates.attacks import damaged, falsified
from ..updates.codec import Update, decode, encode
from .cost_model import Payload
from .group_state import Groups
from .kernels import CENTROID_PROMPTS, MIXTURE, PREPARATION, TEST, TRAINING, Kernels
from .state import Prepared, State, Tested, joined, part

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..engine.ranks import Ranks
    from ..engine.store import Store
    from ..tasks import Task


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
    wrongs : what is wrong with updates and labels; none: nothing is

    Attributes
    ----------
    tasks, task_of : the tasks; and for each device the numbers of those that it trains
    examples : what each device learns from
    method, model, payload : what is trained, on what, and its sizes
    groups : what is asked about devices that aggregate with each other
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
        wrongs: Wrongs | None = None,
    ) -> None:
        torch.set_num_threads(learning.trainer.threads)
        self._learning = learning
        self._seed = seed
        self.tasks = tasks
        self.method = method_of(learning.method)
        check_length(model, learning.max_length)
        model_digest = digest_of_model(model)
        computing = learning.trainer
        choices = None
        if learning.scoring == "similarity":
            choices = Choices(tasks, model, tokenizer, learning.max_length)
        self.model = AdaptedModel(model, learning.target_modules, computing.checkpointing, choices)
        self._ranks = self.method.ranks(self.model.layers)
        self._devices = devices
        for layer, rank in zip(self.model.layers, self._ranks, strict=True):
            if rank > layer.inputs:
                raise ValueError(
                    f"rank must be at most the inputs of every adapted layer, {layer.inputs} of "
                    f"{layer.name}, got {rank}"
                )
        emulate = learning.payload if isinstance(learning.payload, Emulate) else None
        self.payload = Payload(
            emulate, self.method, self.model, learning.target_modules, learning.value_bits
        )
        self._wrongs = wrongs or Wrongs()
        # Whether every message carries the values of A, which are averaged then.
        self._with_a = self.method.shapes_update(self.model.layers, False).a is not None
        self._merging = Merging(self.method, learning.robust, with_a=self._with_a)
        self.examples = Examples(
            learning, tasks, choices or tokenizer, devices, seed, self._wrongs.mislabels
        )
        check_token(model, max(int(rows.ids.max()) for rows in self.examples.rows))
        self.task_of = self.examples.task_of
        self._kernels = Kernels(
            learning, self.model, self.method, self.examples, tasks, choices or tokenizer, devices,
            seed,
        )  # fmt: skip
        self.groups = Groups(
            self._prepared, self._carried, self.task_of, seed, self._falsified, self._lie
        )
        self._started = digest_of_start(learning.start)
        self._tests = digest(
            [[[e.prompt, e.answer, e.choices] for e in task.test] for task in tasks],
            learning.max_length,
            learning.scoring,
        )
        self._settings = digest(
            asdict(learning.method), asdict(learning.optimizer), learning.batch_size,
            learning.clip_norm, learning.value_bits,
            0 if learning.optimizer.schedule == "constant" else learning.rounds,
        )  # fmt: skip
        context = digest(
            code_digest(),
            own_code(learning.method.model),
            model_digest,
            bits_of(self.model.device, computing.threads),
        )
        self.executor = Executor(context, self._kernels.plan, self._kernels.compute, store, ranks)

    # What sessions ask for.

    def flops(self, device: int, first: bool) -> float:
        """Return the operations of a device's round, with its preparation if it is the first."""
        learning = self._learning
        batch, length = self.payload.tokens(learning.batch_size, self.examples.width(device))
        total = self.payload.training_flops(self.examples.steps[device] * batch * length)
        if first:
            prompts, batches = self.method.calibration
            if self._kernels.looks:
                prompts = max(prompts, CENTROID_PROMPTS)
            prompts = min(prompts, self.examples.count(device))
            total += self.payload.forward_flops(prompts * length)
            total += self.payload.training_flops(batches * batch * length)
        return total

    def weight(self, device: int) -> float:
        """Return how much a device's update counts."""
        return float(self.examples.count(device)) if self._learning.weights == "examples" else 1.0

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
            TRAINING, begin.key, frame.key, self.examples.digests[device], self._settings,
            [self._seed, device, round_, self.examples.steps[device]],
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
            true = self.method.update(state.value().adapter, device, round_, True)
            return self._carried(self._falsified(true))

        return Derived(
            digest("told", state.key, device, *self._lie(device, round_)), (state,), make
        )

    def damaged(
        self, me: int, device: int, round_: int, told: Value[Update], group: Sequence[int] = ()
    ) -> Value[Update] | None:
        """Return what a device has heard of another, if bits have changed on the way; else None.

        Parameters
        ----------
        me, device : who hears, and who has told
        round_ : of which round
        told : the update, as it was sent
        group : of whom it is, if not of the one who has told
        """
        corruption = self._wrongs.corruption
        if corruption is None:
            return None
        rng = generator(self._seed, "corruption", me, device, round_, *group)
        if rng.random() >= corruption.probability:
            return None

        def make() -> Update:
            return damaged(
                told.value(), corruption.bits, rng, self.model.layers, self._ranks,
                with_a=self._with_a,
            )  # fmt: skip

        name = digest(
            "damaged", told.key, [me, device, round_, *group, self._seed], asdict(corruption)
        )
        return Derived(name, (told,), make)

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
            merged = self._merging.peers(mine, [update.value() for update in heard], weights)
            return replace(state, adapter=self.method.adopt(state.adapter, merged))

        keys = [update.key for update in heard]
        name = digest("merged", own.key, keys, list(weights), self._settings, *self._rule())
        return Derived(name, (own, *heard), make)

    def average(
        self,
        heard: Sequence[Value[Update]],
        weights: Sequence[float],
        before: Value[Update] | None = None,
    ) -> Value[Update]:
        """Return what a server makes of updates, as those understand it whom it tells.

        Parameters
        ----------
        heard, weights : the updates, and how much each counts
        before : what it had before; none: an untrained adapter
        """
        needs = [*heard]
        # What it had before matters to some rules only, and if nothing that it has heard is of use.
        if before is not None and (self._rule() or self._wrongs.corruption is not None):
            needs.append(before)

        def make() -> Update:
            updates = [update.value() for update in heard]
            if len(needs) > len(heard):
                had = needs[-1].value()
            else:
                had = self.method.update(self._kernels.untrained(0), 0, 0, True)
            return self._carried(self._merging.clients(had, updates, weights))

        keys = [need.key for need in needs]
        name = digest("average", keys, list(weights), self._settings, *self._rule())
        return Derived(name, needs, make)

    def adopt(self, device: int, own: Value[State] | None, average: Value[Update]) -> Value[State]:
        """Return a device's state with what a server told it."""
        start = self._fresh(device) if own is None else own

        def make() -> State:
            state = start.value()
            told = average.value()
            if told.refused:
                return state
            return replace(state, adapter=self.method.adopt(state.adapter, told))

        return Derived(digest("adopted", start.key, average.key), (start, average), make)

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
            experts = [self.groups.expert(other, held[other]) for other in sorted(held)]
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

    def overlaps(self) -> tuple[list[float], list[float]] | None:
        """Return how far frozen A's are from orthogonal; None unless each device has its own."""
        if self.method.shares_a:
            return None
        return overlaps([self._kernels.untrained(each).a for each in range(self._devices)])

    # How it is computed.

    def _rule(self) -> list[object]:
        """Return what names the rule of merging, if it is not the method's own."""
        robust = self._learning.robust
        return [] if robust is None else [asdict(robust)]

    def _lie(self, device: int, round_: int) -> list[object]:
        """Return what names a device's lie in a round, if it lies."""
        attack = self._wrongs.attack(device, round_)
        return [] if attack is None else [asdict(attack), round_, self._seed]

    def _falsified(self, update: Update) -> Update:
        """Return what a device tells in place of an update of its own: mostly the same."""
        attack = self._wrongs.attack(update.device, update.round)
        if attack is None:
            return update
        rng = generator(self._seed, "byzantine", update.device, update.round)
        return falsified(update, attack, rng)

    def _carried(self, update: Update) -> Update:
        """Return an update as it comes out of its bytes."""
        bits = self._learning.value_bits
        rounding = key(self._seed, "rounding", update.device, update.round)
        sent = encode(replace(update, bits=bits, rounding=rounding))
        return decode(sent, self.model.layers, self._ranks)

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
        initial = Derived(name, (), lambda: Prepared(self._kernels.untrained(device)))
        if not any(self.method.calibration) and not self._kernels.looks:
            return initial
        name = digest(
            PREPARATION,
            name,
            self.examples.digests[device],
            self._seed,
            device,
            self._kernels.looks,
        )

        def read(_: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Prepared:
            mask, centroid = part(tensors, "mask"), part(tensors, "centroid")
            return Prepared(
                replace(self._kernels.untrained(device), mask=mask or None), centroid or None
            )

        return self.executor.submit(
            Job(self.executor, PREPARATION, name, (initial,), device, 0, read)
        )

    @functools.cache  # noqa: B019
    def _fresh(self, device: int) -> Value[State]:
        """Return a device's state before its first round."""
        frame = self._frame(device)
        return Derived(digest("fresh", frame.key), (frame,), lambda: State(frame.value()))


_OF_CHOICE = ("routing", "load_entropy")


def _tested(facts: Mapping[str, Any], _: Mapping[str, torch.Tensor]) -> Tested:
    routing, load = (math.nan if facts[name] is None else facts[name] for name in _OF_CHOICE)
    return Tested(list(facts["accuracies"]), routing, load)
