"""Evaluation of networks on arrays; it takes no simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import torch

from ..models.nets import Labelled, Network
from .scoring import Score

if TYPE_CHECKING:
    from ..adapters import Adapter
    from ..tasks.arrays import ArrayTask

_PASS = 512
"""Inputs of a forward pass."""


class NetworkTests:
    """Test sets of all tasks.

    Parameters
    ----------
    model : the network
    tasks : the tasks

    Attributes
    ----------
    count : number of test inputs
    """

    def __init__(self, model: Network, tasks: Sequence[ArrayTask]) -> None:
        self._model = model
        self._sets = [Labelled.of(task.test) for task in tasks]
        self._classes = max(task.classes for task in tasks)
        self.count = sum(len(one) for one in self._sets)

    @torch.no_grad()
    def scores(self, adapters: Sequence[Adapter]) -> list[list[Score]]:
        """Return the score of each adapter on each task: the share of correct largest logits."""
        known: dict[tuple[int, ...], list[Score]] = {}
        found = []
        for adapter in adapters:
            # Devices that adopted the same average share its tensors.
            key = tuple(map(id, (*adapter.a, *adapter.b)))
            if key not in known:
                weights = self._model.weights_of(adapter)
                known[key] = [self._score(weights, one) for one in self._sets]
            found.append(known[key])
        return found

    def mixture_scores(self, *_: object) -> NoReturn:
        """Raise RuntimeError: the configuration refuses mixtures of networks."""
        raise RuntimeError("networks are not mixed")

    def _score(self, weights: dict[str, torch.Tensor], one: Labelled) -> Score:
        parts = [
            self._model.logits(weights, inputs.to(self._model.device)).argmax(1).cpu()
            for inputs in one.inputs.split(_PASS)
        ]
        is_correct = torch.cat(parts) == one.labels
        correct = torch.bincount(one.labels[is_correct], minlength=self._classes)
        return Score(int(is_correct.sum()) / len(one), {}, tuple(correct.tolist()))
