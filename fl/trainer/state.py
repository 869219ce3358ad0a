"""State that a device carries from round to round, and its serialization for the result cache."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..adapters.core_parameters import with_core
from ..training.optimizer import Moments

if TYPE_CHECKING:
    import torch

    from ..adapters import Adapter
    from ..adapters.flat_parameters import Trained
    from ..engine.jobs import LazyValue

    Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """State of a device between rounds.

    Parameters
    ----------
    adapter : trained or aggregated adapter
    moments : state of the optimizer, None before the first step
    loss : mean loss of the steps of the last round [nat]
    other_moments : state of the optimizer of the factor that was frozen in the last round, where
        rounds alternate between factors
    trained : the factors of `moments`, where rounds alternate between factors
    """

    adapter: Adapter
    moments: Moments | None = None
    loss: float = math.nan
    other_moments: Moments | None = None
    trained: Trained | None = None

    def moments_for(self, trains: Trained | None) -> tuple[Moments | None, Moments | None]:
        """Return the moments with which a round starts, and those that wait for another factor.

        Parameters
        ----------
        trains : factors that the round trains; None for the same in all rounds
        """
        if trains == self.trained:
            return self.moments, self.other_moments
        if {trains, self.trained} == {"a", "b"}:
            return self.other_moments, self.moments
        return None, None


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
class Drifted:
    """What new data change on a device.

    Parameters
    ----------
    overlap : share of the active entries, beyond chance, that the new data select too; NaN if they
        were not compared
    renewed : state with another mask, and another A if it is the device's own; None if it stays
    calibrations : number of calibrations that this takes
    """

    overlap: float = math.nan
    renewed: LazyValue[State] | None = None
    calibrations: int = 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Test results of a device.

    Parameters
    ----------
    accuracies : on each task, between 0 and 1
    routing, expert_usage_entropy : see `EvaluationRow`
    by_rule : per task, accuracy by each scoring rule; none for answers without choices
    correct : per task, number of correct answers of each class; none for texts
    """

    accuracies: list[float]
    routing: float
    expert_usage_entropy: float
    by_rule: list[dict[str, float]]
    correct: list[list[int]] = field(default_factory=list)


def to_parts(state: State) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the scalars and tensors of a trained state, constant parts excluded."""
    adapter, moments, others = state.adapter, state.moments, state.other_moments
    named = {"b": adapter.b} if adapter.core is None else {"core": adapter.core}
    if adapter.train_a:
        named["a"] = adapter.a
    if moments is not None:
        named |= {"first": moments.first, "second": moments.second}
    if others is not None:
        named |= {"other first": others.first, "other second": others.second}
    kept = {f"kept {name}": part for name, part in adapter.kept.items()}
    named |= kept
    # What was not trained may be shared with other devices, and is stored with each.
    frozen = {"a": "b", "b": "a"}.get(state.trained or "")
    tensors = {
        f"{name}.{index}": tensor.clone() if name == frozen or name in kept else tensor
        for name, part in named.items()
        for index, tensor in enumerate(part)
    }
    steps = None if moments is None else moments.steps
    scalars: dict[str, Any] = {"loss": state.loss, "steps": steps}
    if state.trained is not None:
        scalars["trained"] = state.trained
    if others is not None:
        scalars["other steps"] = others.steps
    return scalars, tensors


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
    others = None
    if "other steps" in scalars:
        both = numbered(tensors, "other first"), numbered(tensors, "other second")
        others = Moments(scalars["other steps"], *both)
    a = numbered(tensors, "a") if initial.train_a else initial.a
    names = {name.rpartition(".")[0] for name in tensors if name.startswith("kept ")}
    kept = {name.removeprefix("kept "): numbered(tensors, name) for name in sorted(names)}
    adapter = replace(initial, a=a, kept=kept)
    if initial.core is None:
        adapter = replace(adapter, b=numbered(tensors, "b"))
    else:
        adapter = with_core(adapter, numbered(tensors, "core"))
    return State(adapter, moments, scalars["loss"], others, scalars.get("trained"))


def numbered(tensors: Tensors, name: str) -> tuple[torch.Tensor, ...]:
    """Return the tensors `name.0`, `name.1`, ..., in this order."""
    count = sum(each.startswith(f"{name}.") for each in tensors)
    return tuple(tensors[f"{name}.{index}"] for index in range(count))
