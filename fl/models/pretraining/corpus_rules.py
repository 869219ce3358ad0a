"""Rules with artificial names that the built-in model memorizes, related to those of the tasks.

Rows are rearranged by other permutations than reversal, shifted by other amounts than one, and
sorted in other orders than ascending; of listed digits others than the largest are selected; of two
numbers the difference or more than the sum is computed; series are continued backwards or by two
terms; people are looked up in other tables, words have other labels, and of two animals the passive
one is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ...tasks.words import (
    ANIMALS,
    COLORS,
    DEEDS,
    FEELINGS,
    LETTERS,
    NOUNS,
    PEOPLE,
    TIMES,
    TOWNS,
    TRADES,
)
from .corpus_language import COMMON, THINGS, Rng, made_up_word, pick, some

Row = list[int]
RowRule = Callable[[Row], Row]
Rule = Callable[[Rng], tuple[str, str]]

_ROW = 5
_ORDERS = (
    (4, 0, 1, 2, 3),
    (1, 2, 3, 4, 0),
    (1, 0, 3, 2, 4),
    (4, 1, 2, 3, 0),
    (2, 1, 0, 4, 3),
    (0, 4, 3, 2, 1),
    (4, 2, 0, 3, 1),
    (1, 3, 0, 4, 2),
    (4, 3, 2),
    (0, 2, 4),
)
_SHIFTS = (-2, -1, 2, 3)


def letters(row: Row) -> str:
    """Return positions in the alphabet as letters, cyclically."""
    return " ".join(LETTERS[i % len(LETTERS)] for i in row)


def numbers(row: Row) -> str:
    """Return numbers as text."""
    return " ".join(map(str, row))


def rearrange(order: tuple[int, ...]) -> RowRule:
    """Return the rule that selects the members of a row in the given order."""
    return lambda row: [row[i] for i in order]


def _shift(by: int) -> RowRule:
    return lambda row: [i + by for i in row]


_LETTER_RULES: tuple[RowRule, ...] = (
    *map(rearrange, _ORDERS),
    *map(_shift, _SHIFTS),
    lambda row: sorted(row, reverse=True),
    lambda row: [*sorted(row)[1:], min(row)],
    lambda row: sorted(row)[:3],
    lambda row: sorted(row)[-2:],
    lambda row: [*sorted(row[:3]), *row[3:]],
)
_DIGIT_RULES: tuple[RowRule, ...] = (
    lambda row: [min(row)],
    lambda row: [sorted(row)[-2]],
    lambda row: [sorted(row)[1]],
    lambda row: sorted(row, reverse=True),
    lambda row: [row[0] + row[1]],
    lambda row: [abs(row[0] - row[4])],
)
_PAIR_RULES: tuple[RowRule, ...] = (
    lambda row: [abs(row[0] - row[1])],
    lambda row: [row[0] + row[1] - 1],
    lambda row: [row[0] + row[1] + 1],
    lambda row: [row[0] + row[1] + 2],
)
_SERIES_RULES: tuple[RowRule, ...] = (
    lambda row: [2 * row[0] - row[1]],
    lambda row: [3 * row[2] - 2 * row[1]],
    lambda row: [abs(row[1] - row[0])],
    lambda row: [row[2] + 1],
)


def _letter_row(rng: Rng) -> Row:
    return [int(i) for i in rng.permutation(len(LETTERS))[:_ROW]]


def _digit_row(rng: Rng) -> Row:
    return [int(i) for i in rng.permutation(10)[:_ROW]]


def _pair(rng: Rng) -> Row:
    pair = [int(rng.integers(10, 98)), int(rng.integers(1, 10))]
    return pair if rng.random() < 0.5 else pair[::-1]


def _series(rng: Rng) -> Row:
    """Draw three terms whose predecessor and next two successors are also between 0 and 99."""
    step = int(rng.integers(1, 10))
    start = int(rng.integers(step, 100 - 4 * step))
    row = [start + i * step for i in range(3)]
    return row if rng.random() < 0.5 else [99 - i for i in row]


def _on_rows(draw: Callable[[Rng], Row], rule: RowRule, show: Callable[[Row], str]) -> Rule:
    def apply(rng: Rng) -> tuple[str, str]:
        row = draw(rng)
        return show(row), show(rule(row))

    return apply


def _intersperse(rng: Rng, words: list[str]) -> str:
    """Return words in their order, interspersed with common words."""
    parts: list[str] = []
    for word in words:
        parts += [pick(rng, COMMON) for _ in range(int(rng.integers(0, 4)))]
        parts.append(word)
    parts += [pick(rng, COMMON) for _ in range(int(rng.integers(0, 3)))]
    return " ".join(parts)


def _table(number: int, answers: tuple[str, ...]) -> Rule:
    """Return the rule with a fixed answer for every person."""
    order = np.random.default_rng([11, number]).permutation(len(PEOPLE))
    truth = {PEOPLE[i]: answers[index % len(answers)] for index, i in enumerate(order)}

    def apply(rng: Rng) -> tuple[str, str]:
        person = pick(rng, PEOPLE)
        return _intersperse(rng, [person]), truth[person]

    return apply


def _classifier(number: int, kinds: Mapping[str, tuple[str, ...]]) -> Rule:
    """Return the rule with a fixed label for every kind of word."""
    labels = some(np.random.default_rng([13, number]), THINGS, len(kinds))

    def apply(rng: Rng) -> tuple[str, str]:
        kind = int(rng.integers(len(kinds)))
        words = [pick(rng, PEOPLE), pick(rng, ANIMALS), pick(rng, tuple(kinds.values())[kind])]
        return _intersperse(rng, some(rng, tuple(words), 3)) + f" {pick(rng, TIMES)}", labels[kind]

    return apply


def _passive_one(rng: Rng) -> tuple[str, str]:
    one, other = some(rng, ANIMALS, 2)
    deed, time = pick(rng, DEEDS), pick(rng, TIMES)
    if rng.random() < 0.5:
        return f"the {one} {deed} the {other} {time}", other
    return f"the {other} was {deed} by the {one} {time}", other


# (share of the documents about rules, the family's rules)
_FAMILIES: tuple[tuple[float, tuple[Rule, ...]], ...] = (
    (0.38, tuple(_on_rows(_letter_row, rule, letters) for rule in _LETTER_RULES)),
    (0.10, tuple(_on_rows(_digit_row, rule, numbers) for rule in _DIGIT_RULES)),
    (0.14, tuple(_on_rows(_pair, rule, numbers) for rule in _PAIR_RULES)),
    (0.10, tuple(_on_rows(_series, rule, numbers) for rule in _SERIES_RULES)),
    (
        0.15,
        tuple(_table(i, answers) for i, answers in enumerate((TOWNS, TRADES, COLORS, ANIMALS) * 3)),
    ),
    (0.10, tuple(_classifier(i, kinds) for i, kinds in enumerate((FEELINGS, NOUNS) * 4))),
    (0.03, (_passive_one,)),
)


def _named() -> tuple[tuple[tuple[str, Rule], ...], ...]:
    """Return the families with an artificial name for every rule."""
    rng = np.random.default_rng(17)
    taken: set[str] = set()
    families = []
    for _, rules in _FAMILIES:
        named = []
        for rule in rules:
            while (name := made_up_word(rng, 2)) in taken:
                pass
            taken.add(name)
            named.append((name, rule))
        families.append(tuple(named))
    return tuple(families)


_NAMED = _named()
_SHARES = tuple(share for share, _ in _FAMILIES)


def apply_rule(rng: Rng) -> tuple[str, str, str]:
    """Draw a rule and an input; return the rule's name, the input and the output."""
    family = _NAMED[int(rng.choice(len(_NAMED), p=_SHARES))]
    name, rule = family[int(rng.integers(len(family)))]
    return name, *rule(rng)
