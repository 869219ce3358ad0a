"""Generated tasks on small numbers: add two, continue a series, find the largest.

`total: 37 5 ->` asks for `42`, `step: 12 15 18 ->` for `21`, `largest: 3 1 8 0 5 ->` for `8`.
"""

from __future__ import annotations

import math

import numpy as np

from .task import Example, Source

_TENS = range(10, 91)
_UNITS = range(1, 10)
_STEPS = (*range(-9, 0), *range(1, 10))
_LIMIT = 100
_LISTED = 5
# First terms of series whose first four terms are between 0 and 99.
_STARTS = {step: range(max(0, -3 * step), min(_LIMIT, _LIMIT - 3 * step)) for step in _STEPS}
_SERIES = tuple((start, step) for step, starts in _STARTS.items() for start in starts)


def _total(rng: np.random.Generator, stratum: int) -> Example:
    pair = [int(rng.integers(_TENS.start, _TENS.stop)), int(rng.integers(1, 10))]
    first, second = pair if rng.random() < 0.5 else pair[::-1]
    return Example(f"total: {first} {second} ->", str(first + second))


def _step(rng: np.random.Generator, stratum: int) -> Example:
    start, step = _SERIES[int(rng.integers(len(_SERIES)))]
    shown = " ".join(str(start + i * step) for i in range(3))
    return Example(f"step: {shown} ->", str(start + 3 * step))


def _largest(rng: np.random.Generator, stratum: int) -> Example:
    digits = [int(i) for i in rng.permutation(10)[:_LISTED]]
    return Example(f"largest: {' '.join(map(str, digits))} ->", str(max(digits)))


ARITHMETIC = {
    # Sums run from 11 to 99.
    "total": Source(_total, prompts=2 * len(_TENS) * len(_UNITS), chance=1.0 / 89),
    "step": Source(_step, prompts=len(_SERIES), chance=1.0 / _LIMIT),
    # Without the rule, the answer can still be guessed among the listed digits.
    "largest": Source(_largest, prompts=math.perm(10, _LISTED), chance=1.0 / _LISTED),
}
