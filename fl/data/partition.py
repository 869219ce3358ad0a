"""Partition of the training examples over the devices.

Sources: Dirichlet shares as in Hsu et al., "Measuring the effects of non-identical data
distribution for federated visual classification", 2019, with tasks in place of classes: each task
is split over the devices, so that numbers of examples differ too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..config import Dirichlet, Iid, OneTask
from ..engine.streams import generator
from ..tasks import Example, Task

_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Share:
    """Training examples of one device.

    Parameters
    ----------
    owned : the examples, at least one, each with the number of its task
    """

    owned: tuple[tuple[int, Example], ...]

    @property
    def tasks(self) -> tuple[int, ...]:
        """Numbers of the tasks of the examples, ascending."""
        return tuple(sorted({task for task, _ in self.owned}))

    @property
    def examples(self) -> tuple[Example, ...]:
        """The examples without their tasks."""
        return tuple(example for _, example in self.owned)


class Partition(Protocol):
    """Interface of partitions, the members of `PARTITIONS`."""

    def __call__(self, config: Any, tasks: Sequence[Task], devices: int, seed: int) -> list[Share]:
        """Return the examples of each device; the same for the same arguments.

        Each training example belongs to at most one device, and each device has at least one.

        Parameters
        ----------
        config : parameters of the partition, among them `size_spread`, which `partition` applies
        tasks : the tasks
        devices : number of devices, the length of the result
        seed : seed of the draws

        Raises
        ------
        ValueError
            if there are not enough examples
        """
        ...


def one_task(config: OneTask, tasks: Sequence[Task], devices: int, seed: int) -> list[Share]:
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


def dirichlet(config: Dirichlet, tasks: Sequence[Task], devices: int, seed: int) -> list[Share]:
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


def iid(config: Iid, tasks: Sequence[Task], devices: int, seed: int) -> list[Share]:
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


PARTITIONS: dict[type, Partition] = {
    OneTask: one_task,
    Dirichlet: dirichlet,
    Iid: iid,
}


def partition(
    config: OneTask | Dirichlet | Iid, tasks: Sequence[Task], devices: int, seed: int
) -> list[Share]:
    """Return the training examples of each device.

    Parameters
    ----------
    config : rule of the partition
    tasks : the tasks
    devices : number of devices
    seed : seed of the draws

    Raises
    ------
    ValueError
        if there are not enough examples
    """
    shares = PARTITIONS[type(config)](config, tasks, devices, seed)
    if not config.size_spread:
        return shares
    # The largest device keeps all its examples; the others are thinned to the requested spread.
    rng = generator(seed, "partition sizes")
    logs = config.size_spread * rng.standard_normal(devices)
    keep = np.exp(logs - logs.max())
    result = []
    for share, part in zip(shares, keep, strict=True):
        count = len(share.owned)
        chosen = np.sort(rng.permutation(count)[: max(1, round(part * count))])
        result.append(Share(tuple(share.owned[i] for i in chosen)))
    return result
