"""Local training of many devices at once on one frozen model.

Every tensor stacks the devices along its first dimension; each device's loss depends on its own
adapter only, so one backward pass of the summed loss gives every device its own gradient.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..adapters import AdaptedModel, Adapter
from ..adapters.flat_parameters import DeviceRows
from .loss import Batch, batch_loss
from .optimizer import Moments, stepper

if TYPE_CHECKING:
    from ..config import AdamW, Sgd
    from ..models.language_model import Encoded

BEST_CHUNK_TOKENS = 1024
"""Tokens of all devices in a step at which a CPU core trains small models fastest: fewer leave it
with small kernels, more do not fit its caches."""


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One device's local training.

    Parameters
    ----------
    adapter : where it starts
    moments : what its optimizer remembers, None for a fresh start
    batches : one per step; devices may differ in their number, rows and widths
    learning_rate : of this device
    """

    adapter: Adapter
    moments: Moments | None
    batches: Sequence[Encoded]
    learning_rate: float


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What became of it.

    Parameters
    ----------
    adapter, moments : after the last step, in main memory
    loss : mean over its steps [nat]; nan or infinite where training went wrong
    """

    adapter: Adapter
    moments: Moments | None
    loss: float


def train(
    model: AdaptedModel, works: Sequence[Work], optimizer: AdamW | Sgd, clip_norm: float
) -> list[Trained]:
    """Return what local training makes of each device, computed all at once.

    Parameters
    ----------
    model : the shared model
    works : what is trained; what is trained together has no influence on results but rounding
    optimizer : of every device
    clip_norm : bound on the norm of a device's gradient
    """
    # A chunk of devices whose A is frozen keeps no inputs of layers, so the two kinds do not mix.
    order = sorted(
        range(len(works)),
        key=lambda index: (works[index].adapter.train_a, -len(works[index].batches)),
    )
    trained: dict[int, Trained] = {}
    for _, group in itertools.groupby(order, key=lambda index: works[index].adapter.train_a):
        chosen = list(group)
        results = _train_alike(model, [works[index] for index in chosen], optimizer, clip_norm)
        trained.update(zip(chosen, results, strict=True))
    return [trained[index] for index in range(len(works))]


def _train_alike(
    model: AdaptedModel, works: Sequence[Work], optimizer: AdamW | Sgd, clip_norm: float
) -> list[Trained]:
    """Train devices in falling order of their steps, so that those left are always the first."""
    rows = DeviceRows([work.adapter for work in works], model.device)
    starts = [work.moments for work in works]
    steps = stepper(optimizer, rows, starts, [work.learning_rate for work in works])
    gradients = torch.zeros_like(rows.trained)
    totals = torch.zeros(len(works), device=model.device)
    for count, first, last in _spans([len(work.batches) for work in works]):
        a, b = rows.factors(count)
        own = gradients[:count]
        sinks = rows.sinks(own)
        with model.stacked(a, b, rows.scales(count), sinks):
            for step in range(first, last):
                batch = Batch.together([work.batches[step] for work in works[:count]], model.device)
                losses = batch_loss(model, batch)
                losses.sum().backward()
                for sink in itertools.chain.from_iterable(sinks):
                    if sink is not None:
                        sink.finish()
                if rows.mask is not None:
                    own *= rows.mask[:count]
                _clip(own, clip_norm)
                steps.step(gradients, count)
                totals[:count] += losses.detach()
    counts = [len(work.batches) for work in works]
    losses_of = [
        total / count if count else math.nan
        for total, count in zip(totals.tolist(), counts, strict=True)
    ]
    return [Trained(*one) for one in zip(rows.adapters(), steps.moments(), losses_of, strict=True)]


def _spans(counts: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return how many devices make which steps, (devices, first, last + 1), counts falling."""
    ends = sorted(set(counts) - {0})
    return [
        (sum(count >= end for count in counts), first, end)
        for first, end in zip([0, *ends], ends, strict=False)
    ]


def _clip(gradients: torch.Tensor, bound: float) -> None:
    """Bound the norm of each device's gradient over all layers, (devices, entries)."""
    factor = (bound / (torch.linalg.vector_norm(gradients, dim=1) + 1e-6)).clamp(max=1.0)
    # Reading one number is cheaper than a pass over all, unless a GPU has to be waited for.
    if gradients.is_cuda or bool((factor < 1.0).any()):
        gradients *= factor[:, None]
