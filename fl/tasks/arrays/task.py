"""Classification task on arrays, in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Arrays with their classes.

    Attributes
    ----------
    inputs : (n, channels, height, width) or (n, features), float32
    labels : (n,) class of each, int64
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Samples:
        """Return the samples of some rows."""
        return Samples(self.inputs[rows], self.labels[rows])


@dataclass(frozen=True, slots=True, eq=False)
class ArrayTask:
    """Training and test samples of one data set.

    Attributes
    ----------
    name : name in results
    train, test : the samples
    classes : number of classes
    """

    name: str
    train: Samples
    test: Samples
    classes: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: (channels, height, width) or (features,)."""
        return self.train.inputs.shape[1:]

    @property
    def majority_accuracy(self) -> float:
        """Accuracy of the best constant answer on the test samples, 0 to 1."""
        return float(np.bincount(self.test.labels).max() / len(self.test))

    def validation(self, n_train: int) -> ArrayTask:
        """Return the task with validation samples for tests: the training ones after the first.

        Parameters
        ----------
        n_train : number of training samples

        Raises
        ------
        ValueError
            if there are no others
        """
        rest = np.arange(n_train, len(self.train))
        if not len(rest):
            raise ValueError(
                f"task {self.name!r}: validation needs training examples after the first "
                f"{n_train}, got {len(self.train)}"
            )
        return replace(self, train=self.train.take(np.arange(n_train)), test=self.train.take(rest))


def standardised(task: ArrayTask) -> ArrayTask:
    """Return a task whose channels, or features, have mean 0 and standard deviation 1 in training.

    Channels without variation are only shifted.
    """
    inputs = task.train.inputs
    axes = tuple(axis for axis in range(inputs.ndim) if axis != 1)
    mean = inputs.mean(axes, dtype=np.float64, keepdims=True)
    deviation = inputs.std(axes, dtype=np.float64, keepdims=True)
    deviation[deviation == 0.0] = 1.0

    def scaled(samples: Samples) -> Samples:
        return Samples(((samples.inputs - mean) / deviation).astype(np.float32), samples.labels)

    return replace(task, train=scaled(task.train), test=scaled(task.test))
