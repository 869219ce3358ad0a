"""Linear layers with a common input: their frozen products, and low-rank paths of many devices.

The factors A of all layers multiply the input in one product, which is a view where they are
neighbors in memory. Frozen weights in bfloat16 multiply inputs rounded to it; all else is in the
dtype of the input. Low-rank activations are (devices, rank, tokens): with few ranks, products run
twice as fast in this order on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .fused_linear import GradientBuffers
from .linear import AdaptedLinear, Scale, gated_low_rank

Tensors = list[torch.Tensor]


class Gradients:
    """Gradients of the factors: into the buffers of their modules, or kept for autograd."""

    def __init__(self) -> None:
        # By the id of the factor.
        self.of: dict[int, torch.Tensor] = {}

    def add(self, module: AdaptedLinear, index: int, gradient: torch.Tensor) -> None:
        """Accumulate the gradient of A (index 0) or B (index 1) of a module."""
        buffers: GradientBuffers | None = module.gradient_buffers
        buffer = None if buffers is None else buffers[index]
        if buffer is not None:
            buffer.add(gradient)
            return
        factor = id(module.b if index else module.a)
        before = self.of.get(factor)
        self.of[factor] = gradient if before is None else before + gradient


class Siblings:
    """Linear layers with a common input.

    Parameters
    ----------
    layers : wrapped or plain linear modules

    Attributes
    ----------
    adapted : the wrapped ones
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self._layers: Sequence[Any] = layers
        self.adapted = [layer for layer in layers if isinstance(layer, AdaptedLinear)]

    def needed(self, x: torch.Tensor) -> torch.Tensor | None:
        """Return the input if the gradient of an A needs it."""
        trains_a = any(each.a is not None and each.a.requires_grad for each in self.adapted)
        return x if trains_a else None

    def forward(
        self, x: torch.Tensor, devices: int, of_distinct: torch.Tensor | None = None
    ) -> tuple[Tensors, torch.Tensor | None]:
        """Return the outputs (tokens, outputs), and the scaled low-rank activations.

        Parameters
        ----------
        x : (tokens, inputs), device by device
        devices : number of devices
        of_distinct : (tokens,) numbers of the distinct rows of x; None if they are unknown
        """
        if of_distinct is None:
            outputs = self._products(x)
        else:
            rows = x.new_empty(int(of_distinct.max()) + 1, x.shape[1])
            # Equal rows are written in any order.
            rows.index_copy_(0, of_distinct, x)
            outputs = [each.index_select(0, of_distinct) for each in self._products(rows)]
        attached = self._attached()
        if not attached:
            return outputs, None
        # [devices, tokens, inputs]
        own = x.view(devices, -1, x.shape[1])
        if attached[0].gate is not None:
            for y, layer in zip(outputs, self._layers, strict=True):
                if layer in attached:
                    y += gated_low_rank(own, layer.a, layer.b, layer.gate).flatten(0, 1)
            return outputs, None
        low = _down(own, _joined([each.a for each in attached]))
        parts = _parts(low, attached)
        for part, each in zip(parts, attached, strict=True):
            _scale(part, each.scale)
            y = outputs[self._layers.index(each)]
            y.view(devices, -1, y.shape[1]).baddbmm_(part.transpose(1, 2), each.b)
        return outputs, low

    def backward(
        self,
        above: Tensors,
        x: torch.Tensor | None,
        low: torch.Tensor | None,
        devices: int,
        gradients: Gradients,
        to_input: bool = True,
    ) -> Tensors:
        """Accumulate the gradients of the factors; return that of the input, empty if unwanted.

        Parameters
        ----------
        above : gradients of the outputs
        x, low : input if A is trained, and low-rank activations
        devices : number of devices
        gradients : of the factors
        to_input : whether the gradient of the input is wanted
        """
        attached = self._attached()
        below = None
        if attached and low is not None:
            below = torch.empty_like(low)
            for part, own_low, each in zip(
                _parts(below, attached), _parts(low, attached), attached, strict=True
            ):
                grad = above[self._layers.index(each)].view(devices, -1, each.b.shape[2])
                gradients.add(each, 1, torch.bmm(own_low, grad))
                torch.bmm(each.b, grad.transpose(1, 2), out=part)
                _scale(part, each.scale)
            if x is not None:
                of_a = torch.bmm(below, x.view(devices, -1, x.shape[1]))
                ranks = [each.a.shape[1] for each in attached]
                for each, one in zip(attached, of_a.split(ranks, dim=1), strict=True):
                    gradients.add(each, 0, one)
        if not to_input:
            return []
        of_input = _times(above[0], _weight(self._layers[0]))
        for grad, layer in zip(above[1:], self._layers[1:], strict=True):
            weight = _weight(layer)
            if weight.dtype == grad.dtype:
                of_input.addmm_(grad, weight)
            else:
                of_input += _times(grad, weight)
        if below is not None:
            a = _joined([each.a for each in attached])
            of_input.view(devices, -1, a.shape[2]).baddbmm_(below.transpose(1, 2), a)
        return [of_input]

    def _products(self, x: torch.Tensor) -> Tensors:
        """Return the frozen products (tokens, outputs) of the layers."""
        weights = [_weight(layer) for layer in self._layers]
        if all(weight.dtype == x.dtype for weight in weights):
            return [
                _product(x, weight, layer.bias)
                for weight, layer in zip(weights, self._layers, strict=True)
            ]
        rounded = x.to(weights[0].dtype)
        return [
            _product(rounded, weight, layer.bias).to(x.dtype)
            for weight, layer in zip(weights, self._layers, strict=True)
        ]

    def _attached(self) -> list[Any]:
        """Return the layers with an adapter beside their weight."""
        return [each for each in self.adapted if each.a is not None]


def _weight(layer: Any) -> torch.Tensor:
    """Return the weight of a layer with a merged adapter, if any, (outputs, inputs)."""
    merged = layer.merged if isinstance(layer, AdaptedLinear) else None
    weight: torch.Tensor = layer.weight if merged is None else merged
    return weight


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return the frozen product of a layer, (tokens, outputs)."""
    return x @ weight.T if bias is None else torch.addmm(bias, x, weight.T)


def _times(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return x times a weight in the dtype of x; the product is computed in that of the weight."""
    return (x.to(weight.dtype) @ weight).to(x.dtype)


def _down(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Return A x^T, (devices, rank, tokens): with few ranks the faster order on a CPU."""
    if a.stride(0) == 0:
        return (x @ a[0].T).transpose(1, 2)
    return torch.bmm(a, x.transpose(1, 2))


def _joined(factors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return factors (devices, rank, width) as one of all ranks: a view if they are neighbors."""
    first = factors[0]
    if len(factors) == 1:
        return first
    if all(one.stride(0) == 0 for one in factors):
        # One A of all devices, expanded.
        return torch.cat([one[0] for one in factors]).expand(len(first), -1, -1)
    rank, start = 0, first.storage_offset()
    for one in factors:
        neighbors = (
            one.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
            and one.storage_offset() == start + rank * first.shape[2]
            and one.stride() == first.stride()
        )
        if not neighbors:
            return torch.cat([*factors], dim=1)
        rank += one.shape[1]
    return first.as_strided((first.shape[0], rank, first.shape[2]), first.stride(), start)


def _parts(low: torch.Tensor, attached: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    """Return the low-rank activations of each layer."""
    return low.split_with_sizes([each.a.shape[1] for each in attached], dim=1)


def _scale(low: torch.Tensor, scale: Scale) -> None:
    """Multiply low-rank activations by alpha / rank, in place."""
    if isinstance(scale, torch.Tensor) or scale != 1.0:
        low.mul_(scale)
