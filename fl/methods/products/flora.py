"""FLoRA: stacked factors, whose product is the mean of the products, exactly.

Sources: Wang et al., "FLoRA: federated fine-tuning large language models with heterogeneous
low-rank adaptations", NeurIPS 2024: the server stacks [p_i B_i] and [A_i], sends the stack of n r
ranks, n times a client's message, to all clients, which add its product to the frozen weight and
start anew. Ours: all clients have one rank; the sum of all products is kept as further, frozen
ranks of the adapter, truncated to `residual_rank` by an SVD of thin factors; a client that has
missed a stack is sent this sum too; the new A is drawn from a seed that all share; the moments of
the optimizer are kept. An emulated server sends the stack of all clients of a round, even of those
whose updates have not arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...adapters import Adapter, Layer
from ...adapters.adapter import draw_a, shape_only
from ...aggregation.products import shares_of
from ...config import Flora
from ...engine.streams import key
from ...updates.codec import Tensors, Update
from .residual import ResidualMethod


class FloraMethod(ResidualMethod):
    """LoRA with stacked factors; see `Method` and `extensions`."""

    sizes_vary = True

    def __init__(self, config: Flora) -> None:
        super().__init__(config)
        self._seed, self._devices = 0, 1
        # What was served last, and the sum up to it: each client asks for the same one.
        self._last: tuple[Update, tuple[Tensors, Tensors]] | None = None

    def start_run(self, seed: int, devices: int) -> None:
        """Keep the seed of the run, and the number of clients in an average."""
        self._seed, self._devices = seed, devices

    def aggregate_clients(
        self, previous: Update, updates: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Return the stack, and the sum of all products before it."""
        b, a = stacked(updates, weights)
        before = self.total(previous)
        return Update(previous.device, updates[0].round, b, a=a, extra=(*before[0], *before[1]))

    def total(self, served: Update) -> tuple[Tensors, Tensors]:
        """Return the factors of the sum of all products, up to a stack that was served."""
        a = served.a or ()
        if served.extra is None:
            # The first one follows on the initial adapter, which changes nothing.
            return self.no_residual(served.b, a)
        if self._last is not None and _are_equal(self._last[0], served):
            return self._last[1]
        layers = len(served.b)
        total = self.truncated((served.extra[:layers], served.extra[layers:]), (served.b, a))
        self._last = served, total
        return total

    def tailored(
        self, average: Update, device: int, round_: int | None, is_current: bool
    ) -> Update:
        """Return the stack; with the sum before for a client that has missed one."""
        return replace(average, extra=None) if is_current and round_ is not None else average

    def tailored_shapes(
        self, layers: Sequence[Layer], device: int, round_: int, is_current: bool
    ) -> Update:
        """Return a stack of all devices, all zero, and the sum before likewise."""
        stack = shape_only(layers, [self._devices * self.rank] * len(layers))
        sum_before = shape_only(layers, [self.fixed_ranks] * len(layers))
        extra = None if is_current else (*sum_before.b, *sum_before.a)
        return Update(0, 0, stack.b, a=stack.a, extra=extra)

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return a stack of all devices, all zero."""
        return self.tailored_shapes(layers, 0, 1, True)

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return a new adapter beside the sum of all products."""
        residual = self.total(average)
        layers = [Layer("", a.shape[1], b.shape[0]) for a, b in zip(own.a, own.b, strict=True)]
        a = draw_a(layers, self.rank, "kaiming", key(self._seed, "flora a", average.round))
        b = tuple(torch.zeros(layer.outputs, self.rank) for layer in layers)
        return self.with_residual(replace(own, a=a, b=b), *residual)


def stacked(updates: Sequence[Update], weights: Sequence[float]) -> tuple[Tensors, Tensors]:
    """Return the factors [p_i B_i] and [A_i] of the weighted mean of products, per layer."""
    shares = shares_of(weights)
    b = [
        torch.cat([share * each for share, each in zip(shares, of_layer, strict=True)], 1)
        for of_layer in zip(*(update.b for update in updates), strict=True)
    ]
    a = [
        torch.cat(of_layer)
        for of_layer in zip(*(update.a or () for update in updates), strict=True)
    ]
    return tuple(b), tuple(a)


def _are_equal(one: Update, other: Update) -> bool:
    """Return whether two served updates have the same values."""
    mine, theirs = ((*each.b, *(each.a or ()), *(each.extra or ())) for each in (one, other))
    return len(mine) == len(theirs) and all(map(torch.equal, mine, theirs))
