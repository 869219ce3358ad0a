"""What a device carries from round to round, and its parts by name for keeping it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..training.optimizer import Moments

if TYPE_CHECKING:
    import torch

    from ..adapters import Adapter

    Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a device carries from round to round.

    Parameters
    ----------
    adapter : what it has learned
    moments : what its optimizer remembers, None before the first step
    loss : mean loss of the last round's steps [nat]
    """

    adapter: Adapter
    moments: Moments | None = None
    loss: float = math.nan


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What a device has before its first round.

    Parameters
    ----------
    adapter : its first adapter, with its mask
    centroid : per layer (inputs,) mean of what enters it over its prompts; None if nobody asks
    """

    adapter: Adapter
    centroid: tuple[torch.Tensor, ...] | None = None


@dataclass(frozen=True, slots=True)
class Tested:
    """How well a device does.

    Parameters
    ----------
    accuracies : on each task, between 0 and 1
    routing, expert_usage_entropy : see `EvaluationRow`
    """

    accuracies: list[float]
    routing: float
    expert_usage_entropy: float


def parts(state: State) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the facts and tensors of a trained state; what never changes is left out."""
    adapter, moments = state.adapter, state.moments
    named = {"b": adapter.b}
    if adapter.train_a:
        named["a"] = adapter.a
    if moments is not None:
        named |= {"first": moments.first, "second": moments.second}
    tensors = {
        f"{name}.{index}": tensor
        for name, part in named.items()
        for index, tensor in enumerate(part)
    }
    steps = None if moments is None else moments.steps
    return {"loss": state.loss, "steps": steps}, tensors


def joined(frame: Adapter, facts: Mapping[str, Any], tensors: Tensors) -> State:
    """Return the state of `parts`.

    Parameters
    ----------
    frame : the device's adapter before its first round, with what never changes
    facts, tensors : as from `parts`
    """

    moments = None
    if facts["steps"] is not None:
        moments = Moments(facts["steps"], part(tensors, "first"), part(tensors, "second"))
    a = part(tensors, "a") if frame.train_a else frame.a
    return State(replace(frame, b=part(tensors, "b"), a=a), moments, facts["loss"])


def part(tensors: Tensors, name: str) -> tuple[torch.Tensor, ...]:
    """Return the tensors of a name and a number, in the order of their numbers."""
    count = sum(each.startswith(f"{name}.") for each in tensors)
    return tuple(tensors[f"{name}.{index}"] for index in range(count))
