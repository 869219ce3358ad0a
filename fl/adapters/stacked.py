"""Many adapters on one frozen model: a device-major batch in one product with the frozen weight.

The linear modules of any Hugging Face model are wrapped once, by type and name. A batch of N
devices holds the sequences of device 0, then of device 1, ...; equally many of each. Layers whose
input is not device-major, such as routed experts, cannot be stacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..models.language_model import predicted
from ..models.sentence_encoder import Choices, pool
from .adapter import Adapter, Layer
from .fused_linear import Sinks
from .linear import AdaptedLinear, Scale, is_transposed, parameter_count
from .memory import chunk_bytes, kept_per_token
from .norm import replace_norms
from .rotary import replace_rotations
from .targets import find, output_layer


class AdaptedModel:
    """A frozen model whose linear layers take adapters.

    Parameters
    ----------
    model : Hugging Face model, a causal LM for `answer_logits`; its linear modules are wrapped in
        place
    target_modules : which to adapt, as in PEFT: ends of names, or a regular expression that
        matches whole names; empty for every linear module but the output layer
    checkpointing : whether a backward pass computes a block's activations again instead of keeping
        them
    choices : what an encoder without a head chooses from, in place of a language model's words

    Attributes
    ----------
    layers, modules : the adapted layers, and their wrappers
    transposed : whether the model stores weights (inputs, outputs), as GPT-2 does
    parameter_count : of the frozen model
    vocabulary : how many tokens, or classes, the output layer tells apart

    Raises
    ------
    ValueError
        if no module has one of these names, or checkpointing is asked of a model without blocks
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
        self._head = output_layer(model)
        self.parameter_count = parameter_count(model)
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
        self._blocks = _checkpoint_blocks(model, self._run_block) if checkpointing else 0
        self._checkpoints = checkpointing

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.modules[0].weight.device
        return device

    def answer_logits(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the logits where an answer's token is to be predicted.

        Parameters
        ----------
        ids, labels : (sequences, length) tokens; -100 marks those that are not predicted

        Returns
        -------
        (answer tokens, vocabulary), in the order of `labels[:, 1:]`
        """
        return self.logits_at(ids, predicted(labels))

    def logits_at(self, ids: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        """Return the logits of chosen tokens; only theirs are computed.

        Sequences are padded on the right, so that causal attention needs no mask.

        Parameters
        ----------
        ids : (sequences, length) tokens
        where : (chosen,) indices into the tokens of all sequences, one after the other

        Returns
        -------
        (chosen, vocabulary)
        """
        if self._choices is not None:
            texts = torch.div(where, ids.shape[1], rounding_mode="floor")
            return self._choices.logits(pool(self.model, ids).index_select(0, texts))
        if self._head is None or self._head_is_adapted:
            logits: torch.Tensor = self.model(input_ids=ids, use_cache=False).logits
            return logits.flatten(0, 1).index_select(0, where)

        def choose(_: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            return (inputs[0].flatten(0, 1).index_select(0, where),)

        # The model's own forward goes on from the head: some cap or scale their logits.
        hook = self._head.register_forward_pre_hook(choose)
        try:
            chosen: torch.Tensor = self.model(input_ids=ids, use_cache=False).logits
        finally:
            hook.remove()
        return chosen

    def read(self, ids: torch.Tensor) -> None:
        """Run tokens (sequences, length) through all layers but the head."""
        if self._choices is not None:
            pool(self.model, ids)
        else:
            self.model.base_model(input_ids=ids, use_cache=False)

    def contest(self, logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """Return logits (n, vocabulary) of the words with which answers (n,) compete alone."""
        return logits if self._choices is None else self._choices.contest(logits, answers)

    @contextmanager
    def stacked(
        self,
        a: Sequence[torch.Tensor],
        b: Sequence[torch.Tensor],
        scale: Scale | Sequence[Scale],
        sinks: Sequence[Sinks] | None = None,
    ) -> Iterator[None]:
        """Put the adapters of several devices on the model.

        Parameters
        ----------
        a : per layer (devices, rank, inputs)
        b : per layer (devices, rank, outputs), the transpose of B
        scale : of all layers or per layer: one number, or (devices, 1, 1)
        sinks : per layer, tensors to which the gradients of its factors are added; without them
            they are where autograd puts them
        """
        scales = [scale] * len(b) if isinstance(scale, float | torch.Tensor) else scale
        for index, (module, one_a, one_b) in enumerate(zip(self.modules, a, b, strict=True)):
            if one_b.shape[1]:
                module.a, module.b, module.scale = one_a, one_b, scales[index]
                module.sinks = None if sinks is None else sinks[index]
        try:
            yield
        finally:
            self._clear()

    @contextmanager
    def merged(self, adapter: Adapter) -> Iterator[None]:
        """Put one device's adapter into the weights."""
        for index, (module, a, b) in enumerate(
            zip(self.modules, adapter.a, adapter.b, strict=True)
        ):
            module.merge(a, b, adapter.scale_at(index))
        try:
            yield
        finally:
            self._clear()

    def _clear(self) -> None:
        for module in self.modules:
            module.clear()

    @contextmanager
    def recorded(self) -> Iterator[list[list[torch.Tensor]]]:
        """Collect the inputs of every layer: one list per layer, a tensor per forward pass."""
        for module in self.modules:
            module.seen = []
        try:
            yield [module.seen for module in self.modules if module.seen is not None]
        finally:
            for module in self.modules:
                module.seen = None

    def memory(
        self,
        tokens_per_device: int,
        devices: int,
        rank: int,
        training: bool,
        answers_per_device: int | None = None,
    ) -> int:
        """Return the estimated peak of running a chunk, beyond the model itself [byte].

        Parameters
        ----------
        tokens_per_device : in one step, padding included
        devices, rank : number and rank of the adapters
        training : whether there is a backward pass
        answers_per_device : tokens of which logits are computed, all of them if not given
        """
        answers = tokens_per_device if answers_per_device is None else answers_per_device
        return chunk_bytes(
            self,
            self._kept_per_token,
            devices * tokens_per_device,
            devices * answers,
            devices,
            rank,
            training,
        )

    @cached_property
    def _kept_per_token(self) -> float:
        """What training keeps per token, and computes again at a time [byte]."""
        kept = kept_per_token(self)
        if not self._blocks:
            return kept
        self._checkpoints = False
        try:
            return kept + kept_per_token(self) / self._blocks
        finally:
            self._checkpoints = True

    def _run_block(self, forward: Any, *arguments: Any, **options: Any) -> Any:
        """Run a block, keeping its inputs alone."""
        if not self._checkpoints or not torch.is_grad_enabled():
            return forward(*arguments, **options)
        return checkpoint(forward, *arguments, use_reentrant=False, **options)


def _checkpoint_blocks(model: nn.Module, run: Callable[..., Any]) -> int:
    """Let `run` run the forward pass of every block; return how many there are."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    blocks = [block for block in model.modules() if isinstance(block, GradientCheckpointingLayer)]
    if not blocks:
        raise ValueError(f"{type(model).__name__} has no blocks that can be checkpointed")
    for block in blocks:
        # The library's own switch works in training mode only, which would turn on dropout.
        block.forward = partial(run, block.forward)
    return len(blocks)
