"""Partitions of the training examples over the devices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Count

Spread = Annotated[float, Field(ge=0, le=5)]


@parameters
class Drift:
    """Change of the data of devices: they train on the examples of others from some rounds on.

    From each of these rounds on, device i has the examples that device i + `shift`, counted around,
    had before. What was trained on before is not trained on any more; tests stay those of all
    tasks, and a device's own tasks are those of its present examples.

    Parameters
    ----------
    rounds : rounds at whose start the data change, ascending; 2 or later
    shift : from how many devices further on the examples are
    """

    rounds: Annotated[tuple[Annotated[int, Field(ge=2, le=1_000_000)], ...], Field(min_length=1)]
    shift: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    def __post_init__(self) -> None:
        if list(self.rounds) != sorted(set(self.rounds)):
            shown = ", ".join(map(str, self.rounds))
            raise ValueError(f"rounds of drift must be ascending and distinct, got {shown}")

    def times(self, round_: int) -> int:
        """Return how many times the data have changed up to the start of a round."""
        return sum(each <= round_ for each in self.rounds)


@parameters
class OneTask:
    """One task per device, assigned cyclically; devices with the same task split its examples.

    Arrays are one task, which all devices split evenly.

    Parameters
    ----------
    size_spread : standard deviation of the logarithm of a device's number of examples
    """

    model: Literal["one-task"] = "one-task"
    size_spread: Spread = 0.0


@parameters
class Dirichlet:
    """Each task, of arrays each class, is split over all devices by Dirichlet-distributed shares.

    Parameters
    ----------
    alpha : concentration of the distribution; small: few devices have most of a task or class,
        large: all have equal parts
    min_examples : minimum number of examples of a device; shares are redrawn until all have them
    size_spread : as for `one-task`
    """

    model: Literal["dirichlet"] = "dirichlet"
    alpha: Annotated[float, Field(gt=0, le=1e6)] = 0.5
    min_examples: Count = 8
    size_spread: Spread = 0.0


@parameters
class Shards:
    """Each task, of arrays each class, is cut into equal shards, and each device is dealt some.

    Classes have shards in proportion to their numbers of examples. A device has examples of at most
    as many classes as it has shards.

    Parameters
    ----------
    per_device : shards of a device
    size_spread : as for `one-task`
    """

    model: Literal["shards"] = "shards"
    per_device: Count = 2
    size_spread: Spread = 0.0


@parameters
class Iid:
    """The examples of all tasks are shuffled and split evenly over the devices.

    Parameters
    ----------
    size_spread : as for `one-task`
    """

    model: Literal["iid"] = "iid"
    size_spread: Spread = 0.0
