"""Training examples of each device as tensors, in batches."""

from __future__ import annotations

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
    from ..tasks import Task
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


class Examples(Generic[RowsT]):
    """Training examples of all devices.

    Parameters
    ----------
    learning : batch size and numbers of steps
    rows : examples of each device
    task_of : numbers of each device's tasks
    seed : seed of numbers of steps and orders
    pooled : whether each device has the examples and the steps of all devices

    Attributes
    ----------
    task_of : numbers of each device's tasks
    rows : examples of each device
    steps : local steps of each device in a round
    digests : digest of each device's examples
    """

    def __init__(
        self,
        learning: Learning,
        rows: Sequence[RowsT],
        task_of: Sequence[tuple[int, ...]],
        seed: int,
        *,
        pooled: bool = False,
    ) -> None:
        self._batch_size = learning.batch_size
        self._seed = seed
        self.rows, self.task_of = rows, task_of
        self.digests = [digest_of_tensors(each.tensors) for each in rows]
        low, high = learning.step_range
        self.steps = [
            int(generator(seed, "local steps", device).integers(low, high + 1))
            for device in range(len(rows))
        ]
        if pooled:
            self.steps = [sum(self.steps)] * len(rows)

    def count(self, device: int) -> int:
        """Return the number of a device's examples."""
        return len(self.rows[device])

    def width(self, device: int) -> int:
        """Return the number of items of a device's examples, such as tokens of its rows."""
        return self.rows[device].width

    def training(self, device: int, round_: int) -> list[RowsT]:
        """Return the batches of a device's local steps in a round."""
        return self.batches(device, "batches", round_, self.steps[device])

    def batches(self, device: int, purpose: str, round_: int, count: int) -> list[RowsT]:
        """Return batches of a device's examples, shuffled in each pass over them."""
        data = self.rows[device]
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
    learning : partition, batch size and numbers of steps
    tasks : the tasks
    example_encoder : encoder of the examples as tokens
    devices : number of devices
    seed : seed of partition, numbers of steps and orders
    flips_labels : returns whether a device trains on flipped labels
    pooled : whether each device has the examples, each once, and the steps of all devices
    """
    shares = partition(learning.partition, tasks, devices, seed)
    task_of = [share.tasks for share in shares]
    examples = [
        flip_labels(share.examples) if flips_labels(device) else share.examples
        for device, share in enumerate(shares)
    ]
    if pooled:
        union = tuple(dict.fromkeys(example for each in examples for example in each))
        examples = [union] * devices
        task_of = [_union(task_of)] * devices
    rows = [encode_examples(each, example_encoder, learning.max_length) for each in examples]
    return Examples(learning, rows, task_of, seed, pooled=pooled)


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
    rows = []
    for device, share in enumerate(shares):
        own = every.take(torch.tensor(share.examples, dtype=torch.int64))
        if flips_labels(device):
            own = Labelled(own.inputs, flip_classes(own.labels, task.classes))
        rows.append(own)
    if pooled:
        union = Labelled(
            torch.cat([each.inputs for each in rows]), torch.cat([each.labels for each in rows])
        )
        rows = [union] * devices
    return Examples(learning, rows, [(0,)] * devices, seed, pooled=pooled)


def _union(task_of: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the numbers of all devices' tasks, ascending."""
    return tuple(sorted({task for tasks in task_of for task in tasks}))
