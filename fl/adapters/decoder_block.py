"""One block of a decoder: attention and gated MLP, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from .attention_grid import AttentionGrid
from .linear import AdaptedLinear
from .norm import FrozenRmsNorm, rms_norm, rms_norm_gradient
from .siblings import Gradients, Siblings


class BlockState(NamedTuple):
    """What the backward pass of a block needs; inputs of layers are there if A is trained.

    Parameters
    ----------
    x, inverse : input (tokens, width), and 1 / rms of its tokens
    normal, low : input of the first layers, and their low-rank activations
    q, k, v, weights : heads and weights of attention, in its grid
    seen, low_output : output of attention, of the chosen tokens in the last block
    middle, inverse_middle : input of the MLP, and 1 / rms
    normal_middle, low_gate : input of gate and up, and their low-rank activations
    active, up, opening : z s(z) and s(z) of the gate z, and the output of up
    product, low_down : input of the last layer, and its low-rank activations
    """

    x: torch.Tensor
    inverse: torch.Tensor
    normal: torch.Tensor | None
    low: torch.Tensor | None
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    weights: torch.Tensor
    seen: torch.Tensor | None
    low_output: torch.Tensor | None
    middle: torch.Tensor
    inverse_middle: torch.Tensor
    normal_middle: torch.Tensor | None
    low_gate: torch.Tensor | None
    active: torch.Tensor
    up: torch.Tensor
    opening: torch.Tensor
    product: torch.Tensor | None
    low_down: torch.Tensor | None


class Block:
    """A block.

    Parameters
    ----------
    layer : the library's block, whose linear modules may be wrapped
    norms : its norms before attention and before the MLP
    first, last : whether this is the first block, and the last one
    """

    def __init__(
        self, layer: Any, norms: tuple[FrozenRmsNorm, FrozenRmsNorm], first: bool, last: bool
    ) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._first, self._last = first, last
        self._norms = norms
        self._heads = Siblings([attention.q_proj, attention.k_proj, attention.v_proj])
        self._output = Siblings([attention.o_proj])
        self._gate_up = Siblings([mlp.gate_proj, mlp.up_proj])
        self._down = Siblings([mlp.down_proj])

    def modules(self) -> Iterator[AdaptedLinear]:
        """Yield the wrapped modules."""
        for siblings in (self._heads, self._output, self._gate_up, self._down):
            yield from siblings.adapted

    def forward(
        self, x: torch.Tensor, grid: AttentionGrid, inputs: dict[int, torch.Tensor] | None
    ) -> tuple[torch.Tensor, BlockState]:
        """Return the block's output, of the chosen tokens only in the last block.

        Parameters
        ----------
        x : (tokens, width) input
        grid : grid of attention
        inputs : takes the input of each wrapped module by its id; None to discard them
        """
        devices = grid.layout.devices
        before, between = self._norms
        normal, inverse = rms_norm(x, before.weight, before.epsilon)
        # What enters the first block are embeddings, so that equal tokens have equal products.
        of_distinct = grid.layout.of_distinct if self._first else None
        (q, k, v), low = self._heads.forward(normal, devices, of_distinct)
        q, k, v = grid.enter(grid.turn(q)), grid.enter(grid.turn(k)), grid.enter(v)
        weights = grid.scores(q, k).softmax(-1)
        seen = grid.leave(torch.bmm(weights, v), self._last)
        (middle,), low_output = self._output.forward(seen, devices)
        middle += x.index_select(0, grid.layout.chosen) if self._last else x
        normal_middle, inverse_middle = rms_norm(middle, between.weight, between.epsilon)
        (gate, up), low_gate = self._gate_up.forward(normal_middle, devices)
        opening = torch.sigmoid(gate)
        active = gate.mul_(opening)
        product = active * up
        (y,), low_down = self._down.forward(product, devices)
        y += middle
        if inputs is not None:
            entering = (
                (self._heads, normal),
                (self._output, seen),
                (self._gate_up, normal_middle),
                (self._down, product),
            )
            for siblings, each in entering:
                inputs.update((id(module), each) for module in siblings.adapted)
        state = BlockState(
            x, inverse, self._heads.needed(normal), low, q, k, v, weights,
            self._output.needed(seen), low_output, middle, inverse_middle,
            self._gate_up.needed(normal_middle), low_gate, active, up, opening,
            self._down.needed(product), low_down,
        )  # fmt: skip
        return y, state

    def backward(
        self, above: torch.Tensor, state: BlockState, grid: AttentionGrid, gradients: Gradients
    ) -> torch.Tensor:
        """Accumulate the gradients of the factors; return that of the block's input.

        Parameters
        ----------
        above : gradient of the output, which is changed
        state, grid : as in the forward pass
        gradients : of the factors
        """
        devices = grid.layout.devices
        (of_product,) = self._down.backward(
            [above], state.product, state.low_down, devices, gradients
        )
        of_up = of_product * state.active
        # The derivative of z s(z) is s(z) + z s(z) (1 - s(z)).
        slope = torch.addcmul(state.opening, state.active, 1.0 - state.opening)
        of_gate = slope.mul_(of_product.mul_(state.up))
        (of_middle,) = self._gate_up.backward(
            [of_gate, of_up], state.normal_middle, state.low_gate, devices, gradients
        )
        before, between = self._norms
        of_middle *= between.weight
        rms_norm_gradient(of_middle, state.middle, state.inverse_middle, above)
        (of_seen,) = self._output.backward(
            [above], state.seen, state.low_output, devices, gradients
        )
        of_heads = self._attention_backward(grid.leave_gradient(of_seen, self._last), state, grid)
        of_input = self._heads.backward(
            of_heads, state.normal, state.low, devices, gradients, to_input=not self._first
        )
        if self._first:
            # Nothing below is trained.
            return above
        if self._last:
            above = torch.zeros_like(state.x).index_add_(0, grid.layout.chosen, above)
        rms_norm_gradient(of_input[0].mul_(before.weight), state.x, state.inverse, above)
        return above

    def _attention_backward(
        self, of_seen: torch.Tensor, state: BlockState, grid: AttentionGrid
    ) -> list[torch.Tensor]:
        """Return the gradients of queries, keys and values, (tokens, heads * width) each."""
        of_v = torch.bmm(state.weights.transpose(1, 2), of_seen)
        of_weights = torch.bmm(of_seen, state.v.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, state.weights, -1, of_weights.dtype)
        of_q = torch.bmm(of_scores, state.k).mul_(grid.scale)
        of_k = torch.bmm(of_scores.transpose(1, 2), state.q).mul_(grid.scale)
        return [
            grid.turn_back(grid.enter_gradient(of_q)),
            grid.turn_back(grid.enter_gradient(of_k)),
            grid.enter_gradient(of_v),
        ]
