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
        # Tensors of the last tested adapter, and its scores.
        self._last: tuple[torch.Tensor, ...] = ()
        self._scores: list[Score] = []
        self.count = sum(len(one) for one in self._sets)

    @torch.no_grad()
    def scores(self, adapters: Sequence[Adapter]) -> list[list[Score]]:
        """Return the score of each adapter on each task: the share of correct largest logits."""
        found = []
        for adapter in adapters:
            tensors = (*adapter.a, *adapter.b)
            # Devices that adopted the same average share its tensors.
            if list(map(id, tensors)) != list(map(id, self._last)):
                weights = self._model.weights_of(adapter)
                self._last = tensors
                self._scores = [self._score(weights, one) for one in self._sets]
            found.append(self._scores)
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
