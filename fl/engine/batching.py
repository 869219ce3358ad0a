"""Batching: jobs of one kind and of similar size form micro-batches within bounds.

As few micro-batches as possible are made, and of nearly equal numbers of jobs, so that processes
that share them finish at about the same time. The micro-batches depend on the set of pending jobs
only, not on their order or on free memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from typing import Any

from .jobs import Job


@dataclass(frozen=True, slots=True, order=True)
class JobSize:
    """Size of a job in a micro-batch.

    Parameters
    ----------
    width : length of its sequences [token]
    rows : sequences per step
    steps : number of steps
    """

    width: int
    rows: int
    steps: int


def micro_batches(
    jobs: Sequence[Job[Any]],
    size_of: Callable[[Job[Any]], JobSize],
    fits: Callable[[str, int, JobSize], bool],
) -> list[tuple[Job[Any], ...]]:
    """Split jobs into micro-batches.

    Parameters
    ----------
    jobs : jobs that do not depend on each other
    size_of : returns the size of a job
    fits : returns whether a number of jobs of a kind, each of at most one size, can be computed
        together; a single job always is

    Returns
    -------
    the micro-batches, sorted by kind, size, device and round
    """
    result = []
    sized = sorted(
        ((job.kind, size_of(job), job.device, job.round, job.key, job) for job in jobs),
        key=lambda each: each[:-1],
    )
    for kind, group in groupby(sized, key=lambda each: each[0]):
        members = [(size, job) for _, size, _, _, _, job in group]
        together = partial(_fit_together, kind, fits)
        filled = _filled(members, together)
        even = _even(members, len(filled))
        chosen = even if all(map(together, even)) else filled
        result += [tuple(job for _, job in batch) for batch in chosen]
    return result


_Members = list[tuple[JobSize, Job[Any]]]


def _filled(members: _Members, fits: Callable[[_Members], bool]) -> list[_Members]:
    """Return batches, each as full as possible."""
    batches: list[_Members] = []
    for member in members:
        if batches and fits([*batches[-1], member]):
            batches[-1].append(member)
        else:
            batches.append([member])
    return batches


def _even(members: _Members, count: int) -> list[_Members]:
    """Return a number of batches of nearly equal length."""
    bounds = [len(members) * number // count for number in range(count + 1)]
    return [members[start:end] for start, end in pairwise(bounds)]


def _fit_together(kind: str, fits: Callable[[str, int, JobSize], bool], batch: _Members) -> bool:
    """Return whether a batch can be computed together; a single job always can."""
    sizes = [size for size, _ in batch]
    largest = JobSize(
        max(size.width for size in sizes),
        max(size.rows for size in sizes),
        max(size.steps for size in sizes),
    )
    return len(batch) == 1 or fits(kind, len(batch), largest)
