"""Arrays with their classes as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ...tasks.arrays import Samples


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Inputs of a network and their classes; the rows of `Examples`.

    Attributes
    ----------
    inputs : (n, ...) float32
    labels : (n,) int64
    """

    inputs: torch.Tensor
    labels: torch.Tensor

    @staticmethod
    def of(samples: Samples) -> Labelled:
        """Return samples as tensors."""
        return Labelled(torch.from_numpy(samples.inputs), torch.from_numpy(samples.labels))

    def __len__(self) -> int:
        """Return the number of inputs."""
        return len(self.labels)

    def take(self, rows: torch.Tensor) -> Labelled:
        """Return the inputs of some rows (k,)."""
        return Labelled(self.inputs[rows], self.labels[rows])

    @property
    def width(self) -> int:
        """Number of items of an example, for which operations are counted: the input as a whole."""
        return 1

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """What the rows consist of, for their digest."""
        return self.inputs, self.labels
