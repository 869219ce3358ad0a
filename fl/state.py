"""What a device carries from round to round, and its parts by name for keeping it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .optimizer import Moments

if TYPE_CHECKING:
    import torch

    from .adapters import Adapter

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

    def part(name: str) -> tuple[torch.Tensor, ...]:
        found = [each for each in tensors if each.startswith(f"{name}.")]
        return tuple(tensors[f"{name}.{index}"] for index in range(len(found)))

    moments = None
    if facts["steps"] is not None:
        moments = Moments(facts["steps"], part("first"), part("second"))
    adapter = replace(frame, b=part("b"), a=part("a") if frame.train_a else frame.a)
    return State(adapter, moments, facts["loss"])
