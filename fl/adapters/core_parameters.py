"""Flat parameters of adapters with a core: R of every layer is trained, between frozen factors.

A layer adds scale * (basis R) A. Its rows hold R^T; B^T = R^T basis^T is computed before each step,
and the gradient of R^T is that of B^T times the basis, so that layers see ordinary factors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from .adapter import Adapter
from .flat_parameters import FlatParameters
from .fused_linear import GradientBuffers


class CoreParameters(FlatParameters):
    """Cores of several devices, one row each; see `FlatParameters`.

    Parameters
    ----------
    adapters : all with a core, and of one rank
    device : torch device of the rows
    """

    def __init__(self, adapters: Sequence[Adapter], device: torch.device) -> None:
        super().__init__(adapters, device, "b")
        # B^T of every device, and its gradient.
        self._b_rows = self.trained
        self._b_gradients = torch.zeros_like(self._b_rows)
        self._cores = [adapter.core or () for adapter in adapters]
        bases = [adapter.basis or () for adapter in adapters]
        # Per layer [devices, rank, outputs]
        self._bases = [torch.stack([b.T for b in of]).to(device) for of in zip(*bases, strict=True)]
        flat = [torch.cat([core.T.flatten() for core in cores]) for cores in self._cores]
        self.trained = torch.stack(flat).to(device)
        self.refresh(len(adapters))

    @property
    def any_padded(self) -> bool:
        """False: all devices have one rank."""
        return False

    @property
    def has_round_masks(self) -> bool:
        """False: every entry of a core is trained."""
        return False

    @property
    def mask(self) -> None:
        """None: every entry of a core is trained."""
        return

    def factors(self, count: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return A and B^T per layer of the first devices."""
        b = [view.detach().requires_grad_() for view in self._b(self._b_rows[:count])]
        return self._frozen_a_views(count), b

    def refresh(self, count: int) -> None:
        """Compute B^T of the first devices from their cores, in place."""
        cores = self._core_views(self.trained[:count])
        parts = zip(self._b(self._b_rows[:count]), cores, self._bases, strict=True)
        for b, core, basis in parts:
            torch.bmm(core, basis[:count], out=b)

    def collect(self, gradients: torch.Tensor) -> None:
        """Compute the gradients of the cores from those of B^T, in place."""
        count = len(gradients)
        parts = zip(
            self._core_views(gradients),
            self._b(self._b_gradients[:count]),
            self._bases,
            strict=True,
        )
        for core, b, basis in parts:
            core.copy_(torch.bmm(b, basis[:count].transpose(1, 2)))

    def gradient_buffers(self, gradients: torch.Tensor) -> list[GradientBuffers]:
        """Return buffers per layer of the gradients of B^T."""
        return super().gradient_buffers(self._b_gradients[: len(gradients)])

    def adapters(self) -> list[Adapter]:
        """Return copies of the current adapters in main memory."""
        made = []
        views = self._core_views(self.trained.cpu())
        for index, start in enumerate(self._adapters):
            made.append(with_core(start, tuple(view[index].T.contiguous() for view in views)))
        return made

    def entries(self, index: int) -> slice:
        """Return all entries of a device's row."""
        return slice(None)

    def _core_views(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Return R^T per layer, (devices, rank, rank), views of rows."""
        return self._views(rows, self._ranks)


def with_core(adapter: Adapter, core: tuple[torch.Tensor, ...]) -> Adapter:
    """Return an adapter with another core, and the B that follows from it."""
    b = tuple(basis @ one for basis, one in zip(adapter.basis or (), core, strict=True))
    return dataclasses.replace(adapter, core=core, b=b)
