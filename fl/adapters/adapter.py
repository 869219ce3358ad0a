"""What a device learns: low-rank factors for each adapted linear layer of the shared model."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Layer:
    """An adapted linear layer.

    Parameters
    ----------
    name : of the module in the model
    inputs, outputs : widths k and d of its weight, whichever way round the model stores it
    """

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """A device's adapter: layer l adds scale * B_l A_l to the frozen weight.

    Parameters
    ----------
    a : per layer (rank, inputs)
    b : per layer (outputs, rank)
    scale : alpha / rank
    mask : per layer (outputs, rank), the entries of B that this device trains; None for all
    train_a : whether A is trained
    a_seed : seed from which a frozen A was drawn
    """

    a: tuple[torch.Tensor, ...]
    b: tuple[torch.Tensor, ...]
    scale: float
    mask: tuple[torch.Tensor, ...] | None = None
    train_a: bool = True
    a_seed: int = 0

    @property
    def rank(self) -> int:
        """Rank of the factors."""
        return self.a[0].shape[0]

    def delta_weight(self, layer: int) -> torch.Tensor:
        """Return what the adapter adds to the weight of a layer, (outputs, inputs)."""
        return self.scale * (self.b[layer] @ self.a[layer])

    def is_zero(self) -> bool:
        """Whether the adapter changes nothing yet."""
        return not any(bool(b.any()) for b in self.b)
