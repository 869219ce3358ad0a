"""Generated tasks on a row of five letters: reverse it, sort it, or shift each letter by one.

`reverse: k d a f m ->` asks for `m f a d k`. All three have the same inputs, so that only the name
of the task distinguishes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .task import Example, Source
from .words import LETTERS

LENGTH = 5


def _source(word: str, rule: Callable[[list[int]], list[int]]) -> Source:
    """Return the task that applies a rule to the letters' positions in the alphabet."""

    def draw(rng: np.random.Generator, stratum: int) -> Example:
        row = [int(i) for i in rng.permutation(len(LETTERS))[:LENGTH]]
        return Example(f"{word}: {_text(row)} ->", _text(rule(row)))

    rows = math.perm(len(LETTERS), LENGTH)
    answers = math.comb(len(LETTERS), LENGTH) if word == "sort" else rows
    return Source(draw, prompts=rows, chance=1.0 / answers)


def _text(row: list[int]) -> str:
    return " ".join(LETTERS[i] for i in row)


def _next_letters(row: list[int]) -> list[int]:
    return [(i + 1) % len(LETTERS) for i in row]


SEQUENCES = {
    "reverse": _source("reverse", lambda row: row[::-1]),
    "sort": _source("sort", sorted),
    "shift": _source("shift", _next_letters),
}
