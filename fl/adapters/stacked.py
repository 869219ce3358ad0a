"""Many adapters on one frozen model: a device-major batch in one product with the frozen weight.

The linear modules of any Hugging Face model (`nn.Linear`, or the transposed `Conv1D` of GPT-2)
are wrapped once. A wrapper works in one of three ways: as the bare frozen layer; with the
adapters of N devices stacked, where a batch holds the examples of device 0, then of device 1, ...;
or with the adapter of a single device merged into its weight.

Sources: Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..model import IGNORED
from .adapter import Adapter, Layer


def _is_transposed(module: nn.Module) -> bool:
    """Whether a module is GPT-2's Conv1D, whose weight is (inputs, outputs)."""
    return type(module).__name__ == "Conv1D"


class AdaptedLinear(nn.Module):
    """A frozen linear layer that adapters can be put on."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base: Any = base
        self.a: torch.Tensor | None = None
        self.b: torch.Tensor | None = None
        self.scale = 1.0
        self.merged: torch.Tensor | None = None
        self.seen: list[torch.Tensor] | None = None

    def shape(self) -> tuple[int, int]:
        """Return inputs and outputs of the layer."""
        rows, columns = self.base.weight.shape
        return (rows, columns) if _is_transposed(self.base) else (columns, rows)

    def frozen_weight(self) -> torch.Tensor:
        """Return the frozen weight, (outputs, inputs)."""
        weight: torch.Tensor = self.base.weight
        return weight.T if _is_transposed(self.base) else weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer to a device-major batch, (devices * batch, length, inputs)."""
        if self.seen is not None:
            self.seen.append(x.detach())
        if self.merged is not None:
            bias: torch.Tensor | None = self.base.bias
            return nn.functional.linear(x, self.merged, bias)
        y: torch.Tensor = self.base(x)
        if self.a is None or self.b is None:
            return y
        devices = self.a.shape[0]
        # [devices, batch * length, rank]
        low = torch.bmm(x.reshape(devices, -1, x.shape[-1]), self.a.transpose(1, 2))
        stacked = y.reshape(devices, -1, y.shape[-1])
        return torch.baddbmm(stacked, low, self.b, alpha=self.scale).reshape(y.shape)


class AdaptedModel:
    """A frozen causal LM whose linear layers take adapters.

    Parameters
    ----------
    model : Hugging Face causal LM; its linear modules are wrapped in place
    target_modules : last parts of the names of the modules to adapt, as in PEFT; empty for every
        linear module but the output layer

    Raises
    ------
    ValueError
        if no module has one of these names
    """

    def __init__(self, model: nn.Module, target_modules: Sequence[str] = ()) -> None:
        lm: Any = model
        self.model = lm
        head = lm.get_output_embeddings()
        found = {
            name: module
            for name, module in model.named_modules()
            if (isinstance(module, nn.Linear) or _is_transposed(module)) and module is not head
        }
        if target_modules:
            found = {n: m for n, m in found.items() if n.rsplit(".", 1)[-1] in target_modules}
        if not found:
            raise ValueError(f"the model has no linear module named {', '.join(target_modules)}")
        self.modules: list[AdaptedLinear] = []
        layers = []
        for name, module in found.items():
            wrapper = AdaptedLinear(module)
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, wrapper)
            self.modules.append(wrapper)
            layers.append(Layer(name, *wrapper.shape()))
        self.layers = tuple(layers)
        self.transposed = any(_is_transposed(module.base) for module in self.modules)
        self.parameter_count = sum(parameter.numel() for parameter in model.parameters())

    def answer_logits(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the logits where an answer's token is to be predicted.

        Sequences are padded on the right, so that causal attention needs no mask.

        Parameters
        ----------
        ids, labels : (sequences, length) tokens; -100 marks those that are not predicted

        Returns
        -------
        (answer tokens, vocabulary), in the order of `labels[:, 1:]`
        """
        hidden = self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        logits: torch.Tensor = self.model.get_output_embeddings()(
            hidden[:, :-1][labels[:, 1:] != IGNORED]
        )
        return logits

    @contextmanager
    def stacked(
        self, a: Sequence[torch.Tensor], b: Sequence[torch.Tensor], scale: float
    ) -> Iterator[None]:
        """Put the adapters of several devices on the model.

        Parameters
        ----------
        a : per layer (devices, rank, inputs)
        b : per layer (devices, rank, outputs), the transpose of B
        scale : common scale of the adapters
        """
        for module, one_a, one_b in zip(self.modules, a, b, strict=True):
            module.a, module.b, module.scale = one_a, one_b, scale
        try:
            yield
        finally:
            for module in self.modules:
                module.a = module.b = None

    @contextmanager
    def merged(self, adapter: Adapter) -> Iterator[None]:
        """Put one device's adapter into the weights."""
        for index, module in enumerate(self.modules):
            module.merged = module.frozen_weight() + adapter.delta_weight(index)
        try:
            yield
        finally:
            for module in self.modules:
                module.merged = None

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
