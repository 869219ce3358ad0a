"""Adapters of many devices on one frozen model, run as one device-major batch.

The product with each frozen weight is one for all devices. The linear modules of any Hugging Face
model are wrapped once, by type and name. A batch of N devices holds the sequences of device 0, then
of device 1, ..., equally many of each. Layers whose input is not device-major, such as routed
experts, cannot be stacked.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..models.language_model import predicted
from ..models.sentence_encoder import Choices, pool
from .adapter import Adapter, Layer
from .decoder import LONGEST, MOST_PLACES, find_decoder
from .fused_linear import GradientBuffers
from .linear import AdaptedLinear, Scale, is_transposed, parameter_count
from .norm import replace_norms
from .rotary import replace_rotations
from .targets import find, output_layer, weights_outside
from .token_layout import TokenLayout

FORWARD_FLOPS = 2
TRAINING_FLOPS = 4
"""Operations per parameter and token of a pass, and of a step that differentiates through it."""


class AdaptedModel:
    """A frozen model whose linear layers take adapters.

    Parameters
    ----------
    model : Hugging Face model, a causal LM for `answer_logits`; its linear modules are wrapped in
        place
    target_modules : which linear modules are adapted: suffixes of names, or a regular expression
        for whole names; empty for every linear module except the output layer
    checkpointing : whether the backward pass recomputes the activations of each block
    choices : candidate answers of an encoder without a head, in place of a vocabulary

    Attributes
    ----------
    layers, modules : the adapted layers, and their wrappers
    transposed : whether the model stores weights as (inputs, outputs), as GPT-2 does
    parameter_count : number of parameters of the frozen model
    inner_parameter_count : the same without the embeddings of the input, which are looked up
    vocabulary : number of tokens or classes of the output layer
    checkpointed_blocks : number of blocks that are recomputed, 0 without checkpointing

    Raises
    ------
    ValueError
        if no module has one of these names, or checkpointing is requested of a model without blocks
    """

    def __init__(
        self,
        model: nn.Module,
        target_modules: Sequence[str] | str = (),
        checkpointing: bool = False,
        choices: Choices | None = None,
    ) -> None:
        lm: Any = model
        self.model = lm
        self._choices = choices
        _warn_of_weights_outside(model)
        self._head = output_layer(model)
        self.parameter_count = parameter_count(model)
        embeddings = getattr(lm, "get_input_embeddings", None)
        looked_up = 0 if embeddings is None else parameter_count(embeddings())
        self.inner_parameter_count = self.parameter_count - looked_up
        self.modules: list[AdaptedLinear] = []
        layers = []
        for name, module in find(model, target_modules).items():
            wrapper = AdaptedLinear(module)
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, wrapper)
            self.modules.append(wrapper)
            layers.append(Layer(name, *wrapper.shape()))
        self.layers = tuple(layers)
        replace_norms(model)
        replace_rotations(model)
        self.transposed = any(is_transposed(module.base) for module in self.modules)
        is_lm = lm.get_output_embeddings() is not None
        self.vocabulary: int = lm.config.vocab_size if is_lm else lm.config.num_labels
        if choices is not None:
            self.vocabulary = len(choices)
        self._head_is_adapted = any(module.base is self._head for module in self.modules)
        self.checkpointed_blocks = (
            _checkpoint_blocks(model, self._run_block) if checkpointing else 0
        )
        self._checkpoints = checkpointing
        by_library = checkpointing or choices is not None or self._head_is_adapted
        self._decoder = None if by_library else find_decoder(model, self._head)

    @property
    def flops_per_item(self) -> tuple[int, int]:
        """Operations of a forward pass, and of a training step, for one token [FLOP]."""
        return FORWARD_FLOPS * self.parameter_count, TRAINING_FLOPS * self.parameter_count

    @property
    def device(self) -> torch.device:
        """Device of the model's weights."""
        device: torch.device = self.modules[0].weight.device
        return device

    def answer_logits(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the logits at the positions from which answer tokens are predicted.

        Parameters
        ----------
        ids, labels : (sequences, length) tokens; -100 marks those that are not predicted

        Returns
        -------
        (answer tokens, vocabulary), in the order of `labels[:, 1:]`
        """
        return self.logits_at(ids, predicted(labels))

    def logits_at(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return the logits at chosen positions; those of other positions are not computed.

        Sequences are padded on the right, so that causal attention needs no mask.

        Parameters
        ----------
        ids : (sequences, length) tokens
        positions : (chosen,) indices into the flattened `ids`

        Returns
        -------
        (chosen, vocabulary)
        """
        if self.takes_layouts(ids.shape[1]):
            return self.logits_of(TokenLayout.of_rows(ids, positions, self.devices_of(len(ids))))
        if self._choices is not None:
            texts = torch.div(positions, ids.shape[1], rounding_mode="floor")
            return self._choices.logits(pool(self.model, ids).index_select(0, texts))
        if self._head is None or self._head_is_adapted:
            logits: torch.Tensor = self.model(input_ids=ids, use_cache=False).logits
            return logits.flatten(0, 1).index_select(0, positions)

        def select(_: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            return (inputs[0].flatten(0, 1).index_select(0, positions),)

        # The model's own forward goes on from the head: some cap or scale their logits.
        hook = self._head.register_forward_pre_hook(select)
        try:
            chosen: torch.Tensor = self.model(input_ids=ids, use_cache=False).logits
        finally:
            hook.remove()
        return chosen

    def logits_of(self, layout: TokenLayout) -> torch.Tensor:
        """Return the logits of the answers of a layout, (answers, vocabulary).

        Parameters
        ----------
        layout : of `devices_of` devices, its texts of a length that `takes_layouts`
        """
        if self._decoder is None:
            raise ValueError("the model does not take layouts")
        return self._decoder.logits(layout)

    def takes_layouts(self, length: int, places: int = 0) -> bool:
        """Return whether a `Decoder` runs texts, instead of the library.

        Parameters
        ----------
        length : of the longest text [token]
        places : number of all tokens of a text and its continuations; 0 for texts without any
        """
        is_recording = any(module.recorded is not None for module in self.modules)
        fits = length <= LONGEST and places <= MOST_PLACES
        return self._decoder is not None and fits and not is_recording

    def devices_of(self, sequences: int) -> int:
        """Return the number of attached devices, or of sequences if each has its own mixture."""
        for module in self.modules:
            if module.gate is not None:
                return sequences
            if module.b is not None:
                return module.b.shape[0]
        return 1

    def layer_inputs(self, ids: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        """Return the inputs of all layers at the leading tokens of each row, without adapters.

        Parameters
        ----------
        ids : (rows, length) tokens
        lengths : (rows,) number of leading tokens

        Returns
        -------
        per layer (leading tokens, inputs), row by row; one object for layers with a common input
        """
        width = max(1, int(lengths.max()))
        ids = ids[:, :width]
        leading = torch.arange(width) < lengths[:, None]
        with torch.no_grad():
            if self._decoder is not None and self.takes_layouts(width) and bool(leading.any()):
                chosen = leading.flatten().nonzero().squeeze(1)
                found = self._decoder.inputs(TokenLayout.of_rows(ids, chosen, 1))
                return [found[id(module)] for module in self.modules]
            ids, leading = ids.to(self.device), leading.to(self.device)
            with self._recorded_inputs() as recorded:
                # Logits of one token: the output layer may be adapted, but is expensive in full.
                self.logits_at(ids, torch.zeros(1, dtype=torch.int64, device=self.device))
            return [inputs[0][leading] for inputs in recorded]

    def restrict_to_choices(self, logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """Return logits (n, vocabulary) in which only the candidates of answers (n,) are finite."""
        if self._choices is None:
            return logits
        return self._choices.restrict_to_choices(logits, answers)

    @contextmanager
    def stacked(
        self,
        a: Sequence[torch.Tensor],
        b: Sequence[torch.Tensor],
        scale: Scale | Sequence[Scale],
        buffers: Sequence[GradientBuffers] | None = None,
    ) -> Iterator[None]:
        """Attach the adapters of several devices to the model.

        Parameters
        ----------
        a : per layer (devices, rank, inputs)
        b : per layer (devices, rank, outputs), the transpose of B
        scale : of all layers or per layer: one number, or (devices, 1, 1)
        buffers : per layer, buffers that accumulate the gradients of its factors; None leaves them
            to autograd
        """
        scales = [scale] * len(b) if isinstance(scale, float | torch.Tensor) else scale
        for index, (module, one_a, one_b) in enumerate(zip(self.modules, a, b, strict=True)):
            if one_b.shape[1]:
                module.a, module.b, module.scale = one_a, one_b, scales[index]
                module.gradient_buffers = None if buffers is None else buffers[index]
        try:
            yield
        finally:
            self._detach()

    @contextmanager
    def merged(self, adapter: Adapter) -> Iterator[None]:
        """Merge one device's adapter into the weights."""
        for index, (module, a, b) in enumerate(
            zip(self.modules, adapter.written_a(), adapter.b, strict=True)
        ):
            module.merge(a, b, adapter.scale_at(index))
        try:
            yield
        finally:
            self._detach()

    def _detach(self) -> None:
        for module in self.modules:
            module.detach_adapters()

    @contextmanager
    def _recorded_inputs(self) -> Iterator[list[list[torch.Tensor]]]:
        """Record the inputs of every layer: one list per layer, a tensor per forward pass."""
        for module in self.modules:
            module.recorded = []
        try:
            yield [module.recorded for module in self.modules if module.recorded is not None]
        finally:
            for module in self.modules:
                module.recorded = None

    @contextmanager
    def without_checkpointing(self) -> Iterator[None]:
        """Save all activations for the backward pass."""
        before, self._checkpoints = self._checkpoints, False
        try:
            yield
        finally:
            self._checkpoints = before

    def _run_block(self, forward: Any, *arguments: Any, **options: Any) -> Any:
        """Run a block, saving only its inputs."""
        if not self._checkpoints or not torch.is_grad_enabled():
            return forward(*arguments, **options)
        return checkpoint(forward, *arguments, use_reentrant=False, **options)


def _warn_of_weights_outside(model: nn.Module) -> None:
    """Warn of weights that take no adapter, such as those of experts and routers."""
    outside = weights_outside(model)
    if outside:
        total = sum(parameter.numel() for parameter in model.parameters())
        share = sum(parameter.numel() for parameter in outside.values()) / total
        warnings.warn(
            f"{len(outside)} weights of the model, {share:.0%} of its parameters, are in no linear "
            f"module and stay unadapted, such as {next(iter(outside))}; PEFT adapts experts and "
            "routers with all-linear",
            stacklevel=3,
        )


def _checkpoint_blocks(model: nn.Module, run: Callable[..., Any]) -> int:
    """Route the forward pass of every block through `run`; return the number of blocks."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    blocks = [block for block in model.modules() if isinstance(block, GradientCheckpointingLayer)]
    if not blocks:
        raise ValueError(f"{type(model).__name__} has no blocks that can be checkpointed")
    for block in blocks:
        # The library's own switch works in training mode only, which would turn on dropout.
        block.forward = partial(run, block.forward)
    return len(blocks)
