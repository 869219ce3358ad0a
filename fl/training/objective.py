"""Local objective beside the loss: terms that change the gradient of a step.

A term sees one device's gradient, its trained parameters and their values at the start of the
round, as flat vectors, and returns the gradient to use instead.

Sources: `Prox`: Li et al., "Federated optimization in heterogeneous networks", MLSys 2020, Eq. (2),
with the trained factors for the weights, which is our construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from ..adapters.flat_parameters import FlatParameters
from ..config import Prox


class LocalObjective(Protocol):
    """Term of the local objective; one instance serves a device in a round."""

    @property
    def is_clipped(self) -> bool:
        """Whether `clip_norm` bounds the gradient with the term; else it is added afterwards."""

    def gradient(
        self, gradient: torch.Tensor, values: torch.Tensor, start: torch.Tensor
    ) -> torch.Tensor:
        """Return the gradient with the term.

        Parameters
        ----------
        gradient : (entries,) gradient of the loss with respect to the trained parameters
        values, start : (entries,) the parameters, now and before the first step of the round
        """


class ProximalTerm:
    """The penalty mu/2 ||x - x_start||^2, whose gradient is mu (x - x_start)."""

    is_clipped = True

    def __init__(self, mu: float) -> None:
        self._mu = mu

    def gradient(
        self, gradient: torch.Tensor, values: torch.Tensor, start: torch.Tensor
    ) -> torch.Tensor:
        """Return the gradient of the loss and the penalty."""
        return gradient + self._mu * (values - start)


def objective_of(config: Any, seed: int) -> LocalObjective | None:
    """Return the objective of a configuration, built-in or user-defined; None for none.

    Parameters
    ----------
    config : the configuration
    seed : seed of the draws of a device in a round
    """
    if config is None:
        return None
    if isinstance(config, Prox):
        return ProximalTerm(config.mu)
    made: LocalObjective = config.objective(seed)
    return made


def apply(
    objectives: Sequence[Sequence[LocalObjective]],
    rows: FlatParameters,
    begin: torch.Tensor,
    gradients: torch.Tensor,
    *,
    is_clipped: bool,
) -> None:
    """Replace the gradients of the first devices by those of their objectives, in place.

    Parameters
    ----------
    objectives : per device, its terms
    rows, begin : the parameters, and their values at the start of the round
    gradients : (devices, entries) of the devices that still train
    is_clipped : whether terms that are clipped are applied, or the others
    """
    with torch.no_grad():
        for index in range(len(gradients)):
            for term in objectives[index]:
                if term.is_clipped == is_clipped:
                    own = rows.entries(index)
                    gradients[index, own] = term.gradient(
                        gradients[index, own], rows.trained[index, own], begin[index, own]
                    )
