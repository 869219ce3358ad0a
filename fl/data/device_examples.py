"""Training examples of each device as tokens, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from ..digests import digest_of_rows
from ..engine.streams import generator
from ..models.language_model import Encoded
from ..models.sentence_encoder import encode_examples
from .label_flipping import flip_labels
from .partition import partition

if TYPE_CHECKING:
    from ..adapters import AdaptedModel
    from ..config import Learning
    from ..models.sentence_encoder import ExampleEncoder
    from ..tasks import Task


class Examples:
    """Training examples of all devices.

    Parameters
    ----------
    learning : partition, batch size and numbers of steps
    tasks : the tasks
    example_encoder : encoder of the examples as tokens
    devices : number of devices
    seed : seed of partition, numbers of steps and orders
    flips_labels : returns whether a device trains on flipped labels
    pooled : whether each device has the examples, each once, and the steps of all devices

    Attributes
    ----------
    task_of : numbers of each device's tasks
    rows : encoded examples of each device
    steps : local steps of each device in a round
    digests : digest of each device's examples
    """

    def __init__(
        self,
        learning: Learning,
        tasks: Sequence[Task],
        example_encoder: ExampleEncoder,
        devices: int,
        seed: int,
        flips_labels: Callable[[int], bool] = lambda _: False,
        *,
        pooled: bool = False,
    ) -> None:
        self._batch_size = learning.batch_size
        self._seed = seed
        shares = partition(learning.partition, tasks, devices, seed)
        self.task_of = [share.tasks for share in shares]
        examples = [
            flip_labels(share.examples) if flips_labels(device) else share.examples
            for device, share in enumerate(shares)
        ]
        if pooled:
            union = tuple(dict.fromkeys(example for each in examples for example in each))
            examples = [union] * devices
            numbers = sorted({task for tasks_of in self.task_of for task in tasks_of})
            self.task_of = [tuple(numbers)] * devices
        self.rows = [
            encode_examples(each, example_encoder, learning.max_length) for each in examples
        ]
        self.digests = [digest_of_rows(rows) for rows in self.rows]
        low, high = learning.step_range
        self.steps = [
            int(generator(seed, "local steps", device).integers(low, high + 1))
            for device in range(devices)
        ]
        if pooled:
            self.steps = [sum(self.steps)] * devices

    def count(self, device: int) -> int:
        """Return the number of a device's examples."""
        return len(self.rows[device].ids)

    def width(self, device: int) -> int:
        """Return the length of a device's rows [token]."""
        return self.rows[device].ids.shape[1]

    def computed_tokens(self, device: int, model: AdaptedModel) -> float:
        """Return the mean number of tokens of a device's examples that a model computes."""
        rows = self.rows[device]
        if model.takes_layouts(self.width(device)):
            return float(rows.mask.sum(1, dtype=torch.float64).mean())
        return float(self.width(device))

    def training(self, device: int, round_: int) -> list[Encoded]:
        """Return the batches of a device's local steps in a round."""
        return self.batches(device, "batches", round_, self.steps[device])

    def batches(self, device: int, purpose: str, round_: int, count: int) -> list[Encoded]:
        """Return batches of a device's examples, shuffled in each pass over them."""
        data = self.rows[device]
        rng = generator(self._seed, purpose, device, round_)
        wanted = count * self._batch_size
        order: list[int] = []
        while len(order) < wanted:
            order += rng.permutation(len(data.ids)).tolist()
        rows = torch.tensor(order[:wanted], dtype=torch.int64)
        return [
            Encoded(data.ids[row], data.mask[row], data.labels[row])
            for row in rows.reshape(count, self._batch_size)
        ]
