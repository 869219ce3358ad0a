"""Local training of many devices in one batch: of adapters on one frozen model, or of networks.

Every tensor stacks the devices along its first dimension.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..adapters import AdaptedModel, Adapter
from ..adapters.core_parameters import CoreParameters
from ..adapters.flat_parameters import FlatParameters, Trained
from ..models.nets import Network
from .language_steps import language_gradients
from .objective import LocalObjective, apply
from .optimizer import Moments, make_stepper
from .privacy import GaussianRelease

if TYPE_CHECKING:
    from ..data.device_examples import Rows

BEST_BATCH_TOKENS = 1024
"""Tokens of all devices in a step at which a CPU core trains small models fastest: with fewer the
kernels are small, with more the activations exceed its caches."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalTraining:
    """Local training of one device in one round.

    Parameters
    ----------
    adapter : initial adapter
    moments : initial state of the optimizer; None for zero moments
    batches : one per step; devices may differ in their number, and on language models in rows and
        widths
    learning_rate : learning rate of this device
    trains : factors that are trained; None for B, and A if the adapter trains it
    objectives : terms of the local objective beside the loss
    release : what bounds the change of a round and adds noise to it; None for nothing
    """

    adapter: Adapter
    moments: Moments | None
    batches: Sequence[Rows]
    learning_rate: float
    trains: Trained | None = None
    objectives: Sequence[LocalObjective] = ()
    release: GaussianRelease | None = None

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        """Kind of training; devices of different kinds are trained separately."""
        trains = self.trains or ("ab" if self.adapter.train_a else "b")
        return "a" in trains, trains == "a", self.adapter.core is not None


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """Result of local training.

    Parameters
    ----------
    adapter, moments : after the last step, in main memory
    loss : mean over the steps [nat]; NaN or infinite if training diverged
    """

    adapter: Adapter
    moments: Moments | None
    loss: float


def train(
    model: AdaptedModel | Network,
    works: Sequence[LocalTraining],
    optimizer: Any,
    clip_norm: float,
) -> list[TrainingResult]:
    """Train several devices in one batch.

    Parameters
    ----------
    model : the shared model or network
    works : the devices' trainings; their grouping affects results only by rounding
    optimizer : optimizer of every device
    clip_norm : upper bound of the norm of a device's gradient
    """
    # Devices with a frozen A save no layer inputs, so the two kinds are trained separately.
    order = sorted(
        range(len(works)),
        key=lambda index: (works[index].kind, -len(works[index].batches)),
    )
    trained: dict[int, TrainingResult] = {}
    for _, group in itertools.groupby(order, key=lambda index: works[index].kind):
        chosen = list(group)
        results = _train_group(model, [works[index] for index in chosen], optimizer, clip_norm)
        trained.update(zip(chosen, results, strict=True))
    return [trained[index] for index in range(len(works))]


def _train_group(
    model: AdaptedModel | Network,
    works: Sequence[LocalTraining],
    optimizer: Any,
    clip_norm: float,
) -> list[TrainingResult]:
    """Train devices in descending order of steps, so that the active ones are always the first."""
    adapters = [work.adapter for work in works]
    if adapters[0].core is None:
        rows = FlatParameters(adapters, model.device, works[0].trains)
    else:
        rows = CoreParameters(adapters, model.device)
    objectives = [work.objectives for work in works]
    needs_begin = any(objectives) or any(work.release for work in works)
    begin = rows.trained.clone() if needs_begin else rows.trained
    starts = [work.moments for work in works]
    steps = make_stepper(optimizer, rows, starts, [work.learning_rate for work in works])
    gradients = torch.zeros_like(rows.trained)
    totals = torch.zeros(len(works), device=model.device)
    for count, first, last in _step_ranges([len(work.batches) for work in works]):
        own = gradients[:count]
        with _gradients(model, rows, count, own) as losses_of:
            for step in range(first, last):
                losses = losses_of([work.batches[step] for work in works[:count]])
                if rows.mask is not None:
                    own *= rows.mask[:count]
                apply(objectives, rows, begin, own, is_clipped=True)
                _clip(own, clip_norm)
                apply(objectives, rows, begin, own, is_clipped=False)
                steps.step(gradients, count)
                totals[:count] += losses
    _release(works, rows, begin)
    counts = [len(work.batches) for work in works]
    means = [
        total / count if count else math.nan
        for total, count in zip(totals.tolist(), counts, strict=True)
    ]
    return [
        TrainingResult(*one) for one in zip(rows.adapters(), steps.moments(), means, strict=True)
    ]


def _gradients(
    model: AdaptedModel | Network, rows: FlatParameters, count: int, gradients: torch.Tensor
) -> AbstractContextManager[Callable[[Sequence[Any]], torch.Tensor]]:
    """Prepare steps of the first devices; see `language_gradients`."""
    if isinstance(model, Network):
        return model.gradients(rows, count, gradients)
    return language_gradients(model, rows, count, gradients)


def _release(works: Sequence[LocalTraining], rows: FlatParameters, begin: torch.Tensor) -> None:
    """Bound the changes of the devices that ask for it, and add noise, in place."""
    for index, work in enumerate(works):
        if work.release is not None:
            own = rows.entries(index)
            mask = None if rows.mask is None else rows.mask[index, own]
            rows.trained[index, own] = work.release.apply(
                begin[index, own], rows.trained[index, own], mask
            )


def _step_ranges(counts: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return ranges of steps as (active devices, first, last + 1), for descending step counts."""
    ends = sorted(set(counts) - {0})
    return [
        (sum(count >= end for count in counts), first, end)
        for first, end in zip([0, *ends], ends, strict=False)
    ]


def _clip(gradients: torch.Tensor, bound: float) -> None:
    """Clip the norm of each device's gradient over all layers, (devices, entries), in place."""
    factor = (bound / (torch.linalg.vector_norm(gradients, dim=1) + 1e-6)).clamp(max=1.0)
    # On a CPU reading the factors is cheaper than a pass over all gradients; a GPU would block.
    if gradients.is_cuda or bool((factor < 1.0).any()):
        gradients *= factor[:, None]
