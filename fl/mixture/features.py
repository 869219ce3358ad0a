"""What enters the layers of the model without adapters while it reads prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ..models.language_model import IGNORED, Encoded

if TYPE_CHECKING:
    from ..adapters import AdaptedModel

SKETCH = 256
"""Numbers of a sketch."""

_PASS_TOKENS = 1024
"""How many tokens are run at once: the inputs of all layers are held meanwhile."""


def centroid(model: AdaptedModel, examples: Encoded, prompts: int) -> tuple[torch.Tensor, ...]:
    """Return the mean of what enters each layer, over all tokens of some prompts.

    Parameters
    ----------
    model : the shared model, without adapters
    examples : a device's examples, of which the first ones are used
    prompts : how many

    Returns
    -------
    per layer (inputs,)
    """
    some = Encoded(examples.ids[:prompts], examples.mask[:prompts], examples.labels[:prompts])
    counts = _of_prompt(some).sum(1, keepdim=True)
    share = counts / counts.sum().clamp(min=1)
    return tuple((share * means).sum(0) for means in pooled(model, some))


def sketch(means: Sequence[torch.Tensor], seed: int) -> torch.Tensor:
    """Return a few numbers whose angles are those of the means of all layers, (SKETCH,).

    Sources: random projections keep angles up to about 1/sqrt(SKETCH) (Johnson and Lindenstrauss,
    1984).

    Parameters
    ----------
    means : per layer (inputs,), each of which counts alike
    seed : of the projection, the same for all devices
    """
    flat = torch.cat([torch.nn.functional.normalize(mean, dim=0) for mean in means])
    generator = torch.Generator().manual_seed(seed)
    projection = torch.randn(SKETCH, len(flat), generator=generator) / SKETCH**0.5
    numbers: torch.Tensor = projection @ flat
    return numbers


def pooled(model: AdaptedModel, examples: Encoded) -> tuple[torch.Tensor, ...]:
    """Return the mean of what enters each layer, over the tokens of each prompt.

    Parameters
    ----------
    model : the shared model, without adapters
    examples : their answers are not looked at

    Returns
    -------
    per layer (examples, inputs); zero where a prompt has no token
    """
    of_prompt = _of_prompt(examples)
    step = max(1, _PASS_TOKENS // examples.ids.shape[1])
    batches = zip(examples.ids.split(step), of_prompt.split(step), strict=True)
    parts = [_means(model, ids, chosen) for ids, chosen in batches]
    return tuple(torch.cat(of_layer) for of_layer in zip(*parts, strict=True))


def _of_prompt(examples: Encoded) -> torch.Tensor:
    """Return which tokens are a prompt's, (examples, length)."""
    return (examples.mask == 1) & (examples.labels == IGNORED)


def _means(model: AdaptedModel, ids: torch.Tensor, chosen: torch.Tensor) -> list[torch.Tensor]:
    """Return the mean over chosen tokens per layer, (sequences, inputs), in main memory."""
    # What follows the last prompt token has no influence on it.
    used = chosen.any(0).nonzero()
    length = int(used.max()) + 1 if len(used) else 1
    ids, chosen = ids[:, :length].to(model.device), chosen[:, :length].to(model.device)
    share = chosen / chosen.sum(1, keepdim=True).clamp(min=1)
    with torch.no_grad(), model.recorded_inputs() as seen:
        # One token's logits: the output layer may be adapted, too, but all of it would be dear.
        model.logits_at(ids, torch.zeros(1, dtype=torch.int64, device=model.device))
    # [sequences, 1, tokens] times [sequences, tokens, inputs]
    return [torch.bmm(share[:, None], inputs[0].float())[:, 0].cpu() for inputs in seen]
