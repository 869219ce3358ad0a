"""Reference scoring of answers, for tests of faster evaluation.

A free answer is right if every label is the likeliest next token in one pass over the complete row,
as in greedy decoding. Of several choices the one with the highest mean log-likelihood per label
counts as the model's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fl.models.language_model import IGNORED, Encoded, encode, encode_choices
from fl.tasks import Example

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def exact_match(logits: Tensor, labels: Tensor) -> Tensor:
    """Return which rows would be answered exactly by greedy decoding.

    Parameters
    ----------
    logits : (n, s, vocabulary) the model's output for the rows
    labels : (n, s) as in `Encoded`

    Returns
    -------
    (n,) whether every label is the likeliest token
    """
    wanted = labels[:, 1:]
    hit = logits[:, :-1].argmax(-1) == wanted
    return (hit | (wanted == IGNORED)).all(-1)


def mean_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean log-likelihood per label of every row, (n,); arguments as `exact_match`."""
    wanted = labels[:, 1:]
    losses = functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none"
    )
    return -losses.sum(-1) / (wanted != IGNORED).sum(-1)


def accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    max_length: int = 256,
) -> float:
    """Return a model's share of right answers, 0 to 1: the plain way, one pass over all rows.

    Parameters
    ----------
    model, tokenizer : as from `load`
    examples : (n,) all with choices or all without
    max_length : as in `encode`
    """
    if not examples[0].choices:
        rows = encode(examples, tokenizer, max_length)
        return float(exact_match(_logits(model, rows), rows.labels).float().mean())
    rows, owner, right = encode_choices(examples, tokenizer, max_length)
    likelihood = mean_log_likelihood(_logits(model, rows), rows.labels).numpy()
    bounds = [*np.flatnonzero(np.diff(owner, prepend=-1)), len(owner)]
    hits = [right[a:b][likelihood[a:b].argmax()] for a, b in pairwise(bounds)]
    return float(np.mean(hits))


@torch.no_grad()
def _logits(model: PreTrainedModel, rows: Encoded) -> Tensor:
    output: Tensor = model(input_ids=rows.ids, attention_mask=rows.mask).logits
    return output
