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
    from ..adapters.linear import AdaptedLinear


class ExpertMixture:
    """Concatenated factors of all experts, with a gate per layer.

    Experts with a common A that are weighed for whole sequences are one adapter per sequence.

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
        self._device = device
        self._modules: Sequence[AdaptedLinear] = ()
        # (sequences, experts) weights of the current sequences.
        self._weights: torch.Tensor | None = None
        self._directions: list[routing.Directions] | None = None
        components = [sum(len(each.a[layer]) for each in experts) for layer in self._layers]
        keeps_all = all(kept_components(count, config) == count for count in components)
        self._common_a = keeps_all and self._routes_sequences and _has_common_a(experts)
        self._a: list[torch.Tensor] = []
        self._b: list[torch.Tensor] = []
        self._gates: list[LayerGate] = []
        for layer in self._layers:
            b = [each.scale * each.b[layer].T for each in experts]
            if self._common_a:
                # [experts, rank * outputs]
                self._a.append(experts[0].a[layer].to(device))
                self._b.append(torch.stack(b).flatten(1).to(device))
                continue
            a = [gated_a(each.a[layer], each.centroid[layer], config) for each in experts]
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

    @property
    def _layers(self) -> range:
        return range(len(self._experts[0].a))

    @property
    def _routes_sequences(self) -> bool:
        """Whether the gate weighs the experts for whole sequences."""
        return self._config.gate in ("oracle", "seq-centroid")

    @contextmanager
    def attached(self, model: AdaptedModel) -> Iterator[None]:
        """Attach the experts to the model."""
        self._modules = model.modules
        if self._common_a:
            self._mix_b()
        else:
            for module, a, b, gate in zip(
                model.modules, self._a, self._b, self._gates, strict=True
            ):
                module.mix(a, b, gate)
        try:
            yield
        finally:
            self._modules = ()
            for module in model.modules:
                module.detach_adapters()

    def _mix_b(self) -> None:
        """Attach the common A, with the weighted mean of the experts' B for each sequence."""
        if self._weights is None:
            return
        sequences = len(self._weights)
        for module, a, b in zip(self._modules, self._a, self._b, strict=False):
            if len(a):
                mixed = (self._weights @ b).view(sequences, len(a), -1)
                module.a, module.b, module.scale = a.expand(sequences, *a.shape), mixed, 1.0

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
            if self._directions is None:
                self._directions = routing.directions(self._experts)
            return routing.weights_by_direction(features(), self._directions, self._config)
        return None

    def set_weights(self, weights: torch.Tensor, prompts: torch.Tensor) -> None:
        """Set the expert weights of the next sequences.

        Parameters
        ----------
        weights : (prompts, experts)
        prompts : (sequences,) index of each sequence's prompt
        """
        self._weights = weights[prompts].to(self._device)
        if self._common_a:
            self._mix_b()
        for gate in self._gates:
            gate.weights = self._weights


def _has_common_a(experts: Sequence[Expert]) -> bool:
    """Return whether all experts have the same A."""
    first = experts[0].a
    return all(
        one is other or torch.equal(one, other)
        for expert in experts[1:]
        for one, other in zip(first, expert.a, strict=True)
    )
