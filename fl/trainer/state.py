"""State that a device carries from round to round, and its serialization for the result cache."""

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
    """State of a device between rounds.

    Parameters
    ----------
    adapter : trained or aggregated adapter
    moments : state of the optimizer, None before the first step
    loss : mean loss of the steps of the last round [nat]
    """

    adapter: Adapter
    moments: Moments | None = None
    loss: float = math.nan


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Result of the calibration of a device before its first round.

    Parameters
    ----------
    adapter : initial adapter, with its mask
    centroid : prompt centroid: per layer (inputs,) mean layer input over the device's prompts; None
        if prompts are not profiled
    """

    adapter: Adapter
    centroid: tuple[torch.Tensor, ...] | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Test results of a device.

    Parameters
    ----------
    accuracies : on each task, between 0 and 1
    routing, expert_usage_entropy : see `EvaluationRow`
    by_rule : per task, accuracy by each scoring rule; none for answers without choices
    """

    accuracies: list[float]
    routing: float
    expert_usage_entropy: float
    by_rule: list[dict[str, float]]


def to_parts(state: State) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the scalars and tensors of a trained state, constant parts excluded."""
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


def from_parts(initial: Adapter, scalars: Mapping[str, Any], tensors: Tensors) -> State:
    """Return the state of `to_parts`.

    Parameters
    ----------
    initial : initial adapter of the device, with the constant parts
    scalars, tensors : as returned by `to_parts`
    """
    moments = None
    if scalars["steps"] is not None:
        moments = Moments(scalars["steps"], numbered(tensors, "first"), numbered(tensors, "second"))
    a = numbered(tensors, "a") if initial.train_a else initial.a
    return State(replace(initial, b=numbered(tensors, "b"), a=a), moments, scalars["loss"])


def numbered(tensors: Tensors, name: str) -> tuple[torch.Tensor, ...]:
    """Return the tensors `name.0`, `name.1`, ..., in this order."""
    count = sum(each.startswith(f"{name}.") for each in tensors)
    return tuple(tensors[f"{name}.{index}"] for index in range(count))
