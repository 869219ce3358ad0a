"""One process, or several that share the work: the ranks of a job under torchrun or srun.

Every rank runs the same simulation. What is dear is shared out, and every result goes to all, so
that all of them know the same; the bits are those of the rank that computed them. Rank 0 alone
reads and writes files.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Protocol, TypeVar

import torch
from torch import distributed

from .launcher import Place

_Item = TypeVar("_Item")
_LOST = (
    "another process of this run has ended, so this one ends too; the same command goes on from "
    "what was computed"
)


class Ranks(Protocol):
    """What a trainer asks of the processes that work together."""

    rank: int
    size: int

    def share(
        self,
        items: Sequence[_Item],
        compute: Callable[[_Item], bytes],
        done: Callable[[_Item, bytes], None],
    ) -> None:
        """Compute every item on some rank, and take in its result on all, in the same order."""

    def from_first(self, data: bytes) -> bytes:
        """Return what rank 0 has."""

    def agree(self, state: bytes) -> bool:
        """Return whether all ranks have the same."""


class Alone:
    """A process that works by itself; see `Ranks`."""

    rank = 0
    size = 1

    def share(
        self,
        items: Sequence[_Item],
        compute: Callable[[_Item], bytes],
        done: Callable[[_Item, bytes], None],
    ) -> None:
        """Compute every item."""
        for item in items:
            done(item, compute(item))

    def from_first(self, data: bytes) -> bytes:
        """Return what there is."""
        return data

    def agree(self, state: bytes) -> bool:
        """Return that there is nobody to disagree."""
        return True


class Distributed:
    """A rank of several, through torch.distributed; see `Ranks`."""

    def __init__(self) -> None:
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()
        cuda = distributed.get_backend() == "nccl"
        self._device = torch.device("cuda", torch.cuda.current_device()) if cuda else None

    def share(
        self,
        items: Sequence[_Item],
        compute: Callable[[_Item], bytes],
        done: Callable[[_Item, bytes], None],
    ) -> None:
        """Let each rank compute one item at a time, and take in the results of all."""
        for start in range(0, len(items), self.size):
            turn = items[start : start + self.size]
            mine, wrong = b"", b""
            if self.rank < len(turn):
                try:
                    mine = compute(turn[self.rank])
                except (ValueError, RuntimeError) as error:
                    wrong = str(error).encode() or b"unknown error"
            for problem in self._gather(wrong):
                if problem:
                    raise ValueError(problem.decode())
            for item, result in zip(turn, self._gather(mine), strict=False):
                done(item, result)

    def from_first(self, data: bytes) -> bytes:
        """Return what rank 0 has."""
        return self._gather(data if self.rank == 0 else b"")[0]

    def agree(self, state: bytes) -> bool:
        """Return whether all ranks have the same."""
        return len(set(self._gather(state))) == 1

    def _gather(self, data: bytes) -> list[bytes]:
        """Return what each rank has."""
        with _told_if_lost():
            mine = (
                torch.frombuffer(bytearray(data), dtype=torch.uint8)
                if data
                else torch.empty(0, dtype=torch.uint8)
            )
            length = torch.tensor([mine.numel()], device=self._device)
            lengths = [torch.zeros_like(length) for _ in range(self.size)]
            distributed.all_gather(lengths, length)
            sizes = [int(one) for one in lengths]
            padded = torch.zeros(max(*sizes, 1), dtype=torch.uint8)
            padded[: mine.numel()] = mine
            padded = padded.to(self._device) if self._device is not None else padded
            parts = [torch.empty_like(padded) for _ in range(self.size)]
            distributed.all_gather(parts, padded)
            return [
                part[:size].cpu().numpy().tobytes() for part, size in zip(parts, sizes, strict=True)
            ]


@contextlib.contextmanager
def _told_if_lost() -> Iterator[None]:
    try:
        yield
    # That is how torch.distributed says that a connection broke.
    except RuntimeError as error:
        raise ValueError(_LOST) from error


@contextlib.contextmanager
def joined(place: Place | None) -> Iterator[Ranks]:
    """Join the other processes, if there are any.

    Parameters
    ----------
    place : this one's among them

    Raises
    ------
    ValueError
        if the others cannot be reached
    """
    if place is None:
        yield Alone()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(place.local % torch.cuda.device_count())
    try:
        distributed.init_process_group(
            "nccl" if cuda else "gloo",
            init_method=place.url,
            rank=place.rank,
            world_size=place.size,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"rank {place.rank} of {place.size} cannot reach the others: {reason}"
        ) from error
    before = signal.signal(signal.SIGTERM, _ended)
    try:
        yield Distributed()
    finally:
        signal.signal(signal.SIGTERM, before)
        distributed.destroy_process_group()


def _ended(number: int, frame: FrameType | None) -> None:
    """End with a sentence: launchers end the processes that are left when one is lost."""
    raise ValueError(_LOST)
