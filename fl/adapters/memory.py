"""How much memory a chunk of devices takes: estimated from one small probe of the model.

What autograd keeps of a forward pass grows with the tokens, whatever the model's kind, and is
counted on a short sequence. To this come the logits, the gradients on their way back, the
adapters with their gradients and moments, and with checkpointing one block that is computed again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .stacked import AdaptedModel

_PROBE_TOKENS = 32
_FLOAT_BYTES = 4
# Logits, their logarithms of probabilities and their gradient; without training the first two.
_LOGITS_TRAINING, _LOGITS_FORWARD = 3, 2
# Values, gradient and AdamW's two moments of each entry.
_ENTRY_TRAINING = 4
# Inputs, outputs and temporary ones, of the layer that is being computed.
_PASSING = 3


class KeptBytes(AbstractContextManager["KeptBytes"]):
    """Counts what autograd keeps for the backward pass, each storage once [byte]."""

    def __init__(self, known: set[int]) -> None:
        self._sizes: dict[int, int] = {}
        self._known = known
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda kept: kept)

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._known:
            self._sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    def __enter__(self) -> KeptBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    @property
    def total(self) -> int:
        """All that is kept [byte]."""
        return sum(self._sizes.values())


def kept_per_token(model: AdaptedModel) -> float:
    """Return what a forward pass with factors of rank 1 keeps per token, without logits [byte]."""
    device = model.device
    a = [torch.zeros(1, 1, layer.inputs, device=device) for layer in model.layers]
    b = [torch.zeros(1, 1, layer.outputs, device=device) for layer in model.layers]
    frozen = [*model.model.parameters(), *model.model.buffers(), *a, *b]
    ids = torch.zeros(1, _PROBE_TOKENS, dtype=torch.int64, device=device)
    for factor in (*a, *b):
        factor.requires_grad_()
    known = {tensor.untyped_storage().data_ptr() for tensor in frozen}
    with torch.enable_grad(), model.stacked(a, b, 1.0), KeptBytes(known) as kept:
        # Storages are told apart by where they are, so the graph must live until all are seen.
        _graph = model.model.base_model(input_ids=ids)
    return kept.total / _PROBE_TOKENS


def chunk_bytes(
    model: AdaptedModel,
    kept: float,
    tokens: int,
    answers: int,
    devices: int,
    rank: int,
    training: bool,
) -> int:
    """Return the estimated peak of a chunk beyond the model itself [byte].

    Parameters
    ----------
    model : the shared model
    kept : per token, from `kept_per_token`, with what is computed again at a time [byte]
    tokens, answers : of all devices; those of which logits are computed
    devices, rank : number and rank of the adapters
    training : whether there is a backward pass, and an optimizer
    """
    width = model.model.dtype.itemsize
    widest = max(layer.inputs + layer.outputs for layer in model.layers)
    entries = devices * rank * sum(layer.inputs + layer.outputs for layer in model.layers)
    logits = _FLOAT_BYTES * answers * model.vocabulary
    passing = _PASSING * width * tokens * widest
    if not training:
        return int(passing + _LOGITS_FORWARD * logits + _FLOAT_BYTES * entries)
    low = width * tokens * (rank - 1) * len(model.layers)
    adapters = _ENTRY_TRAINING * _FLOAT_BYTES * entries
    return int(kept * tokens + low + passing + _LOGITS_TRAINING * logits + adapters)
