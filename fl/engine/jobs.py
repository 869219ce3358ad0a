"""Lazy values: results that are requested first and computed when they are needed.

The key of a lazy value is a digest of everything that it depends on. A simulation can therefore
proceed before its devices have been trained, and a result that has been computed before is found
without recomputing, or even loading, its dependencies.

Cheap values are derived from others on the spot (`DerivedValue`). Expensive ones are jobs, which
are computed in micro-batches and whose results a store may keep.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import torch

    from .store import Entry

    Tensors = Mapping[str, torch.Tensor]

T_co = TypeVar("T_co", covariant=True)


def digest(*parts: object) -> str:
    """Return the key of JSON-serializable parts; different parts have different keys."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class LazyValue(ABC, Generic[T_co]):
    """A value that is identified by its key before it is computed.

    Parameters
    ----------
    key : digest of everything that the value depends on
    dependencies : values from which it is computed

    Attributes
    ----------
    dependencies : empty as soon as they are no longer needed
    entries : store entries that must be kept while this value is referenced
    """

    def __init__(self, key: str, dependencies: Sequence[LazyValue[Any]]) -> None:
        self.key = key
        self.dependencies = tuple(dependencies)
        self.entries: frozenset[Entry] = frozenset()

    @abstractmethod
    def value(self) -> T_co:
        """Return the value, computing it if necessary.

        Raises
        ------
        ValueError
            if the computation fails, for example because training diverges
        """

    @abstractmethod
    def jobs(self) -> Iterator[Job[Any]]:
        """Yield the jobs on which the value depends directly, or the job itself."""


class DerivedValue(LazyValue[T_co]):
    """A cheap value, computed from its dependencies on first access.

    Parameters
    ----------
    key, dependencies : see `LazyValue`
    make : computes the value
    """

    def __init__(
        self, key: str, dependencies: Sequence[LazyValue[Any]], make: Callable[[], T_co]
    ) -> None:
        super().__init__(key, dependencies)
        self._make: Callable[[], T_co] | None = make
        self._value: list[T_co] = []

    def value(self) -> T_co:
        """Return the value."""
        if self._make is not None:
            self._value.append(self._make())
            # A resumed run computes it again from the stored results of its dependencies.
            self.entries = frozenset().union(*(each.entries for each in self.dependencies))
            self.dependencies, self._make = (), None
        return self._value[0]

    def jobs(self) -> Iterator[Job[Any]]:
        """Yield the jobs on which the value depends, through other derived values."""
        for each in self.dependencies:
            yield from each.jobs()


class DivergedError(ValueError):
    """Training whose numbers are no longer finite."""


class JobExecutor(Protocol):
    """Executor that computes jobs."""

    def run_pending(self) -> None:
        """Compute all pending jobs."""

    def restore(self, job: Job[Any]) -> Tensors:
        """Return the tensors of a completed job."""


class Job(LazyValue[T_co]):
    """An expensive value, computed in a micro-batch with others.

    Parameters
    ----------
    executor : computes the job
    kind : jobs of one kind can share a micro-batch
    key, dependencies : see `LazyValue`
    device, round : device and round of the job
    read : makes the value from the scalars and tensors of the result

    Attributes
    ----------
    scalars : JSON-serializable part of the result; None until the job is completed
    tensors : tensors of the result by name; None if they are not in memory
    micro_batch : jobs of the micro-batch, kept while it may have to be recomputed
    index : of the job in its micro-batch
    """

    def __init__(
        self,
        executor: JobExecutor,
        kind: str,
        key: str,
        dependencies: Sequence[LazyValue[Any]],
        device: int,
        round_: int,
        read: Callable[[Mapping[str, Any], Tensors], T_co],
    ) -> None:
        super().__init__(key, dependencies)
        self.kind, self.device, self.round = kind, device, round_
        self.scalars: Mapping[str, Any] | None = None
        self.tensors: Tensors | None = None
        self.micro_batch: tuple[Job[Any], ...] = ()
        self.index = 0
        self._executor = executor
        self._read = read
        self._value: list[T_co] = []

    @property
    def is_available(self) -> bool:
        """Whether the whole result is in memory or in the store."""
        return self.tensors is not None or bool(self.entries)

    def jobs(self) -> Iterator[Job[Any]]:
        """Yield the job itself."""
        yield self

    def value(self) -> T_co:
        """Return the result; all pending jobs are computed if it is missing."""
        if not self._value:
            scalars, tensors = self.wait(), self.tensors
            if tensors is None:
                tensors = self._executor.restore(self)
            self._value.append(self._read(scalars, tensors))
        return self._value[0]

    def wait(self) -> Mapping[str, Any]:
        """Return the scalars of the result; all pending jobs are computed if it is missing."""
        if self.scalars is None:
            self._executor.run_pending()
        if self.scalars is None:
            raise ValueError(f"the {self.kind} job of device {self.device} was never submitted")
        return self.scalars

    def complete(
        self, scalars: Mapping[str, Any], tensors: Tensors | None, entry: Entry | None
    ) -> None:
        """Set the result.

        Parameters
        ----------
        scalars : JSON-serializable part
        tensors : tensors by name; None if they are in the store only, or cannot be loaded
        entry : store entry of the result, None if it is not stored
        """
        self.scalars, self.tensors = scalars, tensors
        if entry is not None:
            self.entries = frozenset([entry])
        if self.is_available:
            self.dependencies, self.micro_batch = (), ()
