"""Compression of updates: a rule for the matrices of an update, and error feedback.

A compressor sees one matrix at a time and returns what receivers get in its place, for a number of
bits per parameter at which it is serialised. With feedback, what it has left out is added to the
same device's next update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from ..config.compressors import Nearest
from ..engine.jobs import digest
from ..engine.streams import key
from .codec import BITS_PER_PARAMETER, Update
from .quantization import levels

Tensors = tuple[torch.Tensor, ...]
Compress = Callable[[torch.Tensor, int, int], torch.Tensor]
"""Maps a matrix, the bits per parameter and a seed to what receivers get in its place."""


def nearest(values: torch.Tensor, bits: int, seed: int = 0) -> torch.Tensor:
    """Return the nearest values that a number of bits can express, with one scale for all.

    Parameters
    ----------
    values : (rows, columns)
    bits : 16, half precision; 8 or 4, whole multiples of the largest magnitude over the levels
    seed : not used
    """
    if bits >= BITS_PER_PARAMETER:
        return values.half().to(values.dtype)
    scale = float(values.abs().max()) / levels(bits)
    return values if scale == 0.0 else torch.round(values / scale) * scale


def rule_of(config: Any) -> Compress:
    """Return the rule of a compressor, built-in or user-defined."""
    rule: Compress = nearest if isinstance(config, Nearest) else config.compress
    return rule


class Compression:
    """Compression of the updates of all devices of a run.

    Parameters
    ----------
    config : the compressor, built-in or user-defined
    bits : bits per parameter: 16, 8 or 4
    seed : seed of the draws of compressors
    """

    def __init__(self, config: Any, bits: int, seed: int) -> None:
        self._rule = rule_of(config)
        self._name = config.model
        self._feedback = bool(getattr(config, "feedback", False))
        self._bits, self._seed = bits, seed
        # By device: round of the last update, and the errors before and after it.
        self._errors: dict[int, tuple[int, list[torch.Tensor], list[torch.Tensor]]] = {}
        self._history: dict[int, str] = {}

    @property
    def has_memory(self) -> bool:
        """Whether updates depend on those before them, and are made in the order of time."""
        return self._feedback

    def note(self, device: int, state: str) -> str:
        """Take note of the state of which a device sends an update; return a key of all so far."""
        self._history[device] = digest(self._history.get(device, ""), state)
        return self._history[device]

    def compressed(self, update: Update) -> Update:
        """Return an update as its device sends it.

        Round 0 is that of states outside of rounds, whose errors are not kept.

        Raises
        ------
        ValueError
            if a user-defined compressor does not return a finite matrix of the same shape
        """
        parts = list(_parts(update))
        device, round_ = update.device, update.round
        last, before, after = self._errors.get(device, (0, [], []))
        # The update of a round may be made for receivers with and without the mask.
        errors = before if last == round_ else after
        if not (self._feedback and round_) or [e.shape for e in errors] != [p.shape for p in parts]:
            errors = [torch.zeros_like(part) for part in parts]
        active = _active(update)
        wanted = [part + error for part, error in zip(parts, errors, strict=True)]
        sent = []
        for index, (part, mask) in enumerate(zip(wanted, active, strict=True)):
            seed = key(self._seed, "compressor", device, round_, index)
            found = self._checked(self._rule(part.clone(), self._bits, seed), part)
            sent.append(found if mask is None else torch.where(mask.bool(), found, 0.0))
        if self._feedback and round_:
            left = [x - y for x, y in zip(wanted, sent, strict=True)]
            self._errors[device] = round_, errors, left
        return _with_parts(update, sent)

    def _checked(self, found: Any, part: torch.Tensor) -> torch.Tensor:
        """Return a compressed matrix, which must fit the one before."""
        if not isinstance(found, torch.Tensor) or found.shape != part.shape:
            shape = tuple(getattr(found, "shape", ())) or type(found).__name__
            raise ValueError(
                f"{self._name}: compress must return a matrix of shape {tuple(part.shape)}, "
                f"got {shape}"
            )
        if not found.isfinite().all():
            raise ValueError(f"{self._name}: compress must return finite values")
        return found.to(part.dtype)


def _parts(update: Update) -> Iterator[torch.Tensor]:
    """Yield the trained matrices that an update carries: A, B, then the further ones."""
    yield from _a(update)
    yield from update.b
    yield from _extra(update)


def _a(update: Update) -> Tensors:
    return () if update.a_frozen or update.a_seed is not None else update.a or ()


def _extra(update: Update) -> Tensors:
    return () if update.extra_in_half else update.extra or ()


def _active(update: Update) -> list[torch.Tensor | None]:
    """Return the mask of each of the matrices, None for all entries."""
    of_a, of_b = _a(update), update.b
    return [
        *(update.mask_a or [None] * len(of_a) if of_a else []),
        *(update.mask or [None] * len(of_b) if of_b else []),
        *[None] * len(_extra(update)),
    ]


def _with_parts(update: Update, parts: list[torch.Tensor]) -> Update:
    """Return an update with other matrices."""
    a, b = len(_a(update)), len(update.b)
    changes: dict[str, Tensors] = {"b": tuple(parts[a : a + b])}
    if a:
        changes["a"] = tuple(parts[:a])
    if _extra(update):
        changes["extra"] = tuple(parts[a + b :])
    return replace(update, **changes)  # type: ignore[arg-type]
