"""Flat parameters: adapters of several devices as rows of one matrix, with a view per factor.

A row holds B^T of every layer if it is trained, then A of every layer if it is trained. Devices may
differ in rank: rows are padded with zeros to the largest rank, and the padding stays zero because
the gradient of each factor is a product with the zeros of the other one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import torch

from .adapter import Adapter
from .fused_linear import GradientBuffer, GradientBuffers
from .linear import Scale

Trained = Literal["ab", "a", "b"]
"""Factors that are trained: both, or one of them."""


class FlatParameters:
    """Adapters of several devices, one row each.

    Parameters
    ----------
    adapters : all with A trained, or all with A frozen
    device : torch device of the rows
    trains : the factors that are trained; None for B, and A if the adapters train it

    Attributes
    ----------
    trained : (devices, entries) the trained parameters
    is_dense : whether A is the identity, which is not stored
    """

    def __init__(
        self, adapters: Sequence[Adapter], device: torch.device, trains: Trained | None = None
    ) -> None:
        first = adapters[0]
        self._adapters = adapters
        self.is_dense = first.dense
        trains = trains or ("ab" if first.train_a else "b")
        self._trains_a, self._trains_b = "a" in trains, "b" in trains
        each = [[a.shape[0] for a in adapter.a] for adapter in adapters]
        self._ranks = [max(of_layer) for of_layer in zip(*each, strict=True)]
        self._is_padded = [ranks != self._ranks for ranks in each]
        self._inputs = [a.shape[1] for a in first.a]
        self._outputs = [b.shape[0] for b in first.b]
        b_size = sum(r * n for r, n in zip(self._ranks, self._outputs, strict=True))
        a_size = sum(r * n for r, n in zip(self._ranks, self._inputs, strict=True))
        a_size = 0 if self.is_dense else a_size
        self._b_size = b_size if self._trains_b else 0
        width = self._b_size + (a_size if self._trains_a else 0)
        self._device = device
        self.trained = torch.zeros(len(adapters), width, device=device)
        self._frozen_a = torch.zeros(len(adapters), 0 if self._trains_a else a_size, device=device)
        self._frozen_b = torch.zeros(len(adapters), 0 if self._trains_b else b_size, device=device)
        b = self._b(self.trained) if self._trains_b else self._views(self._frozen_b, self._outputs)
        self._fill(b, [adapter.b for adapter in adapters], transpose=True)
        if not self.is_dense:
            a = self._a(self.trained) if self._trains_a else self._frozen_a_views(len(adapters))
            self._fill(a, [adapter.a for adapter in adapters])

    @property
    def any_padded(self) -> bool:
        """Whether devices differ in rank."""
        return any(self._is_padded)

    @property
    def has_round_masks(self) -> bool:
        """Whether masks are those of a round, so that inactive entries may have moments."""
        return any(each.mask_a is not None for each in self._adapters)

    @cached_property
    def mask(self) -> torch.Tensor | None:
        """1 for each entry that is trained and 0 for each that is not; None if all are trained."""
        if not self.has_round_masks and all(
            each.mask is None and not each.fixed_ranks for each in self._adapters
        ):
            return None
        mask = torch.ones_like(self.trained)
        if self._trains_b:
            masks = [adapter.mask or _ones(adapter.b) for adapter in self._adapters]
            self._fill(self._b(mask), masks, transpose=True)
        if self._trains_a and self.has_round_masks:
            masks = [adapter.mask_a or _ones(adapter.a) for adapter in self._adapters]
            self._fill(self._a(mask), masks)
        for view in (*self._b(mask), *self._a(mask)):
            for row, adapter in zip(view, self._adapters, strict=True):
                row[view.shape[1] - adapter.fixed_ranks :] = 0.0
        return mask

    def factors(self, count: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return A and B^T per layer of the first devices; trained factors are autograd leaves."""
        rows = self.trained[:count]
        b = [view.detach().requires_grad_() for view in self._b(rows)]
        if not self._trains_b:
            b = self._views(self._frozen_b[:count], self._outputs)
        if not self._trains_a:
            return self._frozen_a_views(count), b
        return [view.detach().requires_grad_() for view in self._a(rows)], b

    @property
    def frozen(self) -> torch.Tensor:
        """The factor that is not trained, (devices, entries); no entries if there is none."""
        return self._frozen_b if self._trains_a else self._frozen_a

    def split(
        self, trained: torch.Tensor, frozen: torch.Tensor
    ) -> tuple[list[torch.Tensor] | None, list[torch.Tensor]]:
        """Return A, None for the identity, and B^T per layer, as views of rows.

        Parameters
        ----------
        trained, frozen : (devices, entries) rows as in `trained` and `frozen`, of any devices
        """
        b = self._b(trained) if self._trains_b else self._views(frozen, self._outputs)
        if self.is_dense:
            return None, b
        return self._a(trained) if self._trains_a else self._views(frozen, self._inputs), b

    def refresh(self, count: int) -> None:
        """Update what `factors` returned for the first devices: nothing, they are views."""

    def collect(self, gradients: torch.Tensor) -> None:
        """Complete the gradients of the first devices from the buffers: nothing is missing."""

    def gradient_buffers(self, gradients: torch.Tensor) -> list[GradientBuffers]:
        """Return buffers per layer, views of a matrix of gradients shaped like `trained`."""
        none = [None] * len(self._ranks)
        b = map(GradientBuffer, self._b(gradients)) if self._trains_b else none
        a = map(GradientBuffer, self._a(gradients)) if self._trains_a else none
        return list(zip(a, b, strict=True))

    def scales(self, count: int) -> list[Scale]:
        """Return alpha / rank of the first devices per layer: one number if all are equal."""
        scales: list[Scale] = []
        for layer in range(len(self._ranks)):
            each = [adapter.scale_at(layer) for adapter in self._adapters[:count]]
            same = len(set(each)) == 1
            scales.append(
                each[0] if same else torch.tensor(each, device=self._device)[:, None, None]
            )
        return scales

    def adapters(self) -> list[Adapter]:
        """Return copies of the current adapters in main memory."""
        rows = self.trained.cpu()
        b_views, a_views = self._b(rows), self._a(rows)
        if not self._trains_b:
            return self._adapters_of_a(a_views)
        # One allocation per device: adapters of one batch have different lifetimes.
        b_rows = torch.cat([view.transpose(1, 2).flatten(1) for view in b_views], dim=1)
        made = []
        for index, start in enumerate(self._adapters):
            if self._is_padded[index]:
                b = tuple(
                    view[index, : own.shape[1]].T.contiguous()
                    for view, own in zip(b_views, start.b, strict=True)
                )
                a = tuple(
                    view[index, : len(own)].clone()
                    for view, own in zip(a_views, start.a, strict=False)
                )
            else:
                b = _split_like(b_rows[index].clone(), start.b)
                a = _split_like(rows[index, self._b_size :].clone(), start.a) if a_views else ()
            made.append(dataclasses.replace(start, a=a or start.a, b=b))
        return made

    def _adapters_of_a(self, a_views: Sequence[torch.Tensor]) -> list[Adapter]:
        """Return copies of the current adapters, of which only A is trained."""
        made = []
        for index, start in enumerate(self._adapters):
            a = tuple(
                view[index, : len(own)].clone() for view, own in zip(a_views, start.a, strict=True)
            )
            made.append(dataclasses.replace(start, a=a))
        return made

    def entries(self, index: int) -> torch.Tensor | slice:
        """Return the entries of a device's row that are not padding."""
        if not self._is_padded[index]:
            return slice(None)
        row = torch.zeros(1, self.trained.shape[1], dtype=torch.bool, device=self._device)
        own = self._adapters[index]
        for views in (self._b(row), self._a(row)):
            for view, a in zip(views, own.a, strict=False):
                view[:, : len(a)] = True
        return row[0]

    def _b(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Return B^T of every layer, views of rows of trained parameters; none if it is frozen."""
        return self._views(rows[:, : self._b_size], self._outputs) if self._trains_b else []

    def _a(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Return A of every layer, views of rows of trained parameters; none if it is frozen."""
        return self._views(rows[:, self._b_size :], self._inputs) if self._trains_a else []

    def _frozen_a_views(self, count: int) -> list[torch.Tensor]:
        """Return the frozen A of the first devices per layer; an identity is one for all."""
        if self.is_dense:
            eyes = (torch.eye(rank, device=self._device) for rank in self._ranks)
            return [eye.expand(count, *eye.shape) for eye in eyes]
        return self._views(self._frozen_a[:count], self._inputs)

    def _views(self, rows: torch.Tensor, widths: Sequence[int]) -> list[torch.Tensor]:
        """Return views of rows per layer, (devices, rank, width)."""
        shapes = list(zip(self._ranks, widths, strict=True))
        parts = rows.split([rank * width for rank, width in shapes], dim=1)
        return [
            part.view(len(rows), rank, width)
            for part, (rank, width) in zip(parts, shapes, strict=True)
        ]

    def _fill(
        self,
        views: Sequence[torch.Tensor],
        factors: Sequence[Sequence[torch.Tensor]],
        transpose: bool = False,
    ) -> None:
        """Copy factors, per device and layer, into views, per layer."""
        for view, of_layer in zip(views, zip(*factors, strict=True), strict=True):
            if self.any_padded:
                for row, factor in zip(view, of_layer, strict=True):
                    own = factor.T if transpose else factor
                    row[: len(own)] = own
            else:
                together = torch.stack(of_layer)
                view.copy_(together.transpose(1, 2) if transpose else together)


def _ones(factors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.ones_like(factor, dtype=torch.bool) for factor in factors)


def _split_like(row: torch.Tensor, like: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return a row split into tensors of the given shapes."""
    parts = row.split([one.numel() for one in like])
    return tuple(part.view(one.shape) for part, one in zip(parts, like, strict=True))
