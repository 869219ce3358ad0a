"""Wrapper of one linear layer of the shared model, to which adapters are attached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .fused_linear import FusedLinear, GradientBuffers

Scale = float | torch.Tensor
Gate = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps x and low = x A^T to the gated components that multiply B^T, of the shape of low."""


def is_transposed(module: nn.Module) -> bool:
    """Return whether a module is GPT-2's Conv1D, whose weight is (inputs, outputs)."""
    return type(module).__name__ == "Conv1D"


def is_linear(module: nn.Module) -> bool:
    """Return whether a module takes adapters: any kind of `nn.Linear`, or Conv1D."""
    return isinstance(module, nn.Linear) or is_transposed(module)


def parameter_count(model: nn.Module) -> int:
    """Return the number of parameters; quantized weights pack several into one stored number."""
    stored = sum(parameter.numel() for parameter in model.parameters())
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    sizes = {id(one.weight): one.in_features * one.out_features for one in linear}
    stored_linear = {id(one.weight): one.weight.numel() for one in linear}
    return stored + sum(sizes.values()) - sum(stored_linear.values())


def gated_low_rank(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, gate: Gate) -> torch.Tensor:
    """Return the low-rank path with a gate between the factors, (examples, tokens, outputs).

    Parameters
    ----------
    x : (examples, tokens, inputs)
    a, b : (1, rank, inputs), and (1, rank, outputs)
    gate : called with x and its product with A^T
    """
    return gate(x, x @ a[0].T.to(x.dtype)) @ b[0].to(x.dtype)


class AdaptedLinear(nn.Module):
    """A frozen linear layer to which adapters can be attached.

    It runs in one of four modes: as the bare frozen layer; with the adapters of N devices
    stacked, where a batch holds the examples of device 0, then of device 1, ...; with the adapter
    of a single device merged into its weight; or with one pair of factors for all examples, and a
    gate between them.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base: Any = base
        # Subclasses of Linear may store their weight in other ways, or multiply differently.
        self.is_plain = is_transposed(base) or type(base).forward is nn.Linear.forward
        if not self.is_plain:
            # In evaluation mode, bitsandbytes repacks weights on CPUs, for inference only.
            base.train()
        self.a: torch.Tensor | None = None
        self.b: torch.Tensor | None = None
        self.scale: Scale = 1.0
        self.gradient_buffers: GradientBuffers | None = None
        self.gate: Gate | None = None
        self.merged: torch.Tensor | None = None
        self.recorded: list[torch.Tensor] | None = None

    @property
    def weight(self) -> torch.Tensor:
        """The weight as the model stores it; models read its dtype and device."""
        weight: torch.Tensor = self.base.weight
        return weight

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias as the model stores it."""
        bias: torch.Tensor | None = self.base.bias
        return bias

    def shape(self) -> tuple[int, int]:
        """Return inputs and outputs of the layer."""
        if is_transposed(self.base):
            rows, columns = self.base.weight.shape
            return rows, columns
        return self.base.in_features, self.base.out_features

    def frozen_weight(self) -> torch.Tensor:
        """Return the frozen weight, (outputs, inputs)."""
        state = getattr(self.base.weight, "quant_state", None)
        if state is not None:
            from bitsandbytes.functional import dequantize_4bit

            dense: torch.Tensor = dequantize_4bit(self.base.weight.data, state)
            return dense
        return self.weight.T if is_transposed(self.base) else self.weight

    def merge(self, a: torch.Tensor, b: torch.Tensor, scale: float) -> None:
        """Merge one device's factors, (rank, inputs) and (outputs, rank), into the weight."""
        a, b = a.to(self.weight.device), b.to(self.weight.device)
        # In half precision, small increments of the weight would be rounded away.
        if self.is_plain and self.weight.dtype == torch.float32:
            self.merged = torch.addmm(self.frozen_weight(), b, a, alpha=scale)
        else:
            self.a, self.b, self.scale = a[None], b.T[None], scale

    def mix(self, a: torch.Tensor, b: torch.Tensor, gate: Gate) -> None:
        """Attach one pair of factors for all examples, with a gate between them.

        Parameters
        ----------
        a : (rank, inputs)
        b : (rank, outputs), the transpose of B with its scale
        gate : called for every batch
        """
        if len(a):
            self.a, self.b, self.gate = a[None], b[None], gate

    def detach_adapters(self) -> None:
        """Return to the bare frozen layer."""
        self.a = self.b = self.gradient_buffers = self.gate = self.merged = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer to a device-major batch, (devices * batch, ..., inputs)."""
        if self.recorded is not None:
            self.recorded.append(x.detach())
        if self.merged is not None:
            return nn.functional.linear(x, self.merged, self.bias)
        if self.a is None or self.b is None:
            bare: torch.Tensor = self.base(x)
            return bare
        if self.gate is not None:
            gated: torch.Tensor = self.base(x) + gated_low_rank(x, self.a, self.b, self.gate)
            return gated
        if x.shape[0] % self.a.shape[0]:
            raise ValueError(
                "a batch must hold equally many sequences of each device, "
                f"got {x.shape[0]} for {self.a.shape[0]} devices"
            )
        if self.is_plain:
            weight = self.weight if is_transposed(self.base) else self.weight.T
            return self._fused(x, weight, self.bias)
        total: torch.Tensor = self.base(x) + self._fused(x, None, None)
        return total

    def _fused(
        self, x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None
    ) -> torch.Tensor:
        factors = (self.a, self.b, self.scale)
        y: torch.Tensor = FusedLinear.apply(  # type: ignore[no-untyped-call]
            x, *factors, weight, bias, self.gradient_buffers
        )
        return y
