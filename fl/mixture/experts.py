"""What a device holds of another one to answer with: its factors, and what its data looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..updates.codec import BITS_PER_VALUE


@dataclass(frozen=True, slots=True, eq=False)
class Expert:
    """One device's adapter, as others hold it.

    Parameters
    ----------
    a : per layer (rank, inputs)
    b : per layer (outputs, rank), what is multiplied with this A: its own B, or its cluster's
    scale : alpha / rank
    centroid : per layer (inputs,), mean of what enters the layer of the model without adapters,
        over prompt tokens of the device's data
    tasks : numbers of the tasks of its device; the gate `oracle` alone looks at them
    """

    a: tuple[Tensor, ...]
    b: tuple[Tensor, ...]
    scale: float
    centroid: tuple[Tensor, ...]
    tasks: tuple[int, ...]


def stored_bytes(experts: Sequence[Expert]) -> int:
    """Return what experts take of a device's memory, factors that several share once [byte]."""
    distinct = {id(one): one for expert in experts for one in (*expert.a, *expert.b)}
    values = sum(one.numel() for one in distinct.values())
    values += sum(mean.numel() for expert in experts for mean in expert.centroid)
    return values * BITS_PER_VALUE // 8
