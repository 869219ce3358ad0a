"""Layer-input activations of the frozen model, averaged over prompts (prompt centroids)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ..models.language_model import IGNORED, Encoded

if TYPE_CHECKING:
    from ..adapters import AdaptedModel

EMBEDDING_SIZE = 256
"""Length of a prompt embedding."""

_PASS_TOKENS = 1024
"""Tokens per forward pass, which holds the inputs of all layers in memory."""


def centroid(model: AdaptedModel, examples: Encoded, prompts: int) -> tuple[torch.Tensor, ...]:
    """Return the mean input of each layer over all tokens of the first prompts.

    Parameters
    ----------
    model : the shared model, without adapters
    examples : examples of a device
    prompts : number of prompts

    Returns
    -------
    per layer (inputs,)
    """
    some = Encoded(examples.ids[:prompts], examples.mask[:prompts], examples.labels[:prompts])
    counts = _of_prompt(some).sum(1, keepdim=True)
    share = counts / counts.sum().clamp(min=1)
    return tuple((share * means).sum(0) for means in pooled(model, some))


def prompt_embedding(centroid: Sequence[torch.Tensor], seed: int) -> torch.Tensor:
    """Return the random-projection embedding of a prompt centroid, (EMBEDDING_SIZE,).

    Sources: random projections preserve angles up to about 1/sqrt(EMBEDDING_SIZE) (Johnson and
    Lindenstrauss, 1984).

    Parameters
    ----------
    centroid : per layer (inputs,); all layers have equal weight
    seed : seed of the projection, common to all devices
    """
    flat = torch.cat([torch.nn.functional.normalize(mean, dim=0) for mean in centroid])
    generator = torch.Generator().manual_seed(seed)
    projection = torch.randn(EMBEDDING_SIZE, len(flat), generator=generator) / EMBEDDING_SIZE**0.5
    embedding: torch.Tensor = projection @ flat
    return embedding


def pooled(model: AdaptedModel, examples: Encoded) -> tuple[torch.Tensor, ...]:
    """Return the mean input of each layer over the tokens of each prompt.

    Parameters
    ----------
    model : the shared model, without adapters
    examples : the examples, whose answers are ignored

    Returns
    -------
    per layer (examples, inputs); zero for a prompt without tokens
    """
    of_prompt = _of_prompt(examples)
    step = max(1, _PASS_TOKENS // examples.ids.shape[1])
    batches = zip(examples.ids.split(step), of_prompt.split(step), strict=True)
    parts = [_means(model, ids, chosen) for ids, chosen in batches]
    return tuple(torch.cat(of_layer) for of_layer in zip(*parts, strict=True))


def _of_prompt(examples: Encoded) -> torch.Tensor:
    """Return the mask of prompt tokens, (examples, length)."""
    return (examples.mask == 1) & (examples.labels == IGNORED)


def _means(model: AdaptedModel, ids: torch.Tensor, chosen: torch.Tensor) -> list[torch.Tensor]:
    """Return the mean over chosen tokens per layer, (sequences, inputs), in main memory."""
    # Tokens after the last prompt token do not affect it.
    used = chosen.any(0).nonzero()
    length = int(used.max()) + 1 if len(used) else 1
    ids, chosen = ids[:, :length].to(model.device), chosen[:, :length].to(model.device)
    share = chosen / chosen.sum(1, keepdim=True).clamp(min=1)
    with torch.no_grad(), model.recorded_inputs() as recorded:
        # Logits of one token: the output layer may be adapted too, but is expensive in full.
        model.logits_at(ids, torch.zeros(1, dtype=torch.int64, device=model.device))
    # [sequences, 1, tokens] times [sequences, tokens, inputs]
    return [torch.bmm(share[:, None], inputs[0].float())[:, 0].cpu() for inputs in recorded]
