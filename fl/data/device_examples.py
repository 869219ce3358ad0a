"""Training examples of each device as tensors, in batches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

import torch

from ..digests import digest_of_tensors
from ..engine.streams import generator
from ..models.nets.labelled import Labelled
from ..models.sentence_encoder import encode_examples
from .label_flipping import flip_classes, flip_labels
from .partition import Share, groups_of, partition

if TYPE_CHECKING:
    from ..config import Learning
    from ..models.language_model import Encoded
    from ..models.sentence_encoder import ExampleEncoder
    from ..tasks import Example, Task
    from ..tasks.arrays import ArrayTask


class Rows(Protocol):
    """Examples as rows of tensors: token rows, or arrays with classes."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def take(self, rows: torch.Tensor) -> Self:
        """Return the examples of some rows (k,)."""

    @property
    def width(self) -> int:
        """Number of items of an example, for which operations are counted."""

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """What the rows consist of, for their digest."""


RowsT = TypeVar("RowsT", bound=Rows)


class Holding(Generic[RowsT]):
    """Training examples of all devices between two changes of their data.

    Parameters
    ----------
    rows : examples of each device
    task_of : numbers of each device's tasks

    Attributes
    ----------
    rows, task_of : see above
    digests : digest of each device's examples
    """

    def __init__(self, rows: Sequence[RowsT], task_of: Sequence[tuple[int, ...]]) -> None:
        self.rows, self.task_of = rows, task_of
        self.digests = [digest_of_tensors(each.tensors) for each in rows]


class Examples(Generic[RowsT]):
    """Training examples of all devices, in every round.

    Parameters
    ----------
    learning : batch size, numbers of steps, and drift
    holdings : what devices have at first, and after each drift
    seed : seed of numbers of steps and orders
    pooled : whether each device has the examples and the steps of all devices

    Attributes
    ----------
    steps : local steps of each device in a round
    rows, task_of, digests : see `Holding`, before the first drift
    """

    def __init__(
        self,
        learning: Learning,
        holdings: Sequence[Holding[RowsT]],
        seed: int,
        *,
        pooled: bool = False,
    ) -> None:
        self._batch_size = learning.batch_size
        self._seed = seed
        self._drift, self._holdings = learning.drift, holdings
        first = holdings[0]
        self.rows, self.task_of, self.digests = first.rows, first.task_of, first.digests
        rows = first.rows
        low, high = learning.step_range
        self.steps = [
            int(generator(seed, "local steps", device).integers(low, high + 1))
            for device in range(len(rows))
        ]
        if pooled:
            self.steps = [sum(self.steps)] * len(rows)

    def drifts(self, round_: int) -> int:
        """Return how many times the data have changed up to the start of a round."""
        return 0 if self._drift is None else self._drift.times(round_)

    def during(self, round_: int) -> Holding[RowsT]:
        """Return what devices have in a round; in round 0, before the first one."""
        return self._holdings[self.drifts(round_)]

    def count(self, device: int, round_: int = 0) -> int:
        """Return the number of a device's examples in a round."""
        return len(self.during(round_).rows[device])

    def width(self, device: int, round_: int = 0) -> int:
        """Return the number of items of a device's examples, such as tokens of its rows."""
        return self.during(round_).rows[device].width

    def training(self, device: int, round_: int) -> list[RowsT]:
        """Return the batches of a device's local steps in a round."""
        return self.batches(device, "batches", round_, self.steps[device])

    def batches(self, device: int, purpose: str, round_: int, count: int) -> list[RowsT]:
        """Return batches of a device's examples, shuffled in each pass over them."""
        data = self.during(round_).rows[device]
        rng = generator(self._seed, purpose, device, round_)
        wanted = count * self._batch_size
        order: list[int] = []
        while len(order) < wanted:
            order += rng.permutation(len(data)).tolist()
        rows = torch.tensor(order[:wanted], dtype=torch.int64)
        return [data.take(row) for row in rows.reshape(count, self._batch_size)]


def text_examples(
    learning: Learning,
    tasks: Sequence[Task],
    example_encoder: ExampleEncoder,
    devices: int,
    seed: int,
    flips_labels: Callable[[int], bool] = lambda _: False,
    *,
    pooled: bool = False,
) -> Examples[Encoded]:
    """Return the training examples of devices on texts.

    Parameters
    ----------
    learning : partition, batch size, numbers of steps, and drift
    tasks : the tasks
    example_encoder : encoder of the examples as tokens
    devices : number of devices
    seed : seed of partition, numbers of steps and orders
    flips_labels : returns whether a device trains on flipped labels
    pooled : whether each device has the examples, each once, and the steps of all devices
    """
    shares = partition(learning.partition, tasks, devices, seed)

    def examples(owner: int, flipped: bool) -> Sequence[Example]:
        return flip_labels(shares[owner].examples) if flipped else shares[owner].examples

    @functools.cache
    def encoded(owner: int, flipped: bool) -> Encoded:
        return encode_examples(examples(owner, flipped), example_encoder, learning.max_length)

    if pooled:
        own = (examples(device, flips_labels(device)) for device in range(devices))
        union = tuple(dict.fromkeys(example for each in own for example in each))
        rows = encode_examples(union, example_encoder, learning.max_length)
        every = tuple(sorted({task for share in shares for task in share.tasks}))
        return Examples(learning, [Holding([rows] * devices, [every] * devices)], seed, pooled=True)
    holdings = [
        Holding(
            [encoded(owner, flips_labels(device)) for device, owner in enumerate(owners)],
            [shares[owner].tasks for owner in owners],
        )
        for owners in _owners(learning, devices)
    ]
    return Examples(learning, holdings, seed)


def array_examples(
    learning: Learning,
    task: ArrayTask,
    devices: int,
    seed: int,
    flips_labels: Callable[[int], bool] = lambda _: False,
    *,
    pooled: bool = False,
) -> Examples[Labelled]:
    """Return the training examples of devices on arrays; see `text_examples`."""
    groups = groups_of(learning.partition, task)
    shares: list[Share[int]] = partition(learning.partition, groups, devices, seed)
    every = Labelled.of(task.train)

    @functools.cache
    def labelled(owner: int, flipped: bool) -> Labelled:
        own = every.take(torch.tensor(shares[owner].examples, dtype=torch.int64))
        return Labelled(own.inputs, flip_classes(own.labels, task.classes)) if flipped else own

    task_of = [(0,)] * devices
    if pooled:
        rows = [labelled(device, flips_labels(device)) for device in range(devices)]
        union = Labelled(
            torch.cat([each.inputs for each in rows]), torch.cat([each.labels for each in rows])
        )
        return Examples(learning, [Holding([union] * devices, task_of)], seed, pooled=True)
    holdings = [
        Holding([labelled(owner, flips_labels(d)) for d, owner in enumerate(owners)], task_of)
        for owners in _owners(learning, devices)
    ]
    return Examples(learning, holdings, seed)


def _owners(learning: Learning, devices: int) -> list[list[int]]:
    """Return whose part of the partition each device has, at first and after each drift."""
    drift = learning.drift
    if drift is None:
        return [list(range(devices))]
    changes = range(len(drift.rounds) + 1)
    return [[(device + drift.shift * n) % devices for device in range(devices)] for n in changes]
