"""Mixture of experts on the shared model: y = W0 h + sum_j s_j B_j topk(g_j(h) A_j h).

Sources: arXiv 2602.20492, Eq. (24) and (29); B_j is that of an expert, or the mean of its cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import normalize

from ..config.inference import Mixture
from . import routing
from .experts import Expert
from .gates import LayerGate, gated_a, kept_components

if TYPE_CHECKING:
    from ..adapters import AdaptedModel


class ExpertMixture:
    """Concatenated factors of all experts, with a gate per layer.

    Parameters
    ----------
    experts : at least one expert
    config : kind of the gate
    device : torch device of the factors

    Raises
    ------
    ValueError
        if there are no experts
    """

    def __init__(self, experts: Sequence[Expert], config: Mixture, device: torch.device) -> None:
        if not experts:
            raise ValueError("a mixture must have at least one expert, got none")
        self._experts = experts
        self._config = config
        self._a: list[torch.Tensor] = []
        self._b: list[torch.Tensor] = []
        self._gates: list[LayerGate] = []
        for layer in range(len(experts[0].a)):
            a = [gated_a(each.a[layer], each.centroid[layer], config) for each in experts]
            b = [each.scale * each.b[layer].T for each in experts]
            # [components, inputs] and [components, outputs]
            self._a.append(torch.cat(a).to(device))
            self._b.append(torch.cat(b).to(device))
            ranks = torch.tensor([len(one) for one in a])
            owner = torch.arange(len(experts)).repeat_interleave(ranks).to(device)
            directions = None
            if config.gate == "paper-cosine":
                centroids = torch.stack([each.centroid[layer] for each in experts])
                directions = normalize(centroids.float()).to(device)
            self._gates.append(LayerGate(owner, kept_components(len(owner), config), directions))

    @contextmanager
    def attached(self, model: AdaptedModel) -> Iterator[None]:
        """Attach the experts to the model."""
        parts = zip(model.modules, self._a, self._b, self._gates, strict=True)
        for module, a, b, gate in parts:
            module.mix(a, b, gate)
        try:
            yield
        finally:
            for module in model.modules:
                module.detach_adapters()

    def routing_weights(
        self, task: int, prompts: int, features: Callable[[], Sequence[torch.Tensor]]
    ) -> torch.Tensor | None:
        """Return the weight of each expert for each prompt; None if the gate has no such weights.

        Parameters
        ----------
        task, prompts : task and number of prompts
        features : returns the features of the prompts, from `pooled`

        Returns
        -------
        (prompts, experts)
        """
        if self._config.gate == "oracle":
            return routing.oracle_weights(task, prompts, self._experts)
        if self._config.gate == "seq-centroid":
            return routing.centroid_weights(features(), self._experts, self._config)
        return None

    def set_weights(self, weights: torch.Tensor, prompts: torch.Tensor) -> None:
        """Set the expert weights of the next sequences.

        Parameters
        ----------
        weights : (prompts, experts)
        prompts : (sequences,) index of each sequence's prompt
        """
        chosen = weights[prompts]
        for gate in self._gates:
            gate.weights = chosen.to(gate.owner.device)
