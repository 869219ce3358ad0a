"""Fused LoRA linear: a frozen layer and the low-rank factors of many devices in one autograd op.

y_n = x_n W^T + bias + s_n (x_n A_n^T) B_n^T for the rows x_n of device n. The product with W is
one for all devices, the products with the factors are batched, and only what the gradients of the
factors need is saved for the backward pass: x if A is trained, and the rank-sized s_n x_n A_n^T.

Sources: Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

_MERGED_TOKENS = 1024


class GradientBuffer:
    """Accumulator of the gradient of one factor: the first part overwrites, later ones are added.

    Parameters
    ----------
    target : (devices, rank, width) part of a matrix of gradients
    """

    __slots__ = ("_is_empty", "target")

    def __init__(self, target: torch.Tensor) -> None:
        self.target = target
        self._is_empty = True

    def add(self, gradient: torch.Tensor) -> None:
        """Accumulate one part of the gradient; a layer that is used twice has two."""
        if self._is_empty:
            self.target.copy_(gradient)
            self._is_empty = False
        else:
            self.target += gradient

    def finish(self) -> None:
        """Zero the gradient of a layer that was not used, and reset for the next step."""
        if self._is_empty:
            self.target.zero_()
        self._is_empty = True


GradientBuffers = tuple[GradientBuffer | None, GradientBuffer | None]
"""Buffers of the gradients of A and B; None for the one that is frozen."""


class FusedLinear(torch.autograd.Function):
    """The frozen product and the low-rank path in one step.

    Parameters
    ----------
    x : (devices * batch, ..., inputs), device by device
    a : (devices, rank, inputs)
    b : (devices, rank, outputs), the transpose of B
    scale : one number, or (devices, 1, 1)
    weight : (inputs, outputs), the frozen weight as it multiplies x from the right; None for the
        low-rank path only, beside a layer that is not a plain product, such as a quantized one
    bias : (outputs,) or None
    buffers : accumulators of the factors' gradients; None to return them
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float | torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        buffers: GradientBuffers | None,
    ) -> torch.Tensor:
        """Return (devices * batch, ..., outputs)."""
        devices = a.shape[0]
        # [devices, tokens, inputs]
        own = x.reshape(devices, -1, x.shape[-1])
        # [devices, tokens, rank]
        low = torch.bmm(own, a.to(x.dtype).transpose(1, 2)).mul_(scale)
        if weight is not None and _merges(own, weight):
            y = _merged_product(own, weight, a, b, scale, bias)
        else:
            frozen = None if weight is None else _product(own, weight, bias)
            y = _with_low_rank(frozen, low, b.to(x.dtype))
        # A scale per device takes no part in autograd, so that ctx may hold it directly.
        ctx.scale, ctx.buffers = scale, buffers
        ctx.save_for_backward(own if ctx.needs_input_grad[1] else None, low, a, b, weight)
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of x, and of the factors unless buffers accumulate them."""
        own, low, a, b, weight = ctx.saved_tensors
        to_x, to_a, to_b = ctx.needs_input_grad[:3]
        devices = a.shape[0]
        # [devices, tokens, outputs]
        above = grad.reshape(devices, -1, grad.shape[-1])
        grad_x = grad_a = grad_b = None
        if to_b:
            grad_b = _gradient(low, above, b, ctx.buffers and ctx.buffers[1])
        merges = weight is not None and _merges(above, weight)
        if to_a or (to_x and not merges):
            # [devices, tokens, rank]
            below = torch.bmm(above, b.to(grad.dtype).transpose(1, 2)).mul_(ctx.scale)
        if to_a:
            grad_a = _gradient(below, own, a, ctx.buffers and ctx.buffers[0])
        if to_x and merges:
            grad_x = _merged_product(above, weight.T, b, a, ctx.scale, None)
        elif to_x:
            frozen = None if weight is None else _product(above, weight.T, None)
            grad_x = _with_low_rank(frozen, below, a.to(grad.dtype))
        if grad_x is not None:
            grad_x = grad_x.view(*grad.shape[:-1], -1)
        return grad_x, grad_a, grad_b, None, None, None, None


def _merges(rows: torch.Tensor, weight: torch.Tensor) -> bool:
    """Return whether one device's low-rank product is added to the weight, not to its many rows.

    In half precision, small increments of the weight would be rounded away.
    """
    alone = rows.shape[0] == 1 and rows.shape[1] >= _MERGED_TOKENS
    return alone and weight.dtype == torch.float32


def _merged_product(
    rows: torch.Tensor,
    weight: torch.Tensor,
    down: torch.Tensor,
    up: torch.Tensor,
    scale: float | torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """Return one device's rows times weight + scale down^T up, (1, tokens, width)."""
    low_rank = torch.mm(down[0].T, up[0] * scale)
    return _product(rows, low_rank.add_(weight), bias)


def _product(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return rows times a weight that is common to all devices, (devices, tokens, width)."""
    flat = rows.flatten(0, 1)
    y = flat @ weight if bias is None else torch.addmm(bias, flat, weight)
    return y.view(*rows.shape[:2], -1)


def _with_low_rank(
    frozen: torch.Tensor | None, low: torch.Tensor, factor: torch.Tensor
) -> torch.Tensor:
    """Return low times factor, (devices, tokens, width), added in place to the frozen product."""
    if frozen is None:
        return torch.bmm(low, factor)
    return frozen.baddbmm_(low, factor)


def _gradient(
    left: torch.Tensor, right: torch.Tensor, factor: torch.Tensor, buffer: GradientBuffer | None
) -> torch.Tensor | None:
    """Return left^T right in the dtype of a factor; None if a buffer accumulates it."""
    gradient = torch.bmm(left.transpose(1, 2), right)
    if buffer is None:
        return gradient.to(factor.dtype)
    buffer.add(gradient)
    return None
