"""Values that are promised when they are asked for, and computed when they are needed.

A value is known by what it is made of: its key is a digest of everything that it depends on. So
what a simulation decides can run ahead of what its devices learn, and a value that was computed
before is found again without computing, or even having, what it was made of.

Most values are small sums of others and are made on the spot (`Derived`). The dear ones are jobs,
which are computed together with others, and whose results a store may keep.
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
    """Return a key for parts that JSON can write; different parts have different keys."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Value(ABC, Generic[T_co]):
    """Something that is known by its key before it is computed.

    Parameters
    ----------
    key : digest of all that it depends on
    needs : the values that it is made of

    Attributes
    ----------
    needs : empty as soon as they are not needed any more
    held : what a store must keep as long as this value is of use
    """

    def __init__(self, key: str, needs: Sequence[Value[Any]]) -> None:
        self.key = key
        self.needs = tuple(needs)
        self.held: frozenset[Entry] = frozenset()

    @abstractmethod
    def value(self) -> T_co:
        """Return the value, computed now if it was not.

        Raises
        ------
        ValueError
            if the computation goes wrong, such as by diverging
        """

    @abstractmethod
    def jobs(self) -> Iterator[Job[Any]]:
        """Yield the jobs that the value comes from: itself, or what it is made of."""


class Derived(Value[T_co]):
    """A value that is made of others on the spot.

    Parameters
    ----------
    key, needs : see `Value`
    make : returns the value
    """

    def __init__(self, key: str, needs: Sequence[Value[Any]], make: Callable[[], T_co]) -> None:
        super().__init__(key, needs)
        self._make: Callable[[], T_co] | None = make
        self._value: list[T_co] = []

    def value(self) -> T_co:
        """Return the value."""
        if self._make is not None:
            self._value.append(self._make())
            # Should it have to be made once more, by another run, it is from what is kept.
            self.held = frozenset().union(*(need.held for need in self.needs))
            self.needs, self._make = (), None
        return self._value[0]

    def jobs(self) -> Iterator[Job[Any]]:
        """Yield the jobs that the value is made of, through other derived values."""
        for need in self.needs:
            yield from need.jobs()


class Executor(Protocol):
    """Who computes jobs."""

    def settle(self) -> None:
        """Compute everything that is pending."""

    def restore(self, job: Job[Any]) -> Tensors:
        """Return the tensors of a job that is done."""


class Job(Value[T_co]):
    """A value that is computed together with others.

    Parameters
    ----------
    executor : who will compute it
    kind : jobs of a kind can be computed together
    key, needs : see `Value`
    device, round : whose, and when
    read : returns the value from the facts and tensors that were computed

    Attributes
    ----------
    facts : the small part of the result, as JSON may write it; None until the job is done
    tensors : the large part by name; None if it is not in memory
    chunk : the jobs that it was computed with, as long as that may have to be done again
    place : which of them it is
    """

    def __init__(
        self,
        executor: Executor,
        kind: str,
        key: str,
        needs: Sequence[Value[Any]],
        device: int,
        round_: int,
        read: Callable[[Mapping[str, Any], Tensors], T_co],
    ) -> None:
        super().__init__(key, needs)
        self.kind, self.device, self.round = kind, device, round_
        self.facts: Mapping[str, Any] | None = None
        self.tensors: Tensors | None = None
        self.chunk: tuple[Job[Any], ...] = ()
        self.place = 0
        self._executor = executor
        self._read = read
        self._value: list[T_co] = []

    @property
    def available(self) -> bool:
        """Whether the whole result is in memory or in the store."""
        return self.tensors is not None or bool(self.held)

    def jobs(self) -> Iterator[Job[Any]]:
        """Yield the job itself."""
        yield self

    def value(self) -> T_co:
        """Return the result; if it is not there, everything that is pending is computed."""
        if not self._value:
            facts, tensors = self.outcome(), self.tensors
            if tensors is None:
                tensors = self._executor.restore(self)
            self._value.append(self._read(facts, tensors))
        return self._value[0]

    def outcome(self) -> Mapping[str, Any]:
        """Return the small part of the result, computed now if it was not."""
        if self.facts is None:
            self._executor.settle()
        if self.facts is None:
            raise ValueError(f"nobody computes the {self.kind} of device {self.device}")
        return self.facts

    def finish(
        self, facts: Mapping[str, Any], tensors: Tensors | None, entry: Entry | None
    ) -> None:
        """Take in the result.

        Parameters
        ----------
        facts : the small part
        tensors : the large part, None if it is to be had from the store only, or not at all
        entry : where it is kept, if it is
        """
        self.facts, self.tensors = facts, tensors
        if entry is not None:
            self.held = frozenset([entry])
        if self.available:
            self.needs, self.chunk = (), ()
