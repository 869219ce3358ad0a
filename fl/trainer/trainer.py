"""Trainer: training, aggregation and tests of all devices on one frozen model or network.

Results are lazy values (`engine.jobs`), computed for many devices in one batch when they are needed
(`engine.executor`). A simulation therefore requests results at the simulated time of each device
without computing them one by one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from wnsim.core.units import Floats

from ..adapters import Adapter
from ..aggregation.superposition import (
    Superposition,
    superposed_mean,
    superposition_digest,
    values_of,
    with_values,
)
from ..config import Emulate, Learning, Server, Split, UpdateFaults
from ..config.computing import schedule_of
from ..digests import code_digest, digest_of_start, plugin_code_digest
from ..engine.device import numerics_fingerprint
from ..engine.executor import Executor
from ..engine.jobs import DerivedValue, Job, LazyValue, digest
from ..methods import method_of
from ..methods.aggregation import Aggregation
from ..methods.extensions import (
    adapt,
    adapts,
    extra_shapes,
    has_varying_sizes,
    is_differential,
    is_stateful,
    masks_of_seed,
    plan,
    planned,
    plans,
    pools_examples,
    renews_below,
    start_run,
    tailored,
    tailors,
)
from ..methods.frozen_a.adaptive import best_size
from ..methods.frozen_a.masks import mask_overlap
from ..methods.frozen_a.projections import overlaps
from ..methods.user_updates import OwnUpdates, is_user_defined
from ..models.nets import Network
from ..training.privacy import epsilon_of
from ..updates.channel import UpdateChannel
from ..updates.codec import HEADER_BYTES, Update, distance
from ..updates.compression import Compression
from .calibrations import Calibrations
from .cost_model import CostModel
from .cut import SplitSteps
from .group_state import GroupState
from .kernels import CALIBRATION, MIXTURE, TEST, TRAINING, Kernels
from .language_workload import CENTROID_PROMPTS, LanguageWorkload
from .network_workload import NetworkWorkload
from .state import Calibration, Drifted, Evaluation, State, from_parts, numbered

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..engine.ranks import Ranks
    from ..engine.store import Store
    from ..tasks import Task
    from ..tasks.arrays import ArrayTask
    from .workload import Workload


class Trainer:
    """Training of all devices, each with its own adapter; see also `SessionTrainer`.

    Parameters
    ----------
    learning : configuration of the learning
    tasks : the tasks, in order; one task of arrays for a network
    model, tokenizer : shared model, wrapped in place, and its tokenizer; a network has none
    devices : number of devices
    seed : seed of initial adapters, masks and rounding
    data_seed : seed of the partition and order of the examples; None for the same seed
    store : result cache; None for none
    ranks : processes that share the computation; None for a single one
    update_faults : attacks and corruption of updates, and flipped labels; None for none

    Attributes
    ----------
    tasks, task_of : the tasks, and the numbers of those on which each device trains now
    examples : training examples of each device
    method, model : method, and adapted model or network
    cost_model : sizes of messages, and operations of steps
    channel : channel of the updates
    groups : updates and statistics of groups of devices
    executor : executor of the jobs
    """

    def __init__(
        self,
        learning: Learning,
        tasks: Sequence[Task] | Sequence[ArrayTask],
        model: PreTrainedModel | torch.nn.Module,
        tokenizer: PreTrainedTokenizerBase | None,
        devices: int,
        seed: int,
        *,
        data_seed: int | None = None,
        store: Store | None = None,
        ranks: Ranks | None = None,
        update_faults: UpdateFaults | None = None,
    ) -> None:
        torch.set_num_threads(learning.trainer.threads)
        self._learning = learning
        self._seed = seed
        # Part of the cache's keys only where it is another one.
        self._other_seed = [] if data_seed is None or data_seed == seed else [data_seed]
        self.tasks = tasks
        self.method = method_of(learning.method)
        protocol = learning.protocol
        averaged = protocol.counted(devices) if isinstance(protocol, Server) else devices
        start_run(self.method, seed, averaged)
        faults = update_faults or UpdateFaults()
        self._workload: Workload = _workload(
            learning, tasks, model, tokenizer, devices, seed if data_seed is None else data_seed,
            faults.flips_labels, pooled=pools_examples(self.method),
        )  # fmt: skip
        self.model, self.examples = self._workload.model, self._workload.examples
        self.task_of = list(self.examples.task_of)
        self._calibrations = Calibrations(devices, self._calibrated)
        # The last round of each device, which tells its examples, and that of its last calibration
        # or comparison with it.
        self._rounds, self._compared = [0] * devices, [0] * devices
        ranks_of_layers = self.method.ranks(self.model.layers)
        self._devices = devices
        for layer, rank in zip(self.model.layers, ranks_of_layers, strict=True):
            if rank > layer.inputs:
                raise ValueError(
                    f"rank must be at most the inputs of every adapted layer, {layer.inputs} of "
                    f"{layer.name}, got {rank}"
                )
        emulate = learning.payload if isinstance(learning.payload, Emulate) else None
        self.cost_model = CostModel(
            emulate, self.method, self.model, learning.target_modules, learning.bits_per_parameter,
            protocol.cut if isinstance(protocol, Split) else None,
        )  # fmt: skip
        # Whether every message carries the values of A, which are then aggregated.
        with_a = self.cost_model.trains_a
        self._compression = None
        if learning.compressor is not None:
            self._compression = Compression(learning.compressor, learning.bits_per_parameter, seed)
        self._updates = OwnUpdates(self.method, self._compression)
        self.channel = UpdateChannel(
            self.model.layers,
            ranks_of_layers,
            seed,
            faults,
            learning.bits_per_parameter,
            extra_shapes(self.method, self.model.layers),
            with_a=with_a,
            masks_of=masks_of_seed(self.method, self.model.layers),
        )
        self._aggregation = Aggregation(self.method, learning.robust, with_a=with_a)
        self._releases = [0] * devices
        self._kernels = Kernels(learning, self._workload, self.method, devices, seed)
        self.groups = GroupState(
            self._calibrations,
            self.channel,
            lambda device, round_: self.examples.during(round_).task_of[device],
            devices,
            seed,
        )
        self._start_digest = digest_of_start(learning.initial_adapter)
        self._tests_digest = self._workload.tests_digest
        self._settings_digest = digest(
            asdict(learning.method), asdict(learning.optimizer), learning.batch_size,
            learning.clip_norm, learning.bits_per_parameter,
            0 if schedule_of(learning.optimizer) == "constant" else learning.rounds,
            *(
                asdict(each)
                for each in (learning.objective, learning.privacy, learning.compressor)
                if each is not None
            ),
        )  # fmt: skip
        context = digest(
            code_digest(),
            plugin_code_digest(learning.method.model),
            *([] if learning.objective is None else [plugin_code_digest(learning.objective.model)]),
            *(
                plugin_code_digest(each.model)
                for each in (learning.optimizer, learning.robust, learning.compressor)
                if each is not None and ":" in each.model
            ),
            self._workload.digest,
            numerics_fingerprint(self.model.device, learning.trainer.threads),
        )
        self.executor = Executor(context, self._kernels.split, self._kernels.compute, store, ranks)

    # The interface of sessions; see `fl.session.protocols.SessionTrainer`.

    @property
    def precision(self) -> str:
        """Dtype of the frozen weights, such as `bfloat16`."""
        return self._workload.precision

    def flops(self, device: int, calibrations: int) -> float:
        """Return the operations of a device's round, those of a server excluded [FLOP].

        Parameters
        ----------
        device : the device
        calibrations : number of calibrations in the round: 1 in its first one
        """
        round_ = self._rounds[device]
        batch, length = self._step_tokens(device)
        total = self.cost_model.training_flops(self.examples.steps[device] * batch * length)
        if self.cost_model.cut is not None:
            total *= self.cost_model.cut.share
        if calibrations:
            prompts, batches = self.method.calibration
            if self._kernels.profiles_prompts:
                prompts = max(prompts, CENTROID_PROMPTS)
            prompts = min(prompts, self.examples.count(device, round_))
            total += calibrations * self.cost_model.forward_flops(prompts * length)
            total += calibrations * self.cost_model.training_flops(batches * batch * length)
        return total

    def _step_tokens(self, device: int) -> tuple[int, int]:
        """Return the sequences of a device's local step, and the tokens of each."""
        width = self.examples.width(device, self._rounds[device])
        return self.cost_model.tokens(self._learning.batch_size, width)

    def split_steps(self, device: int) -> SplitSteps | None:
        """Return the local steps of a device whose model is cut; None if it is whole."""
        protocol = self._learning.protocol
        if not isinstance(protocol, Split):
            return None
        count, items = self.examples.steps[device], math.prod(self._step_tokens(device))
        return self.cost_model.split_steps(count, items, protocol.bits)

    def query(self, device: int, prompts: int) -> tuple[int, int, float]:
        """Return the sizes of a device's query and of its answer, and the operations in between.

        Parameters
        ----------
        device : the device that asks
        prompts : number of prompts for each of its tasks, the first test examples

        Returns
        -------
        sizes of both messages [byte], and operations of the answer's computation [FLOP]
        """
        asked_bytes, answer_bytes, count = self._workload.query_bytes(device, prompts)
        _, length = self.cost_model.tokens(1, self.examples.width(device))
        flops = self.cost_model.forward_flops(count * length)
        return HEADER_BYTES + asked_bytes, HEADER_BYTES + answer_bytes, flops

    def run_flops(self) -> float:
        """Return the operations of all local steps and tests of a run on this machine [FLOP].

        Padding counts where it is computed. The first tests are of one adapter, the initial one.
        """
        learning, steps = self._learning, self.examples.steps
        trained = sum(
            count * self._workload.step_flops(device) for device, count in enumerate(steps)
        )
        tests = -(-learning.rounds // learning.evaluate_every) * len(steps) + 1
        return learning.rounds * trained + tests * self._workload.test_flops()

    @property
    def memory_bytes(self) -> int:
        """Estimated memory of the weights and of the largest micro-batch of training [byte]."""
        module = self.model.module if isinstance(self.model, Network) else self.model.model
        weights = sum(each.numel() * each.element_size() for each in module.parameters())
        return int(weights) + self._kernels.peak_bytes(self._devices)

    @property
    def sustained_share(self) -> float:
        """Share of the speed of a large product that local steps and tests sustain here."""
        return self._workload.sustained_share

    def class_sizes(self, device: int) -> Sequence[tuple[int, int]]:
        """Return the numbers of training examples of a device, and of test examples, by class."""
        return self._workload.class_sizes(device)

    def weight(self, device: int) -> float:
        """Return the aggregation weight of a device's update."""
        if self._learning.weights == "equal":
            return 1.0
        return float(self.examples.count(device, self._rounds[device]))

    @property
    def adapts(self) -> bool:
        """Whether the size of messages adapts to the links."""
        return adapts(self.method)

    def adapt(self, device: int, round_: int, capacities: Floats) -> None:
        """Let a device's update of a round fit into its links; see `SessionTrainer`."""
        # A message has a part that does not depend on the share of the entries that it carries.
        adapt(self.method, device, round_, 0.0)
        least = self.cost_model.size_bytes_in(False, device, round_)
        whole = self.cost_model.size_bytes(False)
        # Without a rule for sizes, the share is that of the whole message.
        fixed = least if least < whole else 0
        share = (best_size(capacities, whole) - fixed) / (whole - fixed)
        adapt(self.method, device, round_, min(1.0, max(0.0, share)))

    @property
    def plans(self) -> bool:
        """Whether the method plans the rounds of a server by the reports of its clients."""
        return plans(self.method)

    def plan(
        self,
        round_: int,
        clients: Sequence[int],
        compute_s: Floats,
        downlink_bps: Floats,
        uplink_bps: Floats,
    ) -> None:
        """Let the method plan a round; see `SessionTrainer`.

        Each client has an equal share of the band.
        """
        cost, bits = self.cost_model, 8.0 * len(clients)
        with np.errstate(divide="ignore"):
            down_s = bits * cost.average_bytes / downlink_bps
            up_s = bits * cost.size_bytes(False) / uplink_bps
        plan(self.method, round_, clients, compute_s, down_s, up_s)

    def renew(self, device: int, round_: int, start: LazyValue[State] | None) -> Drifted | None:
        """Give a device the examples of a round, and return what this changes."""
        last, self._rounds[device] = self._rounds[device], round_
        self.task_of[device] = self.examples.during(round_).task_of[device]
        least, drifts = renews_below(self.method), self.examples.drifts
        if least is None or start is None or drifts(round_) == drifts(self._compared[device]):
            return Drifted() if drifts(round_) > drifts(last) else None
        self._compared[device] = round_
        current = self._calibrations.of(device)
        # With its present A, what would be selected now.
        selected = self._selected(device, round_, self._base_adapter(device))
        masks = [each.value().adapter.mask or () for each in (current, selected)]
        overlap = mask_overlap(*masks)
        if overlap >= least:
            return Drifted(overlap, calibrations=1)
        self._calibrations.renew(device, round_)
        renewed, old = self._calibrations.of(device), start

        def make() -> State:
            adapter = renewed.value().adapter
            if self.method.shares_a:
                adapter = replace(adapter, b=old.value().adapter.b)
            return State(adapter)

        name = digest("renewed", old.key, renewed.key)
        return Drifted(overlap, DerivedValue(name, (old, renewed), make), calibrations=2)

    def train(self, device: int, round_: int, start: LazyValue[State] | None) -> Job[State]:
        """Return a device's state after the local steps of a round.

        Parameters
        ----------
        device, round_ : device and round, which determine the batches
        start : state before the local steps; None before the first round
        """
        self._releases[device] += 1
        if pools_examples(self.method):
            # One job, which all devices ask for.
            device = 0
        initial = self._base_adapter(device)
        begin = self._initial_state(device) if start is None else start
        name = digest(
            TRAINING, begin.key, initial.key, self.examples.during(round_).digests[device],
            self._settings_digest,
            [self._seed, device, round_, self.examples.steps[device], *self._other_seed],
            *planned(self.method, device, round_),
        )  # fmt: skip

        def read(scalars: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> State:
            return from_parts(initial.value(), scalars, tensors)

        return self.executor.submit(
            Job(self.executor, TRAINING, name, (begin, initial), device, round_, read)
        )

    def epsilon(self, device: int) -> float:
        """Return the privacy loss of a device up to now, NaN without `fl.privacy`.

        Each round in which it has begun to train counts, also if it sent nothing in it.
        """
        privacy = self._learning.privacy
        return math.nan if privacy is None else epsilon_of(self._releases[device], privacy)

    def loss(self, trained: Job[State]) -> float:
        """Return the mean loss of a device's local steps [nat]; all pending jobs are computed."""
        return float(trained.wait()["loss"])

    def check_agreement(self, round_: int, state: str) -> None:
        """Check that the state of the simulation is the same on all ranks.

        Raises
        ------
        ValueError
            if it is not
        """
        self.executor.check_agreement(round_, state)

    def outgoing_update(
        self, device: int, round_: int, state: LazyValue[State]
    ) -> LazyValue[Update]:
        """Return the update that neighbors decode from a device's message."""
        rules = (is_user_defined, is_stateful, has_varying_sizes)
        history: list[str] = []
        if self._compression is not None and self._compression.has_memory:
            history.append(self._compression.note(device, state.key))
        if self.method.exchanges and (history or any(rule(self.method) for rule in rules)):
            # It may depend on those before it.
            self._updates.of(device, round_, state)

        def make() -> Update:
            return self.channel.sent(self._updates.of(device, round_, state))

        name = digest(
            "sent", state.key, device, *self.channel.attack_key(device, round_),
            *planned(self.method, device, round_), *history,
        )  # fmt: skip
        return DerivedValue(name, (state,), make)

    def update_bytes(
        self, device: int, round_: int, state: LazyValue[State], first_contact: bool
    ) -> int:
        """Return the size of the message with a device's update [byte]."""
        cost = self.cost_model
        if cost.is_by_rule:
            return cost.size_bytes_in(first_contact, device, round_)
        contact = first_contact or not cost.distinguishes_contacts
        return cost.serialised_bytes(self._updates.of(device, round_, state, contact))

    def average_bytes(
        self, average: LazyValue[Update], device: int, round_: int, is_current: bool
    ) -> int:
        """Return the size of the message with a server's average to a client [byte].

        Parameters
        ----------
        average, device : the average, and the client
        round_, is_current : the round, and whether the client has received the average before
        """
        cost = self.cost_model
        if cost.is_by_rule:
            return cost.average_bytes_to(device, round_, is_current)
        part = tailored(self.method, average.value(), device, round_, is_current)
        return cost.serialised_bytes(part)

    def aggregate(
        self,
        device: int,
        own: LazyValue[State],
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
    ) -> LazyValue[State]:
        """Return a device's state, aggregated with received updates.

        Parameters
        ----------
        device : the receiver
        own, received : its state, and the updates
        weights : weight of its own state, then of each update
        """

        def make() -> State:
            state = own.value()
            local = self._updates.of(device, None, own)
            if is_differential(self.method):
                local = self.channel.transmitted(local)
            updates = [update.value() for update in received]
            adapter = self._aggregation.adapter(state.adapter, local, updates, weights)
            return replace(state, adapter=adapter)

        keys = [update.key for update in received]
        name = digest(
            "aggregated", own.key, keys, list(weights), self._settings_digest, *self._rule_key()
        )
        return DerivedValue(name, (own, *received), make)

    def average(
        self,
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
        previous: LazyValue[Update] | None = None,
    ) -> LazyValue[Update]:
        """Return the server's average of client updates, as clients decode it.

        Parameters
        ----------
        received, weights : the updates, and their weights
        previous : previous average; None for the initial adapter
        """
        dependencies = [*received]
        # The previous average matters to few rules, and if all updates are rejected.
        if previous is not None and (
            self._aggregation.needs_previous or self.channel.is_corrupting
        ):
            dependencies.append(previous)

        def make() -> Update:
            updates = [update.value() for update in received]
            if len(dependencies) > len(received):
                before = dependencies[-1].value()
            else:
                before = self._initial_update()
            found = self._aggregation.clients(before, updates, weights)
            # Parts for single clients are encoded one by one.
            return found if tailors(self.method) else self.channel.transmitted(found)

        keys = [each.key for each in dependencies]
        name = digest("average", keys, list(weights), self._settings_digest, *self._rule_key())
        return DerivedValue(name, dependencies, make)

    def superposed_average(
        self,
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
        superposition: Superposition | None,
        exact: Sequence[LazyValue[Update]] = (),
        exact_weights: Sequence[float] = (),
        previous: LazyValue[Update] | None = None,
    ) -> LazyValue[Update]:
        """Return the server's average of client updates that a channel has added.

        What is added are differences from the previous average, so that noise is in proportion to
        them, and entries that nobody sends stay as they were.

        Parameters
        ----------
        received, weights : updates as sent, and their weights
        superposition : how the channel has added them; None if there are none
        exact, exact_weights : updates that were received in digital form, and their weights
        previous : previous average; None for the initial adapter
        """
        dependencies = [*received, *exact, *([] if previous is None else [previous])]

        def make() -> Update:
            before = self._initial_update() if previous is None else previous.value()
            found = _superposed(
                before, [each.value() for each in received], weights, superposition,
                [each.value() for each in exact], exact_weights,
            )  # fmt: skip
            average = self._aggregation.clients(before, [found], [1.0])
            return self.channel.transmitted(average)

        name = digest(
            "superposed average", [each.key for each in dependencies], list(weights),
            list(exact_weights), superposition_digest(superposition), self._settings_digest,
        )  # fmt: skip
        return DerivedValue(name, dependencies, make)

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
        """Return a device's state, aggregated with updates that a channel has added.

        What is added are differences from the initial adapter, which all devices have.

        Parameters
        ----------
        device, own : the receiver and its state
        received : updates as sent
        weights : weight of its own state, then of each of these updates
        superposition : how the channel has added them; None if there are none
        exact, exact_weights : updates that were received in digital form, and their weights
        """
        dependencies = [own, *received, *exact]

        def make() -> State:
            state = own.value()
            local = [self._updates.of(device, None, own), *(each.value() for each in exact)]
            found = _superposed(
                self._initial_update(), [each.value() for each in received], weights[1:],
                superposition, local, [weights[0], *exact_weights],
            )  # fmt: skip
            adapter = self._aggregation.adapter(state.adapter, found, [], [1.0])
            return replace(state, adapter=adapter)

        name = digest(
            "superposed", [each.key for each in dependencies], list(weights), list(exact_weights),
            superposition_digest(superposition), self._settings_digest,
        )  # fmt: skip
        return DerivedValue(name, dependencies, make)

    def distance(self, update: LazyValue[Update], before: LazyValue[Update] | None) -> float:
        """Return the distance of an update from the average before it.

        The Frobenius norm of the difference of all transmitted matrices, of those that the average
        lacks, or has in another shape, their own norm.

        Parameters
        ----------
        update : update of a client
        before : average from which it started; None for the initial adapter
        """
        start = self._initial_update() if before is None else before.value()
        return distance(update.value(), start)

    def for_client(
        self, device: int, average: LazyValue[Update], round_: int | None = None
    ) -> LazyValue[Update]:
        """Return a server's average as a client decodes it.

        Parameters
        ----------
        device, average : the client, and the average
        round_ : the round; None for the whole average, with which the client is tested
        """
        if not tailors(self.method):
            return average

        def make() -> Update:
            # What a client has already needs no bytes, and is the same.
            part = tailored(self.method, average.value(), device, round_, False)
            return self.channel.transmitted(part)

        which = [] if round_ is None else [round_, *planned(self.method, device, round_)]
        name = digest("tailored", average.key, device, *which)
        return DerivedValue(name, (average,), make)

    def adopt(
        self, device: int, own: LazyValue[State] | None, average: LazyValue[Update]
    ) -> LazyValue[State]:
        """Return a device's state with the adapter of the server's average."""
        start = self._initial_state(device) if own is None else own

        def make() -> State:
            state = start.value()
            update = average.value()
            if update.rejected:
                return state
            return replace(state, adapter=self.method.adopt(state.adapter, update))

        return DerivedValue(digest("adopted", start.key, average.key), (start, average), make)

    def test(
        self,
        device: int,
        round_: int,
        state: LazyValue[State] | None,
        cached: Mapping[int, LazyValue[Update]] | None = None,
    ) -> LazyValue[Evaluation]:
        """Return a device's test results on all tasks.

        Parameters
        ----------
        device, round_ : device and round
        state : its state; None for the initial adapter
        cached : cached cluster update of each known device, for the mixture of experts
        """
        if cached and self._learning.inference is not None:
            experts = [self.groups.expert(other, cached[other]) for other in sorted(cached)]
            name = digest(
                MIXTURE, [each.key for each in experts], self._tests_digest,
                asdict(self._learning.inference),
            )  # fmt: skip
            return self.executor.submit(
                Job(self.executor, MIXTURE, name, experts, device, round_, _evaluation)
            )
        dependencies = () if state is None else (state,)
        start = "" if dependencies else self._start_digest
        name = digest(TEST, [each.key for each in dependencies], self._tests_digest, start)
        return self.executor.submit(
            Job(self.executor, TEST, name, dependencies, device, round_, _evaluation)
        )

    def exported(self, adapter: Adapter, base_model: str) -> dict[str, bytes]:
        """Return the files of a device's adapter, or of its network, by name.

        Parameters
        ----------
        adapter : the adapter
        base_model : name or folder of the model
        """
        return self._workload.exported(adapter, base_model)

    def overlaps(self) -> tuple[list[float], list[float]] | None:
        """Return how far frozen A's are from orthogonal; None if devices share one A."""
        if self.method.shares_a or self.cost_model.trains_a:
            return None
        return overlaps([self._kernels.initial_adapter(each).a for each in range(self._devices)])

    # Lazy values before the first round.

    def _initial_update(self) -> Update:
        """Return the update of the first device's initial adapter."""
        return self._updates.initial(self._kernels.initial_adapter(0))

    def _rule_key(self) -> list[object]:
        """Return the cache key of the robust aggregation rule; empty for the method's own."""
        robust = self._learning.robust
        return [] if robust is None else [asdict(robust)]

    def _base_adapter(self, device: int) -> LazyValue[Adapter]:
        """Return a device's calibrated adapter before its first round, or before it was renewed."""
        return self._adapter_of(self._calibrations.of(device))

    @functools.cache  # noqa: B019
    def _adapter_of(self, calibrated: LazyValue[Calibration]) -> LazyValue[Adapter]:
        """Return the adapter of a calibration."""
        name = digest("base adapter", calibrated.key)
        return DerivedValue(name, (calibrated,), lambda: calibrated.value().adapter)

    @functools.cache  # noqa: B019
    def _calibrated(self, device: int, round_: int) -> LazyValue[Calibration]:
        """Return a device's calibration on its own data; without one, its initial adapter.

        Parameters
        ----------
        device : the device
        round_ : 0, or the round before which the adapter is renewed
        """
        own = 0 if self.method.shares_a else device
        name = digest(
            "initial", self._seed, own, self._devices, self._settings_digest, self._start_digest,
            *([round_] if round_ else []),
        )  # fmt: skip
        initial = DerivedValue(name, (), lambda: self._kernels.initial_adapter(device, round_))
        if any(self.method.calibration) or self._kernels.profiles_prompts:
            return self._selected(device, round_, initial)
        return DerivedValue(
            digest("calibration", name), (initial,), lambda: Calibration(initial.value())
        )

    def _selected(self, device: int, round_: int, adapter: LazyValue[Adapter]) -> Job[Calibration]:
        """Return a calibration on what a device has in a round, with the A of an adapter."""
        again = [round_] if round_ else []
        name = digest(
            CALIBRATION, adapter.key, self.examples.during(round_).digests[device], self._seed,
            device, self._kernels.profiles_prompts, *self._other_seed, *again,
        )  # fmt: skip

        def read(_: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Calibration:
            mask, centroid = numbered(tensors, "mask"), numbered(tensors, "centroid")
            return Calibration(replace(adapter.value(), mask=mask or None), centroid or None)

        return self.executor.submit(
            Job(self.executor, CALIBRATION, name, (adapter,), device, round_, read)
        )

    def _initial_state(self, device: int) -> LazyValue[State]:
        """Return a device's state before its first round."""
        return self._state_of(self._base_adapter(device))

    @functools.cache  # noqa: B019
    def _state_of(self, adapter: LazyValue[Adapter]) -> LazyValue[State]:
        """Return the state that begins with an adapter."""
        return DerivedValue(
            digest("initial state", adapter.key), (adapter,), lambda: State(adapter.value())
        )


def _workload(
    learning: Learning,
    tasks: Sequence[Any],
    model: Any,
    tokenizer: PreTrainedTokenizerBase | None,
    devices: int,
    seed: int,
    flips_labels: Callable[[int], bool],
    *,
    pooled: bool,
) -> Workload:
    """Return the workload of a language model, or of a network, which has no tokenizer."""
    if tokenizer is None:
        return NetworkWorkload(
            learning, tasks[0], model, devices, seed, flips_labels, pooled=pooled
        )
    return LanguageWorkload(
        learning, tasks, model, tokenizer, devices, seed, flips_labels, pooled=pooled
    )


def _superposed(
    before: Update,
    received: Sequence[Update],
    weights: Sequence[float],
    superposition: Superposition | None,
    exact: Sequence[Update],
    exact_weights: Sequence[float],
) -> Update:
    """Return the mean of updates, added by a channel as differences from another one."""
    like = (*received, *exact)[0]
    start = values_of(before, like)
    change = superposed_mean(
        [values_of(each, like) - start for each in received], weights, superposition,
        [values_of(each, like) - start for each in exact], exact_weights,
    )  # fmt: skip
    return with_values(like, start + change)


def _evaluation(scalars: Mapping[str, Any], _: Mapping[str, torch.Tensor]) -> Evaluation:
    routing, load = (
        math.nan if scalars[name] is None else scalars[name]
        for name in ("routing", "expert_usage_entropy")
    )
    return Evaluation(
        list(scalars["accuracies"]), routing, load, list(scalars["by_rule"]),
        list(scalars["correct"]),
    )  # fmt: skip
