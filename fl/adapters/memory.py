"""Memory of a batch of devices, estimated from one short forward pass.

The activations that autograd saves grow linearly with the tokens and are counted on a short
sequence. Added to them are the logits, the gradients in flight, the adapters with their gradients
and moments, and, with checkpointing, the activations of the one block that is being recomputed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property

import torch

from .stacked import AdaptedModel

_PROBE_TOKENS = 32
_FLOAT_BYTES = 4
# Logits, log-probabilities and their gradient; the first two without training.
_LOGITS_TRAINING, _LOGITS_FORWARD = 3, 2
# Parameters, gradients and the two moments of AdamW.
_ENTRY_TRAINING = 4
# Inputs, outputs and temporaries of the layer that is being computed.
_TRANSIENT = 3


class MemoryEstimate:
    """Estimate of the peak memory of a step.

    Parameters
    ----------
    model : the shared model
    """

    def __init__(self, model: AdaptedModel) -> None:
        self._model = model

    def peak_bytes(
        self,
        tokens_per_device: int,
        devices: int,
        rank: int,
        training: bool,
        answers_per_device: int | None = None,
    ) -> int:
        """Return the estimated peak of a step beyond the model itself [byte].

        Parameters
        ----------
        tokens_per_device : in one step, padding included
        devices, rank : number and rank of the adapters
        training : whether there are a backward pass and an optimizer
        answers_per_device : tokens whose logits are computed; None for all
        """
        model = self._model
        tokens = devices * tokens_per_device
        answers = tokens if answers_per_device is None else devices * answers_per_device
        width = model.model.dtype.itemsize
        widest = max(layer.inputs + layer.outputs for layer in model.layers)
        entries = devices * rank * sum(layer.inputs + layer.outputs for layer in model.layers)
        logits = _FLOAT_BYTES * answers * model.vocabulary
        transient = _TRANSIENT * width * tokens * widest
        if not training:
            return int(transient + _LOGITS_FORWARD * logits + _FLOAT_BYTES * entries)
        low_rank = width * tokens * (rank - 1) * len(model.layers)
        adapters = _ENTRY_TRAINING * _FLOAT_BYTES * entries
        saved = self._saved_per_token * tokens
        return int(saved + low_rank + transient + _LOGITS_TRAINING * logits + adapters)

    @cached_property
    def _saved_per_token(self) -> float:
        """Activations that training saves and recomputes at a time, per token [byte]."""
        saved = self._probe()
        blocks = self._model.checkpointed_blocks
        if not blocks:
            return saved
        with self._model.without_checkpointing():
            return saved + self._probe() / blocks

    def _probe(self) -> float:
        """Return what a forward pass with rank 1 saves per token, logits excluded [byte]."""
        model = self._model
        device = model.device
        a = [torch.zeros(1, 1, layer.inputs, device=device) for layer in model.layers]
        b = [torch.zeros(1, 1, layer.outputs, device=device) for layer in model.layers]
        frozen = [*model.model.parameters(), *model.model.buffers(), *a, *b]
        ids = torch.zeros(1, _PROBE_TOKENS, dtype=torch.int64, device=device)
        for factor in (*a, *b):
            factor.requires_grad_()
        known = {tensor.untyped_storage().data_ptr() for tensor in frozen}
        with torch.enable_grad(), model.stacked(a, b, 1.0), _SavedBytes(known) as saved:
            # Storages are identified by their address: the graph must outlive the counting.
            _graph = model.model.base_model(input_ids=ids)
        return saved.total / _PROBE_TOKENS


class _SavedBytes(AbstractContextManager["_SavedBytes"]):
    """Counter of the bytes that autograd saves for the backward pass, each storage once.

    Parameters
    ----------
    known : addresses of the storages that are not counted
    """

    def __init__(self, known: set[int]) -> None:
        self._sizes: dict[int, int] = {}
        self._known = known
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda saved: saved)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._known:
            self._sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    def __enter__(self) -> _SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    @property
    def total(self) -> int:
        """All that was saved [byte]."""
        return sum(self._sizes.values())
