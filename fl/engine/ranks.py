"""Process ranks: one process, or several under torchrun or srun, that share the computation.

Every rank runs the same simulation. Expensive computations are distributed and each result is sent
to all ranks, bit for bit as the rank that computed it has it. Only rank 0 reads and writes files.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Protocol, TypeVar

import torch
from torch import distributed

from .launcher import ProcessRank

_Item = TypeVar("_Item")
_LOST = (
    "another process of this run has ended, so this one ends too; the same command resumes from "
    "the stored results"
)


class Ranks(Protocol):
    """Collective operations of the processes of a run."""

    rank: int
    size: int

    def share(
        self,
        items: Sequence[_Item],
        compute: Callable[[_Item], bytes],
        done: Callable[[_Item, bytes], None],
    ) -> None:
        """Compute each item on one rank, and call `done` on all ranks, in the same order."""

    def broadcast(self, data: bytes) -> bytes:
        """Return the data of rank 0."""

    def all_equal(self, state: bytes) -> bool:
        """Return whether the state is the same on all ranks."""


class SingleRank:
    """A single process; see `Ranks`."""

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

    def broadcast(self, data: bytes) -> bytes:
        """Return the data."""
        return data

    def all_equal(self, state: bytes) -> bool:
        """Return True."""
        return True


class DistributedRanks:
    """One of several ranks of torch.distributed; see `Ranks`."""

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
        """Compute one item per rank at a time, and gather the results on all ranks."""
        for start in range(0, len(items), self.size):
            turn = items[start : start + self.size]
            result, failure = b"", b""
            if self.rank < len(turn):
                try:
                    result = compute(turn[self.rank])
                except (ValueError, RuntimeError) as error:
                    failure = str(error).encode() or b"unknown error"
            for message in self._gather(failure):
                if message:
                    raise ValueError(message.decode())
            for item, one in zip(turn, self._gather(result), strict=False):
                done(item, one)

    def broadcast(self, data: bytes) -> bytes:
        """Return the data of rank 0."""
        return self._gather(data if self.rank == 0 else b"")[0]

    def all_equal(self, state: bytes) -> bool:
        """Return whether the state is the same on all ranks."""
        return len(set(self._gather(state))) == 1

    def _gather(self, data: bytes) -> list[bytes]:
        """Return the data of each rank."""
        with _connection_errors():
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
def _connection_errors() -> Iterator[None]:
    """Turn a broken connection into an error message."""
    try:
        yield
    # torch.distributed reports a broken connection by this type.
    except RuntimeError as error:
        raise ValueError(_LOST) from error


@contextlib.contextmanager
def join_process_group(process: ProcessRank | None) -> Iterator[Ranks]:
    """Join the process group; a process without launcher is a group of one.

    Parameters
    ----------
    process : rank of this process, None without launcher

    Raises
    ------
    ValueError
        if the other processes cannot be reached
    """
    if process is None:
        yield SingleRank()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(process.local % torch.cuda.device_count())
    try:
        distributed.init_process_group(
            "nccl" if cuda else "gloo",
            init_method=process.url,
            rank=process.rank,
            world_size=process.size,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"rank {process.rank} of {process.size} cannot reach the others: {reason}"
        ) from error
    before = signal.signal(signal.SIGTERM, _on_terminate)
    try:
        yield DistributedRanks()
    finally:
        signal.signal(signal.SIGTERM, before)
        distributed.destroy_process_group()


def _on_terminate(number: int, frame: FrameType | None) -> None:
    """Raise an error: launchers terminate the remaining processes when one is lost."""
    raise ValueError(_LOST)
