"""Partition of the training examples over the devices.

Sources: Dirichlet shares as in Hsu et al., "Measuring the effects of non-identical data
distribution for federated visual classification", 2019, with tasks, or classes of arrays, as
groups: each is split over the devices, so that numbers of examples differ too. Shards as in McMahan
et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017,
each of one group here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from ..config import Dirichlet, Iid, OneTask, Shards
from ..engine.streams import generator

if TYPE_CHECKING:
    from ..tasks.arrays import ArrayTask

Item = TypeVar("Item")

_TRIES = 1000


class Group(Protocol):
    """Examples that a partition divides: a task, or a class of arrays."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def train(self) -> Sequence[Any]:
        """Its training examples, or their numbers."""


@dataclass(frozen=True, slots=True)
class NumberedGroup:
    """Numbers of the training examples of one class, or of all; see `Group`."""

    name: str
    train: Sequence[int]


@dataclass(frozen=True, slots=True)
class Share(Generic[Item]):
    """Training examples of one device.

    Parameters
    ----------
    owned : the examples, at least one, each with the number of its group
    """

    owned: tuple[tuple[int, Item], ...]

    @property
    def tasks(self) -> tuple[int, ...]:
        """Numbers of the tasks, or other groups, of the examples, ascending."""
        return tuple(sorted({task for task, _ in self.owned}))

    @property
    def examples(self) -> tuple[Item, ...]:
        """The examples without their groups."""
        return tuple(example for _, example in self.owned)


class Partition(Protocol):
    """Interface of partitions, the members of `PARTITIONS`."""

    def __call__(
        self, config: Any, tasks: Sequence[Group], devices: int, seed: int
    ) -> list[Share[Any]]:
        """Return the examples of each device; the same for the same arguments.

        Each training example belongs to at most one device, and each device has at least one.

        Parameters
        ----------
        config : parameters of the partition, among them `size_spread`, which `partition` applies
        tasks : the tasks, or other groups
        devices : number of devices, the length of the result
        seed : seed of the draws

        Raises
        ------
        ValueError
            if there are not enough examples
        """
        ...


def one_task(config: OneTask, tasks: Sequence[Group], devices: int, seed: int) -> list[Share[Any]]:
    """Assign task i modulo the number of tasks to device i; devices of one task split its examples.

    Raises
    ------
    ValueError
        if a task has fewer training examples than devices
    """
    result = []
    for device in range(devices):
        index = device % len(tasks)
        sharing = len(range(index, devices, len(tasks)))
        own = tasks[index].train[device // len(tasks) :: sharing]
        if not own:
            raise ValueError(
                f"task {tasks[index].name!r} has {len(tasks[index].train)} training examples "
                f"for {sharing} devices; each needs at least one"
            )
        result.append(Share(tuple((index, example) for example in own)))
    return result


def dirichlet(
    config: Dirichlet, tasks: Sequence[Group], devices: int, seed: int
) -> list[Share[Any]]:
    """Split each task over the devices by shares from a Dirichlet distribution.

    Raises
    ------
    ValueError
        if no draw gives every device the minimum number of examples
    """
    total = sum(len(task.train) for task in tasks)
    if total >= devices * config.min_examples:
        rng = generator(seed, "partition")
        for _ in range(_TRIES):
            # [tasks, devices]
            shares = rng.dirichlet(np.full(devices, config.alpha), size=len(tasks))
            sizes = np.array([len(task.train) for task in tasks])
            # Cumulative bounds of the parts, so that no example is lost to rounding.
            ends = np.rint(np.cumsum(shares, axis=1) * sizes[:, None]).astype(np.int64)
            ends[:, -1] = sizes
            begins = np.concatenate([np.zeros((len(tasks), 1), np.int64), ends[:, :-1]], axis=1)
            if (ends - begins).sum(axis=0).min() >= config.min_examples:
                return [
                    Share(
                        tuple(
                            (index, example)
                            for index, task in enumerate(tasks)
                            for example in task.train[begins[index, d] : ends[index, d]]
                        )
                    )
                    for d in range(devices)
                ]
    raise ValueError(
        f"dirichlet shares of alpha {config.alpha:g} must leave each of {devices} devices "
        f"{config.min_examples} of {total} training examples, and none of {_TRIES} draws did"
    )


def shards(config: Shards, tasks: Sequence[Group], devices: int, seed: int) -> list[Share[Any]]:
    """Cut each task into equal shards, in proportion to its size, and deal them to the devices.

    Raises
    ------
    ValueError
        if there are fewer shards than tasks, or fewer examples than shards
    """
    sizes = np.array([len(task.train) for task in tasks])
    count = devices * config.per_device
    if count < len(tasks):
        raise ValueError(
            f"{devices} devices with {config.per_device} shards each must have a shard of each of "
            f"{len(tasks)} tasks or classes"
        )
    # At least one shard each, then one at a time for the task with the largest ones.
    cuts = np.ones(len(tasks), dtype=np.int64)
    for _ in range(count - len(tasks)):
        cuts[np.argmax(sizes / cuts)] += 1
    if (cuts > sizes).any():
        raise ValueError(
            f"{count} shards need at least one training example each, got {sizes.sum()}"
        )
    parts = [
        [(index, example) for example in task.train[number::cut]]
        for index, (task, cut) in enumerate(zip(tasks, cuts.tolist(), strict=True))
        for number in range(cut)
    ]
    order = generator(seed, "partition").permutation(count).reshape(devices, -1)
    return [Share(tuple(one for part in own for one in parts[part])) for own in order.tolist()]


def iid(config: Iid, tasks: Sequence[Group], devices: int, seed: int) -> list[Share[Any]]:
    """Shuffle the examples of all tasks, and split them evenly.

    Raises
    ------
    ValueError
        if there are fewer training examples than devices
    """
    total = sum(len(task.train) for task in tasks)
    if total < devices:
        raise ValueError(f"{devices} devices need at least one training example each, got {total}")
    rng = generator(seed, "partition")
    examples = [(index, e) for index, task in enumerate(tasks) for e in task.train]
    order = rng.permutation(total)
    return [Share(tuple(examples[i] for i in order[d::devices])) for d in range(devices)]


def user_defined(config: Any, tasks: Sequence[Group], devices: int, seed: int) -> list[Share[Any]]:
    """Split the examples by a user-defined rule, and check that it keeps its contract.

    Raises
    ------
    ValueError
        if the rule does not give each device examples of its own
    """
    name = config.model
    found = [list(own) for own in config.split(tasks, devices, seed)]
    if len(found) != devices:
        raise ValueError(f"{name}: split must return {devices} devices' examples, got {len(found)}")
    owners: dict[tuple[int, int], int] = {}
    for device, own in enumerate(found):
        if not own:
            raise ValueError(f"{name}: split must give an example to device {device}, got none")
        for group, number in own:
            there = 0 <= group < len(tasks) and 0 <= number < len(tasks[group].train)
            if not there:
                raise ValueError(
                    f"{name}: split must return pairs of a group and an example of it, "
                    f"got {(group, number)} for device {device}"
                )
            if (group, number) in owners:
                raise ValueError(
                    f"{name}: split must give an example to one device, once, "
                    f"got {(group, number)} for devices {owners[group, number]} and {device}"
                )
            owners[group, number] = device
    return [Share(tuple((int(k), tasks[k].train[n]) for k, n in own)) for own in found]


PARTITIONS: dict[type, Partition] = {
    OneTask: one_task,
    Dirichlet: dirichlet,
    Shards: shards,
    Iid: iid,
}


def groups_of(config: object, task: ArrayTask) -> list[NumberedGroup]:
    """Return the groups of arrays that a partition divides, as numbers of training samples.

    Parameters
    ----------
    config : rule of the partition: `one-task` divides all samples at once, others class by class
    task : the arrays
    """
    if isinstance(config, OneTask):
        return [NumberedGroup(task.name, range(len(task.train)))]
    labels = task.train.labels
    classes = [np.flatnonzero(labels == label).tolist() for label in range(task.classes)]
    return [
        NumberedGroup(f"{task.name} class {label}", numbers)
        for label, numbers in enumerate(classes)
        if numbers
    ]


def partition(config: Any, tasks: Sequence[Group], devices: int, seed: int) -> list[Share[Any]]:
    """Return the training examples of each device.

    Parameters
    ----------
    config : rule of the partition, built-in or user-defined
    tasks : the tasks, or other groups
    devices : number of devices
    seed : seed of the draws

    Raises
    ------
    ValueError
        if there are not enough examples, or a user-defined rule breaks its contract
    """
    shares = PARTITIONS.get(type(config), user_defined)(config, tasks, devices, seed)
    if not getattr(config, "size_spread", 0.0):
        return shares
    # The largest device keeps all its examples; the others are thinned to the requested spread.
    rng = generator(seed, "partition sizes")
    logs = config.size_spread * rng.standard_normal(devices)
    keep = np.exp(logs - logs.max())
    result: list[Share[Any]] = []
    for share, part in zip(shares, keep, strict=True):
        count = len(share.owned)
        chosen = np.sort(rng.permutation(count)[: max(1, round(part * count))])
        result.append(Share(tuple(share.owned[i] for i in chosen)))
    return result
