"""What stands between the A and the B of many experts in one layer.

Sources: arXiv 2602.20492, Eq. (26), (27), (29). As printed, A H0 / ||H0|| is a vector and does not
fit what follows. Readings whose shapes fit: `paper-cosine` scales A h by the cosine of h and H0,
as the text says; `paper-hadamard` scales the columns of A; `paper-projector` keeps of h its part
along H0. The largest components are those of largest magnitude, as in FlyLoRA (2025), not the
largest signed values.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from ..config.inference import Mixture


def refined(a: torch.Tensor, centroid: torch.Tensor, config: Mixture) -> torch.Tensor:
    """Return what multiplies h in place of A, (rank, inputs): the part of a gate that is linear.

    Parameters
    ----------
    a : (rank, inputs)
    centroid : (inputs,)
    config : which gate
    """
    direction = normalize(centroid, dim=0)
    if config.gate == "paper-hadamard":
        return a * direction
    if config.gate == "paper-projector":
        return torch.outer(a @ direction, direction)
    return a


def kept(rank: int, config: Mixture) -> int:
    """Return how many of the components of all experts in a layer are kept."""
    if config.top_k is not None:
        return min(config.top_k, rank)
    return max(1, rank // 4) if config.gate.startswith("paper_") else rank


def largest(low: torch.Tensor, count: int) -> torch.Tensor:
    """Return the components of largest magnitude and zero for the others, (..., components)."""
    where = low.abs().topk(count, dim=-1, sorted=False).indices
    return torch.zeros_like(low).scatter(-1, where, low.gather(-1, where))


@dataclass(slots=True, eq=False)
class LayerGate:
    """The gate of one layer.

    Parameters
    ----------
    owner : (components,) the expert of each
    count : how many components are kept
    directions : (experts, inputs) of length 1, where tokens are compared with them
    weights : (sequences, experts) of the sequences that are run, where these are weighed
    """

    owner: torch.Tensor
    count: int
    directions: torch.Tensor | None = None
    weights: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
        """Return what is multiplied with B^T.

        Parameters
        ----------
        x : (sequences, tokens, inputs) what enters the layer
        low : (sequences, tokens, components) its product with A^T
        """
        if self.directions is not None:
            # [sequences, tokens, experts]
            cosine = normalize(x.float(), dim=-1) @ self.directions.T
            low = low * cosine.index_select(-1, self.owner).to(low.dtype)
        if self.weights is not None:
            low = low * self.weights[:, None, self.owner].to(low.dtype)
        return largest(low, self.count) if self.count < low.shape[-1] else low
