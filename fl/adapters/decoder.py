"""Decoders of the Llama family, with adapters of many devices, in hand-written passes on a CPU.

The layers are those of the library's model and share its weights. In contrast to its forward pass,
padding and the last token of a text take part in attention only, the last block runs on the tokens
from which answers are predicted, the factors A of layers with a common input are one product, and
autograd sees one operation for all blocks.

Sources: Touvron et al., "LLaMA: open and efficient foundation language models", 2023; grouped
queries after Ainslie et al., EMNLP 2023.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .fused_linear import GradientBuffers
from .linear import AdaptedLinear, Scale, is_transposed
from .norm import FrozenRmsNorm, rms_norm, rms_norm_gradient
from .rotary import rotated
from .token_layout import TokenLayout

LONGEST = 128
"""Tokens of a text above which the library's blockwise attention is faster: the attention here holds
a matrix of weights per head."""

_FREE_OF_LENGTH = ("default", "linear", "llama3")
_PROBE_TOKENS = 8

Tensors = list[torch.Tensor]
Saved = list[torch.Tensor | None]


class Decoder:
    """The blocks of a decoder; see `find_decoder`.

    Parameters
    ----------
    model : the library's model without its output layer, whose linear modules are wrapped
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        self._embedding: torch.Tensor = model.embed_tokens.weight
        self._norm: FrozenRmsNorm = model.norm
        self._blocks = [_Block(layer) for layer in model.layers]
        self._heads: int = config.num_attention_heads
        self._key_heads: int = config.num_key_value_heads
        places = torch.arange(LONGEST)[None]
        cos, sin = model.rotary_emb(self._embedding[None, :1], places)
        # [places, 1, width of a head]
        self._cos, self._sin = cos[0][:, None].clone(), sin[0][:, None].clone()
        self._scale = float(model.layers[0].self_attn.scaling)

    def hidden(self, layout: TokenLayout) -> torch.Tensor:
        """Return the normalized hidden states of the chosen tokens, (answers, width)."""
        factors = [
            factor
            for block in self._blocks
            for module in block.modules()
            for factor in (module.a, module.b)
            if factor is not None
        ]
        places = _Places(layout, self._heads, self._key_heads)
        if torch.is_grad_enabled() and any(factor.requires_grad for factor in factors):
            chosen: torch.Tensor = _Decoding.apply(self, places, *factors)  # type: ignore[no-untyped-call]
        else:
            with torch.no_grad():
                chosen, _ = self.forward(places, saves=False)
        return chosen if layout.kept is None else chosen.index_select(0, layout.kept)

    def inputs(self, layout: TokenLayout) -> dict[int, torch.Tensor]:
        """Return the input of each wrapped module, (tokens, inputs), by the module's id.

        Parameters
        ----------
        layout : of tokens that are all chosen
        """
        found: dict[int, torch.Tensor] = {}
        with torch.no_grad():
            self.forward(_Places(layout, self._heads, self._key_heads), False, found)
        return found

    def forward(
        self, places: _Places, saves: bool, inputs: dict[int, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, list[Saved]]:
        """Return the states of all chosen tokens, and what the backward pass of each part needs.

        Parameters
        ----------
        places : of the tokens in the grid of attention
        saves : whether there is a backward pass
        inputs : takes the input of each wrapped module by its id; None to discard them
        """
        angles = self._angles(places)
        x = self._embedding.index_select(0, places.layout.ids)
        kept: list[Saved] = []
        for index, block in enumerate(self._blocks):
            first, last = index == 0, index == len(self._blocks) - 1
            x, saved = block.forward(x, places, angles, self._scale, first, last, inputs)
            if saves:
                kept.append(saved)
        y, inverse = rms_norm(x, self._norm.weight, self._norm.epsilon)
        return y, [*kept, [x, inverse]]

    def backward(
        self, places: _Places, kept: list[Saved], grad: torch.Tensor, gradients: Gradients
    ) -> None:
        """Accumulate the gradients of all factors, given that of the chosen tokens' states."""
        angles = self._angles(places)
        x, inverse = kept.pop()
        assert x is not None and inverse is not None
        above = torch.zeros_like(x)
        rms_norm_gradient(grad * self._norm.weight, x, inverse, above)
        for index in reversed(range(len(self._blocks))):
            last = index == len(self._blocks) - 1
            above = self._blocks[index].backward(
                above, kept.pop(), places, angles, self._scale, last, index == 0, gradients
            )


    def _angles(self, places: _Places) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine of the rotation of each token, (tokens, 1, width of a head)."""
        positions = places.layout.positions
        return self._cos.index_select(0, positions), self._sin.index_select(0, positions)


class Gradients:
    """Gradients of the factors: into the buffers of their modules, or kept for autograd."""

    def __init__(self) -> None:
        self.of: dict[int, torch.Tensor] = {}

    def add(self, module: AdaptedLinear, index: int, gradient: torch.Tensor) -> None:
        """Accumulate the gradient of A (index 0) or B (index 1) of a module."""
        buffers: GradientBuffers | None = module.gradient_buffers
        buffer = None if buffers is None else buffers[index]
        if buffer is not None:
            buffer.add(gradient)
            return
        factor = module.b if index else module.a
        assert factor is not None
        before = self.of.get(id(factor))
        self.of[id(factor)] = gradient if before is None else before + gradient


class _Decoding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, decoder: Decoder, places: _Places, *factors: torch.Tensor) -> Any:
        y, kept = decoder.forward(places, saves=True)
        ctx.decoder, ctx.places, ctx.factors = decoder, places, [id(one) for one in factors]
        ctx.lengths = [len(saved) for saved in kept]
        ctx.save_for_backward(*(one for saved in kept for one in saved))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat = iter(ctx.saved_tensors)
        kept = [[next(flat) for _ in range(length)] for length in ctx.lengths]
        gradients = Gradients()
        ctx.decoder.backward(ctx.places, kept, grad, gradients)
        return None, None, *(gradients.of.get(one) for one in ctx.factors)


class _Block:
    """One block: attention, and the gated MLP."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._norms: tuple[FrozenRmsNorm, FrozenRmsNorm] = (
            layer.input_layernorm,
            layer.post_attention_layernorm,
        )
        self._queries_keys_values = _Siblings(
            [attention.q_proj, attention.k_proj, attention.v_proj]
        )
        self._output = _Siblings([attention.o_proj])
        self._gate_up = _Siblings([mlp.gate_proj, mlp.up_proj])
        self._down = _Siblings([mlp.down_proj])

    def modules(self) -> Iterator[AdaptedLinear]:
        """Yield the adapted modules."""
        for siblings in (self._queries_keys_values, self._output, self._gate_up, self._down):
            yield from siblings.adapted

    def forward(
        self,
        x: torch.Tensor,
        places: _Places,
        angles: tuple[torch.Tensor, torch.Tensor],
        scale: float,
        first: bool,
        last: bool,
        inputs: dict[int, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, Saved]:
        """Return the block's output, of the chosen tokens only in the last block.

        Parameters
        ----------
        x : (tokens, width) input
        places : of the tokens in the grid of attention
        angles : cosine and sine of each token's rotation, (tokens, 1, width of a head)
        scale : of the scores of attention
        first, last : whether this is the first block, and the last one
        inputs : see `Decoder.forward`
        """
        below, second = self._norms
        devices = places.layout.devices
        normal, inverse = rms_norm(x, below.weight, below.epsilon)
        # What enters the first block are embeddings, so that equal tokens have equal products.
        of_distinct = places.layout.of_distinct if first else None
        (q, k, v), low = self._queries_keys_values.forward(normal, devices, of_distinct)
        q, k, v = (
            places.to_grid(_turned(q, angles, 1.0)),
            places.to_grid(_turned(k, angles, 1.0)),
            places.to_grid(v),
        )
        weights = places.scores(q, k, scale).softmax(-1)
        seen = places.from_grid(torch.bmm(weights, v), last)
        residual = x.index_select(0, places.layout.chosen) if last else x
        (middle,), low_output = self._output.forward(seen, devices)
        middle += residual
        normal_middle, inverse_middle = rms_norm(middle, second.weight, second.epsilon)
        (gate, up), low_gate = self._gate_up.forward(normal_middle, devices)
        open_ = torch.sigmoid(gate)
        # Its derivative needs these two, not the gate.
        active = gate.mul_(open_)
        product = active * up
        (y,), low_down = self._down.forward(product, devices)
        y += middle
        if inputs is not None:
            for siblings, x_of_siblings in (
                (self._queries_keys_values, normal),
                (self._output, seen),
                (self._gate_up, normal_middle),
                (self._down, product),
            ):
                inputs |= {id(module): x_of_siblings for module in siblings.adapted}
        # Inputs of layers are needed for the gradients of A only.
        saved = [
            x, inverse, self._queries_keys_values.input(normal), low, q, k, v, weights,
            self._output.input(seen), low_output, middle, inverse_middle,
            self._gate_up.input(normal_middle), low_gate, active, up, open_,
            self._down.input(product), low_down,
        ]  # fmt: skip
        return y, saved

    def backward(
        self,
        above: torch.Tensor,
        saved: Saved,
        places: _Places,
        angles: tuple[torch.Tensor, torch.Tensor],
        scale: float,
        last: bool,
        first: bool,
        gradients: Gradients,
    ) -> torch.Tensor:
        """Return the gradient of the block's input, given that of its output, which is changed."""
        (
            x, inverse, normal, low, q, k, v, weights, seen, low_output, middle, inverse_middle,
            normal_middle, low_gate, active, up, open_, product, low_down,
        ) = saved  # type: ignore[misc]  # fmt: skip
        devices = places.layout.devices
        (of_product,) = self._down.backward([above], product, low_down, devices, gradients)
        of_up = of_product * active
        # The derivative of z s(z) is s + z s (1 - s).
        of_gate = torch.addcmul(open_, active, 1.0 - open_).mul_(of_product.mul_(up))
        of_middle = self._gate_up.backward(
            [of_gate, of_up], normal_middle, low_gate, devices, gradients
        )[0]
        rms_norm_gradient(of_middle.mul_(self._norms[1].weight), middle, inverse_middle, above)
        of_seen = self._output.backward([above], seen, low_output, devices, gradients)[0]
        of_seen = places.to_grid_gradient(of_seen, last)
        of_v = torch.bmm(weights.transpose(1, 2), of_seen)
        of_weights = torch.bmm(of_seen, v.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_q = torch.bmm(of_scores, k).mul_(scale)
        of_k = torch.bmm(of_scores.transpose(1, 2), q).mul_(scale)
        of_q, of_k, of_v = (
            _turned(places.from_grid_gradient(of_q), angles, -1.0),
            _turned(places.from_grid_gradient(of_k), angles, -1.0),
            places.from_grid_gradient(of_v),
        )
        of_input = self._queries_keys_values.backward(
            [of_q, of_k, of_v], normal, low, devices, gradients, to_input=not first
        )
        if first:
            # Nothing below is trained.
            return above
        if last:
            above = torch.zeros_like(x).index_add_(0, places.layout.chosen, above)
        rms_norm_gradient(of_input[0].mul_(self._norms[0].weight), x, inverse, above)
        return above


class _Siblings:
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

    def input(self, x: torch.Tensor) -> torch.Tensor | None:
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
            outputs = [_product(x, layer) for layer in self._layers]
        else:
            rows = x.new_empty(int(of_distinct.max()) + 1, x.shape[1])
            # Equal rows are written in any order.
            rows.index_copy_(0, of_distinct, x)
            outputs = [
                _product(rows, layer).index_select(0, of_distinct) for layer in self._layers
            ]
        attached = self._attached()
        if not attached:
            return outputs, None
        # [devices, tokens, inputs]
        own = x.view(devices, -1, x.shape[1])
        if attached[0].gate is not None:
            for y, layer in zip(outputs, self._layers, strict=True):
                if isinstance(layer, AdaptedLinear) and layer.a is not None:
                    y += layer.gated_low_rank(own).flatten(0, 1)
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
        of_input: torch.Tensor | None = None
        for grad, layer in zip(above, self._layers, strict=True):
            weight = _weight(layer)
            of_input = grad @ weight if of_input is None else of_input.addmm_(grad, weight)
        assert of_input is not None
        if below is not None:
            a = _joined([each.a for each in attached])
            of_input.view(devices, -1, a.shape[2]).baddbmm_(below.transpose(1, 2), a)
        return [of_input]

    def _attached(self) -> list[Any]:
        """Return the layers with an adapter beside their weight."""
        return [each for each in self.adapted if each.a is not None]


class _Places:
    """Indices that move heads of tokens to the grid of attention, and back.

    Parameters
    ----------
    layout : layout of the tokens
    heads, key_heads : numbers of heads of queries, and of keys and values
    """

    def __init__(self, layout: TokenLayout, heads: int, key_heads: int) -> None:
        self.layout = layout
        self._heads, self._key_heads = heads, key_heads
        self._groups = heads // key_heads
        texts, places = layout.grid
        count = texts * places
        in_grid = torch.arange(count) if layout.in_grid is None else layout.in_grid
        of_grid = torch.arange(count) if layout.of_grid is None else layout.of_grid
        self._to_grid = {n: _heads_first(of_grid, layout.grid, n) for n in (heads, key_heads)}
        self._from_grid = {n: _tokens_first(in_grid, places, n) for n in (heads, key_heads)}
        self._chosen = _tokens_first(in_grid[layout.chosen], places, heads)
        self._empty = None
        if layout.empty is not None:
            self._empty = _tokens_first(layout.empty, places, heads)
        mask = layout.mask
        if len(mask) > 1:
            mask = mask.repeat_interleave(key_heads, 0)
        self._mask = mask.repeat(1, self._groups, 1) if self._groups > 1 else mask

    def scores(self, q: torch.Tensor, k: torch.Tensor, scale: float) -> torch.Tensor:
        """Return the masked scores of attention, (texts * key heads, groups * places, places)."""
        return torch.baddbmm(self._mask, q, k.transpose(1, 2), alpha=scale)

    def to_grid(self, x: torch.Tensor) -> torch.Tensor:
        """Return heads of tokens, (tokens, heads, ...), in the grid.

        Returns
        -------
        (texts * key heads, groups * places, width of a head); groups is 1 for keys and values
        """
        texts, places = self.layout.grid
        width = self._width(x)
        heads = x.numel() // (len(x) * width)
        moved = x.view(-1, width).index_select(0, self._to_grid[heads])
        return moved.view(texts * self._key_heads, -1, width)

    def from_grid(self, y: torch.Tensor, last: bool) -> torch.Tensor:
        """Return the output of attention of all tokens, or the chosen ones, (tokens, width)."""
        width = y.shape[2]
        index = self._chosen if last else self._from_grid[self._heads]
        return y.view(-1, width).index_select(0, index).view(-1, self._heads * width)

    def to_grid_gradient(self, grad: torch.Tensor, last: bool) -> torch.Tensor:
        """Return the gradient of what `from_grid` takes."""
        texts, places = self.layout.grid
        width = grad.shape[1] // self._heads
        if last:
            rows = texts * self._heads * places
            moved = grad.new_zeros(rows, width).index_add_(0, self._chosen, grad.view(-1, width))
        else:
            moved = grad.view(-1, width).index_select(0, self._to_grid[self._heads])
            if self._empty is not None:
                moved.index_fill_(0, self._empty, 0.0)
        return moved.view(texts * self._key_heads, -1, width)

    def from_grid_gradient(self, grad: torch.Tensor) -> torch.Tensor:
        """Return the gradient of what `to_grid` takes, (tokens, heads * width)."""
        texts, places = self.layout.grid
        width = grad.shape[2]
        heads = grad.numel() // (texts * places * width)
        moved = grad.view(-1, width).index_select(0, self._from_grid[heads])
        moved = moved.view(-1, heads * width)
        if self.layout.idle is not None:
            moved.index_fill_(0, self.layout.idle, 0.0)
        return moved

    def _width(self, x: torch.Tensor) -> int:
        return x.shape[-1] if x.ndim == 3 else x.shape[1] // self._key_heads


def _heads_first(of_grid: torch.Tensor, grid: tuple[int, int], heads: int) -> torch.Tensor:
    """Return the rows of (tokens * heads) in the order (texts, heads, places)."""
    index = of_grid.view(grid[0], 1, grid[1]) * heads + torch.arange(heads)[:, None]
    return index.flatten()


def _tokens_first(in_grid: torch.Tensor, places: int, heads: int) -> torch.Tensor:
    """Return the rows of (texts * heads * places) in the order (tokens, heads)."""
    text = torch.div(in_grid, places, rounding_mode="floor")
    start = text * (heads * places) + in_grid - text * places
    return (start[:, None] + torch.arange(heads) * places).flatten()


def _turned(
    x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor], sign: float
) -> torch.Tensor:
    """Rotate heads (tokens, heads * width) by the tokens' angles, (tokens, heads, width)."""
    cos, sin = angles
    y = rotated(x.view(len(x), -1, cos.shape[-1]), cos, sin, sign)
    return y if sign > 0 else y.view(x.shape)


def _weight(layer: Any) -> torch.Tensor:
    """Return the weight of a layer with a merged adapter, if any, (outputs, inputs)."""
    merged = layer.merged if isinstance(layer, AdaptedLinear) else None
    weight: torch.Tensor = layer.weight if merged is None else merged
    return weight


def _product(x: torch.Tensor, layer: Any) -> torch.Tensor:
    """Return the frozen product of a layer, (tokens, outputs)."""
    weight = _weight(layer).T
    return x @ weight if layer.bias is None else torch.addmm(layer.bias, x, weight)


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


def _parts(low: torch.Tensor, attached: Sequence[Any]) -> Sequence[torch.Tensor]:
    """Return the low-rank activations of each layer."""
    return low.split([each.a.shape[1] for each in attached], dim=1)


def _scale(low: torch.Tensor, scale: Scale) -> None:
    """Multiply low-rank activations by alpha / rank, in place."""
    if isinstance(scale, torch.Tensor) or scale != 1.0:
        low.mul_(scale)


def find_decoder(lm: Any, head: nn.Module | None) -> Decoder | None:
    """Return the decoder of a causal language model; None if it is not of this family.

    A model belongs to the family if it has its modules, and no parameters besides, and its logits
    are those of the decoder on a probe.

    Parameters
    ----------
    lm : the library's model, whose linear modules are wrapped and whose norms are replaced
    head : its output layer
    """
    model = getattr(lm, "model", None)
    if head is None or model is None or not _is_of_family(lm, model, head):
        return None
    decoder = Decoder(model)
    ids = torch.arange(_PROBE_TOKENS)[None] % lm.config.vocab_size
    with torch.no_grad():
        expected = lm(input_ids=ids, use_cache=False).logits[0]
        found = head(decoder.hidden(TokenLayout.of_rows(ids, torch.arange(_PROBE_TOKENS), 1)))
    bound = 1e-4 * float(expected.abs().max())
    return decoder if torch.allclose(found, expected, rtol=0.0, atol=bound) else None


def _is_of_family(lm: Any, model: Any, head: nn.Module) -> bool:
    """Return whether a model has the modules of the family, in float32 on a CPU."""
    try:
        layers = [
            linear
            for layer in model.layers
            for linear in (
                *(getattr(layer.self_attn, f"{name}_proj") for name in "qkvo"),
                *(getattr(layer.mlp, f"{name}_proj") for name in ("gate", "up", "down")),
            )
        ]
        norms = [
            norm
            for layer in model.layers
            for norm in (layer.input_layernorm, layer.post_attention_layernorm)
        ]
        known = [*layers, *norms, model.norm, model.embed_tokens, head]
        activations = {type(layer.mlp.act_fn) for layer in model.layers}
        is_bounded = getattr(lm.config, "sliding_window", None) is not None
        rotation = model.rotary_emb.rope_type
    except AttributeError:
        return False
    owned = {id(p) for module in known for p in module.parameters()}
    parameters = list(lm.parameters())
    return (
        all(isinstance(norm, FrozenRmsNorm) for norm in (*norms, model.norm))
        and all(_is_plain(layer) for layer in layers)
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in parameters)
        and {id(p) for p in parameters} <= owned
        and {kind.__name__ for kind in activations} <= {"SiLU", "SiLUActivation"}
        and not is_bounded
        and rotation in _FREE_OF_LENGTH
    )


def _is_plain(layer: nn.Module) -> bool:
    """Return whether a layer is a product with its weight, (outputs, inputs)."""
    base = layer.base if isinstance(layer, AdaptedLinear) else layer
    return type(base).forward is nn.Linear.forward and not is_transposed(base)
