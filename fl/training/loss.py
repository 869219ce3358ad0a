"""Loss of a device-major batch: the mean cross-entropy of each device over its answer tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..models.language_model import IGNORED, predicted

if TYPE_CHECKING:
    from ..adapters.stacked import AdaptedModel
    from ..models.language_model import Encoded


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Sequences of several devices and the answer tokens to predict.

    Parameters
    ----------
    ids : (devices * batch, length) tokens, device by device
    positions : (answers,) index of the token from which each answer token is predicted
    tokens : (answers,) the answer tokens
    owner : (answers,) device of each answer token
    counts : (devices,) number of answer tokens
    """

    ids: torch.Tensor
    positions: torch.Tensor
    tokens: torch.Tensor
    owner: torch.Tensor
    counts: torch.Tensor

    @staticmethod
    def of(ids: torch.Tensor, labels: torch.Tensor, devices: int, device: torch.device) -> Batch:
        """Return tokens and labels (devices * batch, length) as a batch on a torch device.

        Indices are computed in main memory, where the labels are, without synchronizing a GPU.
        """
        positions = predicted(labels)
        owner = torch.div(positions, labels.numel() // devices, rounding_mode="floor")
        counts = torch.bincount(owner, minlength=devices)
        parts = (ids, positions, labels.flatten()[positions + 1], owner, counts)
        return Batch(*(part.to(device, non_blocking=True) for part in parts))

    @staticmethod
    def collate(batches: Sequence[Encoded], device: torch.device) -> Batch:
        """Collate one batch per device; missing sequences are padding without labels."""
        width = max(1, *(int(batch.mask.any(0).sum()) for batch in batches))
        shape = (len(batches), max(batch.ids.shape[0] for batch in batches), width)
        ids = torch.zeros(shape, dtype=torch.int64)
        labels = torch.full(shape, IGNORED)
        for row, batch in enumerate(batches):
            length, count = min(width, batch.ids.shape[1]), batch.ids.shape[0]
            ids[row, :count, :length] = batch.ids[:, :length]
            labels[row, :count, :length] = batch.labels[:, :length]
        return Batch.of(ids.flatten(0, 1), labels.flatten(0, 1), len(batches), device)


def batch_loss(model: AdaptedModel, batch: Batch) -> torch.Tensor:
    """Return the loss of each device; the gradient of their sum is each device's own gradient.

    Parameters
    ----------
    model : the shared model, with the adapters of the batch's devices attached
    batch : the sequences

    Returns
    -------
    (devices,) mean over the answer tokens of a device's batch [nat]; NaN if it has none
    """
    logits = model.restrict_to_choices(
        model.logits_at(batch.ids, batch.positions).float(), batch.tokens
    )
    losses = torch.nn.functional.cross_entropy(logits, batch.tokens, reduction="none")
    total = torch.zeros(len(batch.counts), device=losses.device)
    return total.index_add(0, batch.owner, losses) / batch.counts


def answer_loss(
    model: AdaptedModel, ids: torch.Tensor, labels: torch.Tensor, devices: int
) -> torch.Tensor:
    """Return the loss of each device as `batch_loss` does, given tokens and labels.

    Parameters
    ----------
    model : the shared model, with the adapters of `devices` devices attached
    ids, labels : (devices * batch, length) tokens; -100 marks those that are not predicted
    """
    return batch_loss(model, Batch.of(ids, labels, devices, model.device))
