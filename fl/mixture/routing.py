"""Routing: weights of the experts for a whole sequence.

Sources: ours, after the gate of arXiv 2602.20492, Eq. (26), which compares every token without
centering. Mean hidden states are dominated by a component common to all texts, so that the mean
over the experts is subtracted; one decision per sequence, over all layers, from a pass of the
frozen model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn.functional import normalize

from ..config.inference import Mixture
from .experts import Expert

_SAME = 1e-6
"""Rounding error of the cosine of two equal vectors."""


Directions = tuple[torch.Tensor, torch.Tensor]
"""Of a layer: mean of the experts' centroids, (inputs,), and their directions from there, (experts,
inputs)."""


def directions(experts: Sequence[Expert]) -> list[Directions]:
    """Return the directions of the experts in each layer."""
    found = []
    for layer in range(len(experts[0].centroid)):
        centroids = torch.stack([expert.centroid[layer] for expert in experts]).float()
        common = centroids.mean(0)
        found.append((common, normalize(centroids - common)))
    return found


def weights_by_direction(
    features: Sequence[torch.Tensor], of_layers: Sequence[Directions], config: Mixture
) -> torch.Tensor:
    """Return the weights of `seq-centroid`, (sequences, experts).

    Parameters
    ----------
    features : per layer (sequences, inputs), from `pooled`
    of_layers : directions of the experts in each layer
    config : kind of the choice
    """
    total = torch.zeros(len(features[0]), len(of_layers[0][1]))
    for own, (common, of_experts) in zip(features, of_layers, strict=True):
        total += normalize(own - common) @ of_experts.T
    cosine = total / len(features)
    if config.choice == "softmax":
        return torch.softmax(cosine / config.temperature, dim=1)
    return _equal_weights(cosine >= cosine.amax(1, keepdim=True) - _SAME)


def centroid_weights(
    features: Sequence[torch.Tensor], experts: Sequence[Expert], config: Mixture
) -> torch.Tensor:
    """Return the weights of `seq-centroid` of experts, (sequences, experts)."""
    return weights_by_direction(features, directions(experts), config)


def oracle_weights(task: int, sequences: int, experts: Sequence[Expert]) -> torch.Tensor:
    """Return the weights of `oracle`, (sequences, experts); all equal if no expert has the task."""
    has = torch.tensor([task in expert.tasks for expert in experts])
    return _equal_weights(has if bool(has.any()) else ~has).expand(sequences, -1)


def routed_correctly(weights: torch.Tensor, task: int, experts: Sequence[Expert]) -> torch.Tensor:
    """Return whether the heaviest expert of each sequence has the task, (sequences,).

    An expert has the tasks of its device, and of all devices whose experts have the same B: the
    merged B of a cluster is trained on the tasks of all members.
    """
    own = [expert for expert in experts if task in expert.tasks]
    has = torch.tensor([any(_same_b(expert, other) for other in own) for expert in experts])
    return has[weights.argmax(1)]


def _same_b(one: Expert, other: Expert) -> bool:
    """Return whether two experts have the same B."""
    if one is other:
        return True
    pairs = list(zip(one.b, other.b, strict=True))
    return bool(pairs) and all(x is y or torch.equal(x, y) for x, y in pairs)


def normalized_usage_entropy(weights: torch.Tensor) -> float:
    """Return the entropy of the experts' shares of all sequences over its maximum.

    Parameters
    ----------
    weights : (sequences, experts); a sequence counts for its heaviest expert, in equal parts if
        there are several

    Returns
    -------
    the normalized entropy; NaN for a single expert
    """
    experts = weights.shape[1]
    if experts < 2:
        return math.nan
    heaviest = _equal_weights(weights >= weights.amax(1, keepdim=True) - _SAME)
    share = heaviest.double().mean(0)
    return -float(torch.special.xlogy(share, share).sum()) / math.log(experts)


def _equal_weights(chosen: torch.Tensor) -> torch.Tensor:
    """Return equal weights of the chosen experts, (..., experts)."""
    return chosen / chosen.sum(-1, keepdim=True)
