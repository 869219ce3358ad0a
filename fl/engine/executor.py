"""Computes jobs: everything that is pending when a result is needed, many together.

The pending jobs run in waves of jobs that do not need each other, each wave in chunks. Which jobs
make a chunk is decided by what is pending, never by what is in the store or by who computes: so a
run that was interrupted goes on as if it had not been, and a run on several ranks gives what one
on a single rank gives.
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
from .ranks import Alone, Ranks
from .store import Entry, Store

AnyJob = Job[Any]
Tensors = Mapping[str, torch.Tensor]
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job comes to.

    Parameters
    ----------
    facts : the small part, as JSON may write it
    tensors : the large part, by name
    """

    facts: Mapping[str, Any]
    tensors: Tensors


class Executor:
    """Jobs in, results out.

    Parameters
    ----------
    context : digest of all that results depend on beside the jobs themselves
    plan : cuts jobs that do not need each other into chunks, whatever their order
    compute : returns the outcomes of a chunk
    store : keeps results; none: they are in memory only
    ranks : the processes that share the work

    Attributes
    ----------
    computed, found : numbers of jobs that were computed, and found in the store, by kind
    """

    def __init__(
        self,
        context: str,
        plan: Callable[[Sequence[AnyJob]], list[tuple[AnyJob, ...]]],
        compute: Callable[[Sequence[AnyJob]], Sequence[Outcome]],
        store: Store | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.computed: dict[str, int] = {}
        self.found: dict[str, int] = {}
        self._context = context
        self._plan = plan
        self._compute = compute
        self._store = store
        self._ranks: Ranks = Alone() if ranks is None else ranks
        self._pending: dict[str, AnyJob] = {}
        self._loaded: tuple[str, list[Tensors]] = ("", [])

    def submit(self, job: AnyJob) -> AnyJob:
        """Take in a job; return it, or the same one that is pending already."""
        return self._pending.setdefault(job.key, job)

    def settle(self) -> None:
        """Compute everything that is pending.

        Raises
        ------
        ValueError
            if a computation goes wrong; what was computed before is kept
        """
        while self._pending:
            wave = [job for job in self._pending.values() if not self._waits(job)]
            for job in wave:
                del self._pending[job.key]
            self._run(self._plan(wave))

    def restore(self, job: AnyJob) -> Tensors:
        """Return the tensors of a job that is done.

        Raises
        ------
        ValueError
            if they were kept in the store and are not there any more
        """
        todo = [job]
        while todo:
            last = todo[-1]
            if last.tensors is not None:
                todo.pop()
            elif last.held:
                last.tensors = self._load(last)
            else:
                needed = [
                    each
                    for mate in last.chunk
                    for need in mate.needs
                    for each in need.jobs()
                    if each.tensors is None
                ]
                todo += needed
                if not needed:
                    self._share([last.chunk])
        return job.tensors if job.tensors is not None else {}

    def agree(self, round_: int, state: str) -> None:
        """Make sure that all ranks see the same.

        Raises
        ------
        ValueError
            if they do not
        """
        if not self._ranks.agree(state.encode()):
            raise ValueError(
                f"the processes of this run do not see the same after round {round_}: "
                "are they the same code, libraries and scenario?"
            )

    def _waits(self, job: AnyJob) -> bool:
        """Whether a job needs another one that is not done."""
        return any(each.facts is None for need in job.needs for each in need.jobs())

    def _run(self, chunks: Sequence[tuple[AnyJob, ...]]) -> None:
        """Find the results of chunks, or compute them."""
        missing = []
        for chunk, (facts, entry) in zip(chunks, self._find(chunks), strict=True):
            for place, job in enumerate(chunk):
                job.place, job.chunk = place, chunk
            if facts is None:
                missing.append(chunk)
                continue
            for job, fact in zip(chunk, facts, strict=True):
                job.finish(fact["facts"], None if fact["large"] else {}, entry)
            _count(self.found, chunk)
        # All ranks have what any of them needs, in the same order.
        for chunk in missing:
            for job in chunk:
                for need in job.needs:
                    for each in need.jobs():
                        self.restore(each)
        self._share(missing)

    def _find(
        self, chunks: Sequence[tuple[AnyJob, ...]]
    ) -> list[tuple[list[dict[str, Any]] | None, Entry | None]]:
        """Return for each chunk its facts in the store, and what keeps its tensors there."""
        entries: list[Entry | None] = [None] * len(chunks)
        found: list[list[dict[str, Any]] | None] = [None] * len(chunks)
        if self._store is not None:
            for place, chunk in enumerate(chunks):
                key = self._key(chunk)
                facts = self._store.facts(key)
                if facts is not None and len(facts) == len(chunk):
                    found[place], entries[place] = facts, self._store.entry(key)
        kept = [entry is not None for entry in entries]
        found, kept = json.loads(self._ranks.from_first(json.dumps([found, kept]).encode()))
        # The other ranks have no store, but know what that of rank 0 keeps.
        return [
            (facts, entry or (Entry(self._key(chunk)) if there else None))
            for chunk, facts, entry, there in zip(chunks, found, entries, kept, strict=True)
        ]

    def _share(self, chunks: Sequence[tuple[AnyJob, ...]]) -> None:
        """Compute chunks, on all ranks together."""
        self._ranks.share(chunks, self._outcomes, self._take)

    def _outcomes(self, chunk: tuple[AnyJob, ...]) -> bytes:
        """Return the result of a chunk as bytes: facts, then tensors."""
        try:
            outcomes = self._compute(chunk)
        # torch says in this way that memory is short or numbers are not finite.
        except RuntimeError as error:
            raise ValueError(f"{chunk[0].kind} failed: {error}") from error
        facts = json.dumps(
            [{"facts": each.facts, "large": bool(each.tensors)} for each in outcomes]
        ).encode()
        large = {
            f"{place}.{name}": tensor.cpu().contiguous()
            for place, each in enumerate(outcomes)
            for name, tensor in each.tensors.items()
        }
        return _LENGTH.pack(len(facts)) + facts + (save(large) if large else b"")

    def _take(self, chunk: tuple[AnyJob, ...], result: bytes) -> None:
        """Take in the result of a chunk, and keep it."""
        start = _LENGTH.size
        end = start + _LENGTH.unpack_from(result)[0]
        facts, large = json.loads(result[start:end]), result[end:]
        entry = None
        if self._store is not None:
            entry = self._store.keep(self._key(chunk), facts, large)
        tensors = _split(large, len(chunk))
        for job, fact, own in zip(chunk, facts, tensors, strict=True):
            job.finish(fact["facts"], own, entry)
        _count(self.computed, chunk)

    def _load(self, job: AnyJob) -> Tensors:
        """Return the tensors of a job from the store of rank 0."""
        (entry,) = job.held
        if self._loaded[0] != entry.key:
            there = None if self._store is None else self._store.tensors(entry.key)
            data = self._ranks.from_first(there or b"")
            if not data:
                raise ValueError(
                    f"the store has lost the results of {job.kind} of round {job.round}; "
                    "remove the store to compute everything again"
                )
            self._loaded = entry.key, _split(data)
        return self._loaded[1][job.place]

    def _key(self, chunk: Sequence[AnyJob]) -> str:
        return digest(self._context, chunk[0].kind, [job.key for job in chunk])


def _split(data: bytes, count: int = 0) -> list[Tensors]:
    """Return the tensors of each job of a chunk from safetensors bytes."""
    parts: list[dict[str, torch.Tensor]] = [{} for _ in range(count)]
    for name, tensor in (load(data) if data else {}).items():
        place, _, own = name.partition(".")
        parts += [{} for _ in range(int(place) + 1 - len(parts))]
        parts[int(place)][own] = tensor
    return list(parts)


def _count(counts: dict[str, int], chunk: Sequence[AnyJob]) -> None:
    kind = chunk[0].kind
    counts[kind] = counts.get(kind, 0) + len(chunk)
