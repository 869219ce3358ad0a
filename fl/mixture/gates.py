"""Per-layer gating of expert LoRA components.

Sources: arXiv 2602.20492, Eq. (26), (27), (29). As printed, A H0 / ||H0|| is a vector and does not
fit the following equations. Readings whose shapes fit: `paper-cosine` scales A h by the cosine of h
and H0, as the text says; `paper-hadamard` scales the columns of A; `paper-projector` projects h on
H0. The largest components are those of largest magnitude, as in FlyLoRA (2025), not the
largest signed values.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from ..config.inference import Mixture


def gated_a(a: torch.Tensor, centroid: torch.Tensor, config: Mixture) -> torch.Tensor:
    """Return A with the linear part of a gate applied, (rank, inputs).

    Parameters
    ----------
    a : (rank, inputs)
    centroid : (inputs,)
    config : kind of the gate
    """
    direction = normalize(centroid, dim=0)
    if config.gate == "paper-hadamard":
        return a * direction
    if config.gate == "paper-projector":
        return torch.outer(a @ direction, direction)
    return a


def kept_components(rank: int, config: Mixture) -> int:
    """Return the number of components kept in a layer, of `rank` of all experts together."""
    if config.top_k is not None:
        return min(config.top_k, rank)
    return max(1, rank // 4) if config.gate.startswith("paper-") else rank


def keep_largest(low: torch.Tensor, count: int) -> torch.Tensor:
    """Return the components of largest magnitude and zero for the others, (..., components)."""
    where = low.abs().topk(count, dim=-1, sorted=False).indices
    return torch.zeros_like(low).scatter(-1, where, low.gather(-1, where))


@dataclass(slots=True, eq=False)
class LayerGate:
    """The gate of one layer.

    Parameters
    ----------
    owner : (components,) the expert of each
    count : number of components kept
    directions : (experts, inputs) unit vectors for the gate of each token; None without one
    weights : (sequences, experts) weights of the current sequences; None for equal weights
    """

    owner: torch.Tensor
    count: int
    directions: torch.Tensor | None = None
    weights: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
        """Return the gated components, which multiply B^T.

        Parameters
        ----------
        x : (sequences, tokens, inputs) input of the layer
        low : (sequences, tokens, components) its product with A^T
        """
        if self.directions is not None:
            # [sequences, tokens, experts]
            cosine = normalize(x.float(), dim=-1) @ self.directions.T
            low = low * cosine.index_select(-1, self.owner).to(low.dtype)
        if self.weights is not None:
            low = low * self.weights[:, None, self.owner].to(low.dtype)
        return keep_largest(low, self.count) if self.count < low.shape[-1] else low
