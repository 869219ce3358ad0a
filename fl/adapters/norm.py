"""RMSNorm with a frozen weight as one autograd op.

y = w x / rms(x). The separate operations of the libraries make about three times as many passes
over the activations, which on a CPU is a substantial part of a small model's training time.

Sources: Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable


def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the normalized x (..., width), and 1 / rms, (..., 1)."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    inverse = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
    return (x * inverse).mul_(weight), inverse


def rms_norm_gradient(
    grad: torch.Tensor, x: torch.Tensor, inverse: torch.Tensor, total: torch.Tensor
) -> None:
    """Add the gradient of x to a total, in place.

    Parameters
    ----------
    grad : gradient of the output times the weight, (..., width)
    x, inverse : input, and 1 / rms
    total : (..., width)
    """
    along = (grad * x).sum(-1, keepdim=True)
    along.mul_(inverse).mul_(inverse).mul_(inverse).div_(-x.shape[-1])
    total.addcmul_(grad, inverse).addcmul_(x, along)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        y, inverse = rms_norm(x, weight, epsilon)
        ctx.save_for_backward(x, weight, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        x, weight, inverse = ctx.saved_tensors
        grad_x = torch.zeros_like(x)
        rms_norm_gradient(grad * weight, x, inverse, grad_x)
        return grad_x, None, None


class FrozenRmsNorm(nn.Module):
    """RMSNorm with a frozen weight.

    Parameters
    ----------
    weight : (width,) factor of the normalized input
    epsilon : added to the mean square
    """

    def __init__(self, weight: torch.Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize the last dimension."""
        y: torch.Tensor = _RmsNorm.apply(x, self.weight, self.epsilon)  # type: ignore[no-untyped-call]
        return y


def replace_norms(model: nn.Module) -> None:
    """Replace every equivalent float32 RMSNorm of a model by `FrozenRmsNorm`."""
    for name, module in list(model.named_modules()):
        frozen = _equivalent(module) if type(module).__name__.endswith("RMSNorm") else None
        if frozen is not None:
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, frozen)


def frozen_norm(module: nn.Module) -> FrozenRmsNorm | None:
    """Return a norm, or its equivalent in float32 if it is another RMSNorm; None if it is none."""
    if isinstance(module, FrozenRmsNorm):
        return module
    if not type(module).__name__.endswith("RMSNorm"):
        return None
    return _equivalent(deepcopy(module).float())


@torch.no_grad()
def _equivalent(module: nn.Module) -> FrozenRmsNorm | None:
    """Return the equivalent of a library's norm, tested on probe inputs; None if there is none."""
    weight = getattr(module, "weight", None)
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if (
        not isinstance(weight, torch.Tensor)
        or not isinstance(epsilon, float)
        or weight.dtype != torch.float32
        or weight.requires_grad
        or weight.is_meta
    ):
        return None
    # Epsilon has an effect on inputs of about the size of its square root.
    probe = torch.linspace(-1.0, 2.0, weight.numel(), device=weight.device)
    probes = torch.stack([probe, probe * epsilon**0.5])
    expected = module(probes)
    # Gemma stores weights w of factors 1 + w.
    for candidate in (weight, 1.0 + weight):
        frozen = FrozenRmsNorm(candidate.detach(), epsilon)
        if torch.allclose(frozen(probes), expected, rtol=1e-5, atol=1e-6):
            return frozen
    return None
