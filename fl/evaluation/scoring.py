"""Scoring rules: which of several choices is a language model's answer.

The choice of highest score is the answer, the first one of equals. Rules differ in how they treat
the length of a choice, which can decide a comparison of models.

Sources: `harness` and `harness-norm` are `acc` and `acc_norm` of EleutherAI's evaluation harness,
which scores the text of a choice without the end of text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config import SCORING_RULES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy of one adapter on one task.

    Parameters
    ----------
    accuracy : by the rule of the scenario, 0 to 1
    by_rule : accuracy by each rule; empty for answers without choices
    correct : number of correct answers of each class; empty for texts
    """

    accuracy: float
    by_rule: Mapping[str, float]
    correct: tuple[int, ...] = ()


class ChoiceScorer:
    """Scoring of the choices of all examples of a task.

    Parameters
    ----------
    texts : (rows,) text of each choice
    tokens : (rows,) number of its tokens, the end of text included
    owner : (rows,) index of its example, ascending
    correct : (rows,) whether it is the correct choice
    """

    def __init__(
        self,
        texts: Sequence[str],
        tokens: NDArray[np.int64],
        owner: NDArray[np.int64],
        correct: NDArray[np.bool_],
    ) -> None:
        self._tokens = tokens
        self._bytes = np.array([len(text.encode()) for text in texts])
        self._characters = np.array([len(text) for text in texts])
        self._owner, self._correct = owner, correct

    def accuracies(self, total: NDArray[np.float32], end: NDArray[np.float32]) -> dict[str, float]:
        """Return the accuracy by each rule.

        Parameters
        ----------
        total : (rows,) log-likelihood of each choice with the end of text [nat]
        end : (rows,) log-likelihood of its end of text [nat]
        """
        whole, text = total.astype(np.float64), (total - end).astype(np.float64)
        scores = {
            # In the precision of the sums, so that equal choices stay equal.
            "mean": total / self._tokens.astype(np.float32),
            "sum": whole,
            "per-byte": whole / self._bytes,
            "harness": text,
            "harness-norm": text / self._characters,
        }
        return {rule: self._accuracy(scores[rule]) for rule in SCORING_RULES}

    def _accuracy(self, score: Floats) -> float:
        order = np.lexsort((np.arange(len(score)), -score, self._owner))
        first = np.unique(self._owner[order], return_index=True)[1]
        return float(np.mean(self._correct[order][first]))
