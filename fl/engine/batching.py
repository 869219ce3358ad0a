"""Batching: jobs of one kind and of similar size form micro-batches within bounds.

The micro-batches depend on the set of pending jobs only, not on their order or on free memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
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
        batch: list[Job[Any]] = []
        most = JobSize(0, 0, 0)
        for _, size, _, _, _, job in group:
            larger = JobSize(
                max(most.width, size.width), max(most.rows, size.rows), max(most.steps, size.steps)
            )
            if batch and not fits(kind, len(batch) + 1, larger):
                result.append(tuple(batch))
                batch, larger = [], size
            batch.append(job)
            most = larger
        result.append(tuple(batch))
    return result
