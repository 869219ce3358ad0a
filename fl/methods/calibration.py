"""Calibration statistics of the frozen model on a device's own data, before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ..adapters import AdaptedModel, Adapter
from ..models.language_model import IGNORED
from ..training.loss import answer_loss

if TYPE_CHECKING:
    from ..models.language_model import Encoded


def second_moments(model: AdaptedModel, examples: Encoded, prompts: int) -> list[torch.Tensor]:
    """Return the second moment of each adapted layer's input over the tokens of the first prompts.

    Parameters
    ----------
    model : the shared model, without adapters
    examples : training examples
    prompts : number of prompts

    Returns
    -------
    per layer (inputs, inputs)
    """
    ids, labels = examples.ids[:prompts].to(model.device), examples.labels[:prompts]
    of_prompt = ((examples.mask[:prompts] == 1) & (labels == IGNORED)).to(model.device)
    with torch.no_grad(), model.recorded_inputs() as recorded:
        model.run_hidden(ids)
    moments = []
    for inputs in recorded:
        tokens = inputs[0][of_prompt].float()
        moments.append((tokens.T @ tokens / tokens.shape[0]).cpu())
    return moments


def b_gradients(
    model: AdaptedModel, adapter: Adapter, batches: Sequence[Encoded]
) -> list[torch.Tensor]:
    """Return the gradient of the loss with respect to B, summed over batches.

    Returns
    -------
    per layer (outputs, rank)
    """
    a = [factor[None].to(model.device) for factor in adapter.a]
    # [devices, rank, outputs]
    b = [factor.T[None].to(model.device, copy=True).requires_grad_() for factor in adapter.b]
    with model.stacked(a, b, adapter.scale):
        for batch in batches:
            answer_loss(model, batch.ids, batch.labels, devices=1).sum().backward()
    return [factor.grad[0].T.cpu() for factor in b if factor.grad is not None]
