"""How much each expert counts for a whole sequence.

Sources: ours, after the gate of arXiv 2602.20492, Eq. (26), which compares every token as it is.
Means of hidden states are dominated by what all texts have in common, so that the mean over the
experts is taken off; one decision for a sequence, over all layers, from a pass without adapters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn.functional import normalize

from ..config.inference import Mixture
from .experts import Expert

_SAME = 1e-6
"""How far cosines of the same two vectors are apart by rounding."""


def by_centroid(
    features: Sequence[torch.Tensor], experts: Sequence[Expert], config: Mixture
) -> torch.Tensor:
    """Return the weights of `seq-centroid`, (sequences, experts).

    Parameters
    ----------
    features : per layer (sequences, inputs), from `pooled`
    experts, config : the experts, and the kind of choice
    """
    total = torch.zeros(len(features[0]), len(experts))
    for layer, own in enumerate(features):
        # [experts, inputs]
        centroids = torch.stack([expert.centroid[layer] for expert in experts]).to(own)
        common = centroids.mean(0)
        total += normalize(own - common) @ normalize(centroids - common).T
    cosine = total / len(features)
    if config.choice == "softmax":
        return torch.softmax(cosine / config.temperature, dim=1)
    return _shared(cosine >= cosine.amax(1, keepdim=True) - _SAME)


def by_task(task: int, sequences: int, experts: Sequence[Expert]) -> torch.Tensor:
    """Return the weights of `oracle`, (sequences, experts): all equal if nobody has the task."""
    has = torch.tensor([task in expert.tasks for expert in experts])
    return _shared(has if bool(has.any()) else ~has).expand(sequences, -1)


def right(weights: torch.Tensor, task: int, experts: Sequence[Expert]) -> torch.Tensor:
    """Return of which sequences the heaviest expert has the task, (sequences,)."""
    has = torch.tensor([task in expert.tasks for expert in experts])
    return has[weights.argmax(1)]


def evenness(weights: torch.Tensor) -> float:
    """Return the entropy of the experts' shares of all sequences over its largest value.

    Parameters
    ----------
    weights : (sequences, experts); a sequence goes to its heaviest expert, in equal parts if there
        are several; nan is returned for a single expert
    """
    experts = weights.shape[1]
    if experts < 2:
        return math.nan
    heaviest = _shared(weights >= weights.amax(1, keepdim=True) - _SAME)
    share = heaviest.double().mean(0)
    return -float(torch.special.xlogy(share, share).sum()) / math.log(experts)


def _shared(chosen: torch.Tensor) -> torch.Tensor:
    """Return equal weights for those chosen, (..., experts)."""
    return chosen / chosen.sum(-1, keepdim=True)
