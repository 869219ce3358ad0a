"""Label flipping: training examples with wrong answers (data poisoning)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..tasks import Example


def flip_labels(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Return training examples with wrong answers.

    The wrong answer is the next one of the example's choices; without choices it is the answer of
    the next example, cyclically, that has a different one. If all answers are equal, they are kept.
    """
    return tuple(
        replace(each, answer=_wrong_answer(examples, index)) for index, each in enumerate(examples)
    )


def flip_classes(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return wrong classes (n,): the next class of each, cyclically."""
    return (labels + 1) % classes


def _wrong_answer(examples: Sequence[Example], index: int) -> str:
    own = examples[index]
    if own.choices:
        return own.choices[(own.choices.index(own.answer) + 1) % len(own.choices)]
    others = (examples[(index + step) % len(examples)].answer for step in range(len(examples)))
    return next((answer for answer in others if answer != own.answer), own.answer)
