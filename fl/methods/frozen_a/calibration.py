"""Calibration statistics of the frozen model on a device's own data, before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ...adapters import AdaptedModel, Adapter
from ...models.language_model import prompt_lengths
from ...training.loss import answer_loss

if TYPE_CHECKING:
    from ...models.language_model import Encoded


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
    lengths = prompt_lengths(examples)[:prompts]
    moments: dict[int, torch.Tensor] = {}
    found = []
    for inputs in model.layer_inputs(examples.ids[:prompts], lengths):
        if id(inputs) not in moments:
            tokens = inputs.float()
            moments[id(inputs)] = (tokens.T @ tokens / tokens.shape[0]).cpu()
        found.append(moments[id(inputs)])
    return found


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
