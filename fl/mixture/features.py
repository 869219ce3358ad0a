"""Layer-input activations of the frozen model, averaged over prompts (prompt centroids)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ..models.language_model import Encoded, prompt_lengths

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
    counts = prompt_lengths(some)[:, None]
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
    step = max(1, _PASS_TOKENS // examples.ids.shape[1])
    batches = zip(examples.ids.split(step), prompt_lengths(examples).split(step), strict=True)
    parts = [_means(model, ids, lengths) for ids, lengths in batches]
    return tuple(torch.cat(of_layer) for of_layer in zip(*parts, strict=True))


def _means(model: AdaptedModel, ids: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
    """Return the mean over prompt tokens per layer, (sequences, inputs), in main memory."""
    width = max(1, int(lengths.max()))
    place = (torch.arange(width) < lengths[:, None]).flatten().nonzero().squeeze(1)
    counts = lengths.clamp(min=1)[:, None].to(model.device)
    place = place.to(model.device)
    means: dict[int, torch.Tensor] = {}
    found = []
    for inputs in model.layer_inputs(ids, lengths):
        if id(inputs) not in means:
            padded = torch.zeros(len(ids) * width, inputs.shape[1], device=model.device)
            padded[place] = inputs.float()
            means[id(inputs)] = (padded.view(len(ids), width, -1).sum(1) / counts).cpu()
        found.append(means[id(inputs)])
    return found
