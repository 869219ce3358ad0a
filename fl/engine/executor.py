"""Executor of jobs: when a result is needed, all pending jobs are computed in micro-batches.

Pending jobs run in ready sets, the jobs whose dependencies are available, and each ready set in
micro-batches. The micro-batches depend on the pending jobs only, never on the store or on the
number of ranks: a resumed run therefore equals an uninterrupted one, and a run on several ranks
equals one on a single rank.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save

from .jobs import Job, digest
from .ranks import Ranks, SingleRank
from .store import Entry, Store

AnyJob = Job[Any]
Tensors = Mapping[str, torch.Tensor]
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a job.

    Parameters
    ----------
    scalars : JSON-serializable part
    tensors : tensors by name
    """

    scalars: Mapping[str, Any]
    tensors: Tensors


class Executor:
    """Executor of jobs in micro-batches, with a result cache, on one or several ranks.

    Parameters
    ----------
    context : digest of everything that results depend on besides the jobs themselves
    split : splits independent jobs into micro-batches, regardless of their order
    compute : returns the outcomes of a micro-batch
    store : result cache; None keeps results in memory only
    ranks : processes that share the computation; None for a single one

    Attributes
    ----------
    computed, found : numbers of jobs that were computed, and found in the store, by kind
    """

    def __init__(
        self,
        context: str,
        split: Callable[[Sequence[AnyJob]], list[tuple[AnyJob, ...]]],
        compute: Callable[[Sequence[AnyJob]], Sequence[Outcome]],
        store: Store | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.computed: dict[str, int] = {}
        self.found: dict[str, int] = {}
        self._context = context
        self._split = split
        self._compute_batch = compute
        self._store = store
        self._ranks: Ranks = SingleRank() if ranks is None else ranks
        self._pending: dict[str, AnyJob] = {}
        self._loaded: tuple[str, list[Tensors]] = ("", [])

    def submit(self, job: AnyJob) -> AnyJob:
        """Submit a job; return it, or a pending one with the same key."""
        return self._pending.setdefault(job.key, job)

    def run_pending(self) -> None:
        """Compute all pending jobs.

        Raises
        ------
        ValueError
            if a computation fails; results that were computed before are kept
        """
        while self._pending:
            ready = [job for job in self._pending.values() if not self._is_blocked(job)]
            for job in ready:
                del self._pending[job.key]
            try:
                self._run(self._split(ready))
            except BaseException:
                # Whoever else waits for them gets the same error.
                self._pending |= {job.key: job for job in ready if job.scalars is None}
                raise

    def restore(self, job: AnyJob) -> Tensors:
        """Return the tensors of a completed job, recomputing them if necessary.

        Raises
        ------
        ValueError
            if they were stored and are missing from the store
        """
        stack = [job]
        while stack:
            last = stack[-1]
            if last.tensors is not None:
                stack.pop()
            elif last.entries:
                last.tensors = self._load(last)
            else:
                missing = [
                    each
                    for other in last.micro_batch
                    for dependency in other.dependencies
                    for each in dependency.jobs()
                    if each.tensors is None
                ]
                stack += missing
                if not missing:
                    self._compute([last.micro_batch])
        return job.tensors if job.tensors is not None else {}

    def check_agreement(self, round_: int, state: str) -> None:
        """Check that the state of the simulation is the same on all ranks.

        Raises
        ------
        ValueError
            if it is not
        """
        if not self._ranks.all_equal(state.encode()):
            raise ValueError(
                f"the processes of this run differ after round {round_}: "
                "are they the same code, libraries and scenario?"
            )

    def _is_blocked(self, job: AnyJob) -> bool:
        """Return whether a job depends on one that is not completed."""
        return any(each.scalars is None for need in job.dependencies for each in need.jobs())

    def _run(self, batches: Sequence[tuple[AnyJob, ...]]) -> None:
        """Load the results of micro-batches from the store, and compute the missing ones."""
        missing = []
        for batch, (records, entry) in zip(batches, self._look_up(batches), strict=True):
            for index, job in enumerate(batch):
                job.index, job.micro_batch = index, batch
            if records is None:
                missing.append(batch)
                continue
            for job, record in zip(batch, records, strict=True):
                job.complete(record["scalars"], None if record["has_tensors"] else {}, entry)
            _count(self.found, batch)
        # All ranks restore the dependencies of all missing micro-batches, in the same order.
        for batch in missing:
            for job in batch:
                for dependency in job.dependencies:
                    for each in dependency.jobs():
                        self.restore(each)
        self._compute(missing)

    def _look_up(
        self, batches: Sequence[tuple[AnyJob, ...]]
    ) -> list[tuple[list[dict[str, Any]] | None, Entry | None]]:
        """Return the stored records and the store entry of each micro-batch."""
        entries: list[Entry | None] = [None] * len(batches)
        found: list[list[dict[str, Any]] | None] = [None] * len(batches)
        if self._store is not None:
            for index, batch in enumerate(batches):
                key = self._key(batch)
                records = self._store.scalars(key)
                if records is not None and len(records) == len(batch):
                    found[index], entries[index] = records, self._store.entry(key)
        stored = [entry is not None for entry in entries]
        found, stored = json.loads(self._ranks.broadcast(json.dumps([found, stored]).encode()))
        # The other ranks have no store, but know the entries of the store of rank 0.
        return [
            (records, entry or (Entry(self._key(batch)) if is_stored else None))
            for batch, records, entry, is_stored in zip(
                batches, found, entries, stored, strict=True
            )
        ]

    def _compute(self, batches: Sequence[tuple[AnyJob, ...]]) -> None:
        """Compute micro-batches, distributed over all ranks."""
        self._ranks.share(batches, self._serialized_outcomes, self._complete)

    def _serialized_outcomes(self, batch: tuple[AnyJob, ...]) -> bytes:
        """Compute a micro-batch; return its records and tensors as bytes."""
        try:
            outcomes = self._compute_batch(batch)
        # The type by which torch reports exhausted memory or non-finite numbers.
        except RuntimeError as error:
            raise ValueError(f"{batch[0].kind} failed: {error}") from error
        records = json.dumps(
            [{"scalars": each.scalars, "has_tensors": bool(each.tensors)} for each in outcomes]
        ).encode()
        tensors = {
            f"{index}.{name}": tensor.cpu().contiguous()
            for index, each in enumerate(outcomes)
            for name, tensor in each.tensors.items()
        }
        return _LENGTH.pack(len(records)) + records + (save(tensors) if tensors else b"")

    def _complete(self, batch: tuple[AnyJob, ...], result: bytes) -> None:
        """Set the results of a micro-batch from bytes, and store them."""
        start = _LENGTH.size
        end = start + _LENGTH.unpack_from(result)[0]
        records, data = json.loads(result[start:end]), result[end:]
        entry = None
        if self._store is not None:
            entry = self._store.put(self._key(batch), records, data)
        for job, record, own in zip(batch, records, _tensors_of(data, len(batch)), strict=True):
            job.complete(record["scalars"], own, entry)
        _count(self.computed, batch)

    def _load(self, job: AnyJob) -> Tensors:
        """Return the tensors of a job from the store of rank 0."""
        (entry,) = job.entries
        if self._loaded[0] != entry.key:
            stored = None if self._store is None else self._store.tensors(entry.key)
            data = self._ranks.broadcast(stored or b"")
            if not data:
                raise ValueError(
                    f"the store has lost the results of {job.kind} of round {job.round}; "
                    "remove the store to compute everything again"
                )
            self._loaded = entry.key, _tensors_of(data)
        return self._loaded[1][job.index]

    def _key(self, batch: Sequence[AnyJob]) -> str:
        return digest(self._context, batch[0].kind, [job.key for job in batch])


def _tensors_of(data: bytes, count: int = 0) -> list[Tensors]:
    """Return the tensors of each job of a micro-batch from safetensors bytes."""
    parts: list[dict[str, torch.Tensor]] = [{} for _ in range(count)]
    for name, tensor in (load(data) if data else {}).items():
        index, _, own = name.partition(".")
        parts += [{} for _ in range(int(index) + 1 - len(parts))]
        parts[int(index)][own] = tensor
    return list(parts)


def _count(counts: dict[str, int], batch: Sequence[AnyJob]) -> None:
    kind = batch[0].kind
    counts[kind] = counts.get(kind, 0) + len(batch)
