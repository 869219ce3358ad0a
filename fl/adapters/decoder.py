"""Decoders of the Llama family, with adapters of many devices, in hand-written passes on a CPU.

The layers are those of the library's model and share its weights. In contrast to its forward pass,
padding and the last token of a text are left out, the last block runs on the tokens from which
answers are predicted, the factors A of layers with a common input are one product, and autograd
sees one operation for all blocks. With weights in bfloat16, products with them are in bfloat16, and
everything else in float32.

Sources: Touvron et al., "LLaMA: open and efficient foundation language models", 2023; grouped
queries after Ainslie et al., EMNLP 2023.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .attention_grid import AttentionGrid
from .decoder_block import Block, BlockState
from .linear import AdaptedLinear, is_transposed
from .norm import FrozenRmsNorm, frozen_norm, rms_norm, rms_norm_gradient
from .siblings import Gradients
from .token_layout import TokenLayout

LONGEST = 128
"""Tokens of a text above which the library's blockwise attention is faster."""
MOST_PLACES = 512
"""Tokens of a text with several continuations, whose attention is a matrix with this many rows."""

_FREE_OF_LENGTH = ("default", "linear", "llama3")
_ACTIVATIONS = ("SiLU", "SiLUActivation")
_PROBE_TOKENS = 8
_DTYPES = (torch.float32, torch.bfloat16)
# Largest deviation from the logits of the library, over the largest logit.
_DEVIATION = 1e-4

Kept = tuple[list[BlockState], torch.Tensor, torch.Tensor]
"""States of the blocks, and the input of the last norm with its 1 / rms."""


class Decoder:
    """A decoder, from tokens to logits; see `find_decoder`.

    Parameters
    ----------
    model : the library's model without its output layer, whose linear modules may be wrapped
    head : its output layer
    """

    def __init__(self, model: Any, head: nn.Module) -> None:
        self._head = head
        last = len(model.layers) - 1
        self._blocks = [
            Block(layer, _norms(layer), index == 0, index == last)
            for index, layer in enumerate(model.layers)
        ]
        self._embedding: torch.Tensor = model.embed_tokens.weight
        self._norm = _norm(model.norm)
        self._heads: tuple[int, int] = (
            model.config.num_attention_heads,
            model.config.num_key_value_heads,
        )
        self._scale = float(model.layers[0].self_attn.scaling)
        angles = model.rotary_emb(self._embedding[None, :1].float(), torch.arange(LONGEST)[None])
        # [positions, 1, width of a head]
        self._cos, self._sin = (each[0][:, None].clone() for each in angles)

    def logits(self, layout: TokenLayout) -> torch.Tensor:
        """Return the logits of the answers of a layout, (answers, vocabulary)."""
        hidden = self._hidden(layout)
        logits: torch.Tensor = self._head(hidden.to(self._embedding.dtype))
        return logits.to(hidden.dtype)

    def _hidden(self, layout: TokenLayout) -> torch.Tensor:
        """Return the normalized hidden states of the chosen tokens, (answers, width)."""
        factors = self.factors()
        grid = self._grid(layout)
        if torch.is_grad_enabled() and any(factor.requires_grad for factor in factors):
            chosen: torch.Tensor = _Decoding.apply(self, grid, *factors)  # type: ignore[no-untyped-call]
        else:
            with torch.no_grad():
                chosen, _ = self.forward(grid, saves=False)
        return chosen if layout.kept is None else chosen.index_select(0, layout.kept)

    def factors(self) -> list[torch.Tensor]:
        """Return the attached factors of all modules."""
        return [
            factor
            for block in self._blocks
            for module in block.modules()
            for factor in (module.a, module.b)
            if factor is not None
        ]

    def inputs(self, layout: TokenLayout) -> dict[int, torch.Tensor]:
        """Return the input of each wrapped module, (tokens, inputs), by the module's id.

        Parameters
        ----------
        layout : of tokens that are all chosen
        """
        found: dict[int, torch.Tensor] = {}
        with torch.no_grad():
            self.forward(self._grid(layout), saves=False, inputs=found)
        return found

    def forward(
        self, grid: AttentionGrid, saves: bool, inputs: dict[int, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, Kept]:
        """Return the states of the chosen tokens, filled up, and what the backward pass needs.

        Parameters
        ----------
        grid : grid of attention
        saves : whether there is a backward pass
        inputs : takes the input of each wrapped module by its id; None to discard them
        """
        x = self._embedding.index_select(0, grid.layout.ids).float()
        states = []
        for block in self._blocks:
            x, state = block.forward(x, grid, inputs)
            if saves:
                states.append(state)
        y, inverse = rms_norm(x, self._norm.weight, self._norm.epsilon)
        return y, (states, x, inverse)

    def backward(
        self, grid: AttentionGrid, kept: Kept, grad: torch.Tensor, gradients: Gradients
    ) -> None:
        """Accumulate the gradients of all factors.

        Parameters
        ----------
        grid, kept : as in the forward pass
        grad : gradient of the states of the chosen tokens
        gradients : of the factors
        """
        states, x, inverse = kept
        above = torch.zeros_like(x)
        rms_norm_gradient(grad * self._norm.weight, x, inverse, above)
        for block in reversed(self._blocks):
            above = block.backward(above, states.pop(), grid, gradients)

    def _grid(self, layout: TokenLayout) -> AttentionGrid:
        cos = self._cos.index_select(0, layout.positions)
        sin = self._sin.index_select(0, layout.positions)
        return AttentionGrid(layout, *self._heads, cos, sin, self._scale)


class _Decoding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, decoder: Decoder, grid: AttentionGrid, *factors: torch.Tensor) -> Any:
        y, (states, x, inverse) = decoder.forward(grid, saves=True)
        ctx.decoder, ctx.grid, ctx.count = decoder, grid, len(factors)
        ctx.save_for_backward(x, inverse, *factors, *(one for state in states for one in state))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, inverse, *rest = ctx.saved_tensors
        factors, flat = rest[: ctx.count], rest[ctx.count :]
        attached = ctx.decoder.factors()
        if [one.data_ptr() for one in attached] != [one.data_ptr() for one in factors]:
            raise RuntimeError("the backward pass must run while its adapters are attached")
        width = len(BlockState._fields)
        states = [BlockState(*flat[i : i + width]) for i in range(0, len(flat), width)]
        gradients = Gradients()
        ctx.decoder.backward(ctx.grid, (states, x, inverse), grad, gradients)
        return None, None, *(gradients.of.get(id(one)) for one in attached)


def find_decoder(lm: Any, head: nn.Module | None) -> Decoder | None:
    """Return the decoder of a causal language model; None if it is not of this family.

    A model belongs to the family if it has its modules, and no parameters besides, and its logits
    are those of the decoder on a probe. A model in bfloat16 is probed by its first block in
    float32: the library's own logits in bfloat16 are no standard.

    Parameters
    ----------
    lm : the library's model, whose linear modules are wrapped and whose norms are replaced
    head : its output layer
    """
    model = getattr(lm, "model", None)
    if head is None or model is None or not _is_of_family(lm, model, head):
        return None
    probed = (lm, head) if lm.dtype == torch.float32 else _first_block(lm, head)
    return Decoder(model, head) if _is_right(*probed) else None


def _is_right(lm: Any, head: nn.Module) -> bool:
    """Return whether the decoder of a float32 model has the library's logits on a probe."""
    ids = torch.arange(_PROBE_TOKENS)[None] % lm.config.vocab_size
    layout = TokenLayout.of_rows(ids, torch.arange(_PROBE_TOKENS), 1)
    with torch.no_grad():
        expected = lm(input_ids=ids, use_cache=False).logits[0]
        found = Decoder(lm.model, head).logits(layout)
    bound = _DEVIATION * float(expected.abs().max())
    return torch.allclose(found, expected, rtol=0.0, atol=bound)


def _first_block(lm: Any, head: nn.Module) -> tuple[Any, nn.Module]:
    """Return a copy of a model and its output layer in float32, with its first block alone."""
    blocks = lm.model.layers
    lm.model.layers = blocks[:1]
    try:
        copy, head_of_copy = deepcopy((lm, head))
    finally:
        lm.model.layers = blocks
    return copy.float(), head_of_copy


def _is_of_family(lm: Any, model: Any, head: nn.Module) -> bool:
    """Return whether a model has the modules of the family, in one dtype on a CPU."""
    try:
        attentions = [layer.self_attn for layer in model.layers]
        mlps = [layer.mlp for layer in model.layers]
        layers = [getattr(each, f"{name}_proj") for each in attentions for name in "qkvo"]
        layers += [
            getattr(each, f"{name}_proj") for each in mlps for name in ("gate", "up", "down")
        ]
        norms = [layer.input_layernorm for layer in model.layers]
        norms += [layer.post_attention_layernorm for layer in model.layers]
        known = [*layers, *norms, model.norm, model.embed_tokens, head]
        activations = {type(each.act_fn).__name__ for each in mlps}
        rotation, width = model.rotary_emb.rope_type, 2 * len(model.rotary_emb.inv_freq)
        heads = model.config.num_attention_heads, model.config.num_key_value_heads
        outputs = {
            (each.q_proj.weight.shape[0], each.k_proj.weight.shape[0], each.scaling)
            for each in attentions
        }
    except (AttributeError, TypeError):
        return False
    owned = {id(parameter) for module in known for parameter in module.parameters()}
    parameters = list(lm.parameters())
    shapes = {(heads[0] * width, heads[1] * width)}
    return (
        all(frozen_norm(norm) is not None for norm in (*norms, model.norm))
        and all(_is_plain(layer) for layer in layers)
        and lm.dtype in _DTYPES
        and all(each.dtype == lm.dtype and each.device.type == "cpu" for each in parameters)
        and {id(each) for each in parameters} <= owned
        and {(q, k) for q, k, _ in outputs} == shapes
        and len(outputs) == 1
        and activations <= {*_ACTIVATIONS}
        and getattr(lm.config, "sliding_window", None) is None
        and rotation in _FREE_OF_LENGTH
    )


def _norm(module: nn.Module) -> FrozenRmsNorm:
    """Return a norm of the family in float32."""
    norm = frozen_norm(module)
    if norm is None:
        raise ValueError(f"{type(module).__name__} is no RMSNorm")
    return norm


def _norms(layer: Any) -> tuple[FrozenRmsNorm, FrozenRmsNorm]:
    """Return the norms of a block, before attention and before the MLP."""
    return _norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)


def _is_plain(layer: nn.Module) -> bool:
    """Return whether a layer is a product with its weight, (outputs, inputs)."""
    base = layer.base if isinstance(layer, AdaptedLinear) else layer
    return type(base).forward is nn.Linear.forward and not is_transposed(base)
