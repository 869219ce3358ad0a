"""Experts of a mixture: a device's factors, and the centroid of its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..updates.codec import BITS_PER_PARAMETER


@dataclass(frozen=True, slots=True, eq=False)
class Expert:
    """Adapter of one device, as cached by another one.

    Parameters
    ----------
    a : per layer (rank, inputs)
    b : per layer (outputs, rank), the factor of this A: the device's own B, or its cluster's
    scale : alpha / rank
    centroid : per layer (inputs,), mean layer input of the frozen model over the prompt tokens of
        the device's data
    tasks : numbers of the device's tasks, used only by the gate `oracle`
    """

    a: tuple[Tensor, ...]
    b: tuple[Tensor, ...]
    scale: float
    centroid: tuple[Tensor, ...]
    tasks: tuple[int, ...]


def stored_bytes(experts: Sequence[Expert]) -> int:
    """Return the storage of experts on a device, shared factors counted once [byte]."""
    distinct = {id(one): one for expert in experts for one in (*expert.a, *expert.b)}
    entries = sum(one.numel() for one in distinct.values())
    entries += sum(mean.numel() for expert in experts for mean in expert.centroid)
    return entries * BITS_PER_PARAMETER // 8
