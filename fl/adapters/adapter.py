"""Adapter of a device: low-rank factors of each adapted linear layer of the shared model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """An adapted linear layer.

    Parameters
    ----------
    name : of the module in the model
    inputs, outputs : widths k and d of its weight, however the model stores it
    """

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """A device's adapter: layer l adds scale * B_l A_l to the frozen weight.

    Parameters
    ----------
    a : per layer (rank, inputs); layers may differ in rank, and rank 0 leaves a layer unchanged
    b : per layer (outputs, rank)
    scale : alpha / rank
    mask : per layer (outputs, rank), the entries of B that this device trains; None for all
    train_a : whether A is trained
    a_seed : seed from which a frozen A was drawn
    layer_scales : alpha / rank of each layer if layers differ; None if `scale` holds for all
    fixed_ranks : number of ranks, the last ones of each layer, that are never trained: a residual
        beside the trained factors
    core : per layer (rank, rank), the only trained matrix R of B = `basis` R; None if B is trained
    basis : per layer (outputs, rank), the frozen left factor of a core
    kept : further tensors by name that the device keeps from round to round, such as control
        variates
    mask_a : per layer (rank, inputs), the entries of A that are trained in this round, while `mask`
        has those of B; None for all
    dense : whether A is the identity of each layer, so that B is any change of its weight; `a` then
        has the shapes only, and `written_a` the values
    """

    a: tuple[torch.Tensor, ...]
    b: tuple[torch.Tensor, ...]
    scale: float
    mask: tuple[torch.Tensor, ...] | None = None
    train_a: bool = True
    a_seed: int = 0
    layer_scales: tuple[float, ...] | None = None
    fixed_ranks: int = 0
    core: Tensors | None = None
    basis: Tensors | None = None
    kept: Mapping[str, Tensors] = field(default_factory=dict)
    mask_a: Tensors | None = None
    dense: bool = False

    @property
    def rank(self) -> int:
        """Rank of the factors, the largest where layers differ."""
        return max(a.shape[0] for a in self.a)

    def scale_at(self, layer: int) -> float:
        """Return alpha / rank of a layer."""
        return self.scale if self.layer_scales is None else self.layer_scales[layer]

    def delta_weight(self, layer: int) -> torch.Tensor:
        """Return the update of a layer's weight, scale * B A, (outputs, inputs)."""
        if self.dense:
            return self.scale_at(layer) * self.b[layer]
        return self.scale_at(layer) * (self.b[layer] @ self.a[layer])

    def written_a(self) -> Tensors:
        """Return A of every layer, with identities written out."""
        return tuple(torch.eye(len(a)) for a in self.a) if self.dense else self.a

    def is_zero(self) -> bool:
        """Return whether B is zero, so that the adapter leaves the model unchanged."""
        return not any(bool(b.any()) for b in self.b)


def scale_of(rank: int, alpha: float | None) -> float:
    """Return alpha / rank; alpha defaults to twice the rank."""
    return (2 * rank if alpha is None else alpha) / rank


def draw_a(
    layers: Sequence[Layer], rank: int, distribution: str, seed: int
) -> tuple[torch.Tensor, ...]:
    """Draw A from a seed, per layer (rank, inputs).

    Parameters
    ----------
    layers, rank : shapes of the factors
    distribution : of the entries, with k inputs: `gaussian` of variance 1/k, or `kaiming`, uniform
        of variance 1/(3k)
    seed : of the draws
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for layer in layers:
        shape = (rank, layer.inputs)
        if distribution == "gaussian":
            drawn.append(torch.randn(shape, generator=generator) * layer.inputs**-0.5)
        else:
            drawn.append((torch.rand(shape, generator=generator) * 2 - 1) * layer.inputs**-0.5)
    return tuple(drawn)


def zero_b(layers: Sequence[Layer], rank: int) -> tuple[torch.Tensor, ...]:
    """Return a zero B, per layer (outputs, rank)."""
    return tuple(torch.zeros(layer.outputs, rank) for layer in layers)


def dense_adapter(layers: Sequence[Layer]) -> Adapter:
    """Return a zero change of every entry of every layer's weight."""
    zero = torch.zeros(1, 1)
    a = tuple(zero.expand(layer.inputs, layer.inputs) for layer in layers)
    b = tuple(torch.zeros(layer.outputs, layer.inputs) for layer in layers)
    return Adapter(a, b, scale=1.0, train_a=False, dense=True)


def shape_only(layers: Sequence[Layer], ranks: Sequence[int]) -> Adapter:
    """Return an adapter of zeros without storage, used to compute the size of a message."""
    zero = torch.zeros(1, 1, dtype=torch.half)
    shapes = list(zip(layers, ranks, strict=True))
    a = tuple(zero.expand(rank, layer.inputs) for layer, rank in shapes)
    b = tuple(zero.expand(layer.outputs, rank) for layer, rank in shapes)
    return Adapter(a, b, scale=1.0)
