"""The loss of a device-major batch: each device's mean cross-entropy over its answer tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .model import IGNORED

if TYPE_CHECKING:
    from .adapters.stacked import AdaptedModel


def answer_loss(
    model: AdaptedModel, ids: torch.Tensor, labels: torch.Tensor, devices: int
) -> torch.Tensor:
    """Return the loss of each device; the gradient of their sum is each device's own gradient.

    Parameters
    ----------
    model : the shared model, with the adapters of `devices` devices on it
    ids, labels : (devices * batch, length) tokens; -100 marks those that are not predicted

    Returns
    -------
    (devices,) mean over the answer tokens of a device's batch [nat]
    """
    targets = labels[:, 1:]
    answer = targets != IGNORED
    losses = torch.nn.functional.cross_entropy(
        model.answer_logits(ids, labels), targets[answer], reduction="none"
    )
    per_device = ids.shape[0] // devices
    owner = torch.arange(devices).repeat_interleave(per_device)[:, None].expand_as(targets)[answer]
    total = torch.zeros(devices).index_add(0, owner, losses)
    return total / torch.bincount(owner, minlength=devices)
