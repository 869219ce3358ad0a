"""What each device learns from: its examples as tokens, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from ..digests import digest_of_rows
from ..engine.streams import generator
from ..models.language_model import Encoded
from ..models.sentence_encoder import rows_of
from ..updates.attacks import mislabelled
from .partition import partition

if TYPE_CHECKING:
    from ..config import Learning
    from ..models.sentence_encoder import Reader
    from ..tasks import Task


class Examples:
    """The training examples of all devices.

    Parameters
    ----------
    learning : by which partition, batches and numbers of steps
    tasks : what there is to learn
    reader : makes them tokens
    devices : number of devices
    seed : of partition, steps and orders
    mislabels : whether a device learns from wrong labels

    Attributes
    ----------
    task_of : for each device the numbers of its tasks
    rows : per device its examples
    steps : per device its local steps in a round
    digests : per device what tells its examples from others
    """

    def __init__(
        self,
        learning: Learning,
        tasks: Sequence[Task],
        reader: Reader,
        devices: int,
        seed: int,
        mislabels: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._batch_size = learning.batch_size
        self._seed = seed
        shares = partition(learning.partition, tasks, devices, seed)
        self.task_of = [share.tasks for share in shares]
        examples = [
            mislabelled(share.examples) if mislabels(device) else share.examples
            for device, share in enumerate(shares)
        ]
        self.rows = [rows_of(each, reader, learning.max_length) for each in examples]
        self.digests = [digest_of_rows(rows) for rows in self.rows]
        low, high = learning.steps_between
        self.steps = [
            int(generator(seed, "local steps", device).integers(low, high + 1))
            for device in range(devices)
        ]

    def count(self, device: int) -> int:
        """Return the number of a device's examples."""
        return len(self.rows[device].ids)

    def width(self, device: int) -> int:
        """Return the length of a device's rows [token]."""
        return self.rows[device].ids.shape[1]

    def training(self, device: int, round_: int) -> list[Encoded]:
        """Return the batches of a device's local steps of a round."""
        return self.batches(device, "batches", round_, self.steps[device])

    def batches(self, device: int, purpose: str, round_: int, count: int) -> list[Encoded]:
        """Return batches of a device's examples, each pass over them in a new order."""
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
