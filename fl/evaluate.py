"""How well an adapter does on every task: an instrument that costs no simulated time.

A free answer is right if every one of its tokens, and the end of text, is the likeliest in one
teacher-forced pass, which is when greedy decoding would give exactly that answer. Where there are
choices, the one with the highest mean log-likelihood per token is the model's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .model import IGNORED, encode, encode_choices

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .adapters import AdaptedModel, Adapter
    from .tasks import Example, Task

_BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Rows:
    """A task's test set as tokens.

    Parameters
    ----------
    ids, labels : (rows, length)
    owner : (rows,) example of each row
    right : (rows,) whether the row is its example's right answer; None for free answers
    """

    ids: torch.Tensor
    labels: torch.Tensor
    owner: np.ndarray[tuple[int], np.dtype[np.int64]]
    right: np.ndarray[tuple[int], np.dtype[np.bool_]] | None

    @staticmethod
    def of(
        examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> Rows:
        """Return examples as rows; scored by choice if all of them have choices."""
        if all(example.choices for example in examples):
            encoded, owner, right = encode_choices(examples, tokenizer, max_length)
            return Rows(encoded.ids, encoded.labels, owner, right)
        encoded = encode(examples, tokenizer, max_length)
        return Rows(encoded.ids, encoded.labels, np.arange(len(examples)), None)


class Evaluator:
    """The test sets of all tasks.

    Parameters
    ----------
    model : the shared model
    tasks : what is tested
    tokenizer, max_length : how examples become tokens
    """

    def __init__(
        self,
        model: AdaptedModel,
        tasks: Sequence[Task],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
    ) -> None:
        self._model = model
        self._rows = [Rows.of(task.test, tokenizer, max_length) for task in tasks]
        self._untrained: list[float] | None = None

    def accuracies(self, adapter: Adapter) -> list[float]:
        """Return the accuracy of one adapter on each task, between 0 and 1."""
        if not adapter.is_zero():
            return self._measure(adapter)
        if self._untrained is None:
            self._untrained = self._measure(adapter)
        return self._untrained

    def _measure(self, adapter: Adapter) -> list[float]:
        with torch.inference_mode(), self._model.merged(adapter):
            return [self._accuracy(rows) for rows in self._rows]

    def _accuracy(self, rows: Rows) -> float:
        scores = []
        step = max(1, _BATCH_TOKENS // rows.ids.shape[1])
        for start in range(0, len(rows.ids), step):
            ids, labels = rows.ids[start : start + step], rows.labels[start : start + step]
            scores.append(self._scores(ids, labels, exact=rows.right is None))
        score = torch.cat(scores).numpy()
        if rows.right is None:
            return float(score.mean(dtype=np.float64))
        hits = [
            rows.right[rows.owner == example][np.argmax(score[rows.owner == example])]
            for example in range(int(rows.owner[-1]) + 1)
        ]
        return float(np.mean(hits))

    def _scores(self, ids: torch.Tensor, labels: torch.Tensor, exact: bool) -> torch.Tensor:
        """Return whether each row's answer is exact, or its mean log-likelihood, (rows,)."""
        targets = labels[:, 1:]
        answer = targets != IGNORED
        logits = self._model.answer_logits(ids, labels)
        if exact:
            value = (logits.argmax(-1) == targets[answer]).float()
        else:
            value = -torch.nn.functional.cross_entropy(logits, targets[answer], reduction="none")
        row = torch.arange(len(ids))[:, None].expand_as(targets)[answer]
        mean = torch.zeros(len(ids)).index_add(0, row, value) / answer.sum(1)
        return (mean == 1.0).float() if exact else mean
