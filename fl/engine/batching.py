"""Which jobs are computed together: those of a kind and of like size, within bounds.

What is pending decides, whatever its order; not the memory that happens to be free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .jobs import Job


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """What a job brings into a chunk.

    Parameters
    ----------
    width : length of its sequences [token]
    rows : sequences at a time
    steps : how many times
    """

    width: int
    rows: int
    steps: int


def chunks(
    jobs: Sequence[Job[Any]],
    size_of: Callable[[Job[Any]], Size],
    fits: Callable[[str, int, Size], bool],
) -> list[tuple[Job[Any], ...]]:
    """Cut jobs into chunks.

    Parameters
    ----------
    jobs : that do not need each other
    size_of : a job's size
    fits : whether as many jobs of a kind, all of at most one size, can be computed together; one
        job always is

    Returns
    -------
    the chunks: by kind, then by size, then by device and round
    """
    result = []
    sized = sorted(
        ((job.kind, size_of(job), job.device, job.round, job.key, job) for job in jobs),
        key=lambda each: each[:-1],
    )
    for kind, group in groupby(sized, key=lambda each: each[0]):
        chunk: list[Job[Any]] = []
        most = Size(0, 0, 0)
        for _, size, _, _, _, job in group:
            larger = Size(
                max(most.width, size.width), max(most.rows, size.rows), max(most.steps, size.steps)
            )
            if chunk and not fits(kind, len(chunk) + 1, larger):
                result.append(tuple(chunk))
                chunk, larger = [], size
            chunk.append(job)
            most = larger
        result.append(tuple(chunk))
    return result
