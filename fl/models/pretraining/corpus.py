"""Pretraining corpus of the built-in model: synthetic documents that teach general skills.

A document is the application of a rule with an artificial name, a copy of random text, plain
arithmetic, facts of a world that exists in one document only, or simple English about actions.
No name, rule, table, prompt or answered prompt of a task occurs in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
from .corpus_language import COMMON, WORLD, Rng, made_up_word, pick, some
from .corpus_rules import apply_rule, letters, numbers, rearrange

__all__ = ["COMMON", "WORLD", "Document", "document"]


@dataclass(frozen=True)
class Document:
    """Text in two parts.

    Attributes
    ----------
    given : the beginning, mostly random, so that little can be learned from predicting it
    taught : the rest, which follows from the beginning or is plain language; starts with a space
    """

    given: str
    taught: str


def document(rng: Rng) -> Document:
    """Draw a document from all kinds."""
    return _KINDS[int(rng.choice(len(_KINDS), p=_SHARES))](rng)


def _rule(rng: Rng) -> Document:
    """Return a rule with a fixed artificial name, applied once."""
    name, shown, answer = apply_rule(rng)
    return Document(f"{name}: {shown} ->", f" {answer}")


def _rule_in_context(rng: Rng) -> Document:
    """Return a rearrangement with a name of one document, applied several times."""
    name = made_up_word(rng, int(rng.integers(1, 4)))
    length = int(rng.integers(2, 5))
    order = tuple(int(i) for i in rng.permutation(length)[: int(rng.integers(1, length + 1))])
    rule = rearrange(order)
    rows = [[int(i) for i in rng.permutation(len(LETTERS))[:length]] for _ in range(4)]
    *first, last = (f"{letters(row)} -> {letters(rule(row))}" for row in rows)
    return Document(f"{name}: {' ; '.join(first[:2])}", f" ; {first[2]} ; {last}")


def _copy(rng: Rng) -> Document:
    """Return random words and characters, twice."""
    parts = []
    for _ in range(int(rng.integers(3, 9))):
        style = rng.random()
        if style < 0.4:
            parts.append(pick(rng, WORLD))
        elif style < 0.7:
            parts.append(pick(rng, LETTERS))
        elif style < 0.8:
            parts.append(str(int(rng.integers(100))))
        elif style < 0.9:
            parts.append(pick(rng, COMMON))
        else:
            # Any character up to Latin Extended-B, so that every kind of byte occurs.
            parts.append(made_up_word(rng, 1) + chr(int(rng.integers(33, 0x250))))
    text = " ".join(parts)
    return Document(f" {text}", f" ; {text}")


def _alphabet(rng: Rng) -> Document:
    """Return a part of the alphabet, forwards or backwards."""
    start, length = int(rng.integers(len(LETTERS))), int(rng.integers(4, 9))
    sign = 1 if rng.random() < 0.5 else -1
    row = [start + sign * i for i in range(length)]
    return Document(f" {letters(row[:2])}", f" {letters(row[2:])}")


def _sum(rng: Rng) -> Document:
    """Return an addition or subtraction of a number below ten, with a result from 0 to 99."""
    a, b = int(rng.integers(100)), int(rng.integers(10))
    if a + b <= 99 and rng.random() < 0.6:
        first, second = (a, b) if rng.random() < 0.5 else (b, a)
        return Document(f" {first} + {second} =", f" {a + b}")
    return Document(f" {max(a, b)} - {min(a, b)} =", f" {abs(a - b)}")


def _compare(rng: Rng) -> Document:
    """Return two letters or two digits, and their order."""
    show, count = (letters, len(LETTERS)) if rng.random() < 0.6 else (numbers, 10)
    a, b = (int(i) for i in rng.permutation(count)[:2])
    return Document(f" {show([a])} and {show([b])}", f" {show([min(a, b)])} < {show([max(a, b)])}")


_STATEMENTS = (
    (TOWNS, ("{} lives in {}", "the town of {} is {}"), ("where does {} live", "{} is in")),
    (TRADES, ("{} works as {}", "the work of {} is {}"), ("what does {} do", "{} is a")),
    (COLORS, ("{} likes {}", "the door of {} is {}"), ("what does {} like", "{} has")),
)


def _facts(rng: Rng) -> Document:
    """Return facts about some people, and questions about them."""
    answers, statements, questions = _STATEMENTS[int(rng.integers(len(_STATEMENTS)))]
    people = some(rng, PEOPLE, 3)
    truth = dict(zip(people, some(rng, answers, 3), strict=True))
    stated = [pick(rng, statements).format(who, truth[who]) for who in people]
    asked = [
        f"{pick(rng, questions).format(who)} -> {truth[who]}" for who in some(rng, tuple(people), 2)
    ]
    return Document(f" {' . '.join(stated)}", f" . {' . '.join(asked)}")


def _labels(rng: Rng) -> Document:
    """Return words with labels of one document, then their labels again."""
    pairs = zip(some(rng, WORLD, 3), some(rng, WORLD, 3), strict=True)
    lines = [f"{word} -> {label}" for word, label in pairs]
    name = made_up_word(rng, int(rng.integers(1, 4)))
    again = some(rng, tuple(lines), 3)
    return Document(f"{name}: {' ; '.join(lines)}", f" ; {' ; '.join(again)}")


def _kin(rng: Rng) -> Document:
    """Return a sentence in which words of one kind occur together."""
    feelings = rng.random() < 0.5
    kinds = tuple((FEELINGS if feelings else NOUNS).values())
    first, second, third = some(rng, kinds[int(rng.integers(len(kinds)))], 3)
    who, animal, time = pick(rng, PEOPLE), pick(rng, ANIMALS), pick(rng, TIMES)
    if feelings:
        text = f" {who} felt {first} and {second} {time} and the {animal} was {third}"
    else:
        text = f" {who} has the {first} and {second} {time} and the {animal} has the {third}"
    return Document("", text)


def _deed(rng: Rng) -> Document:
    """Return an action between two animals, in both voices or as a question with its answer."""
    one, other = some(rng, ANIMALS, 2)
    deed, time = pick(rng, DEEDS), pick(rng, TIMES)
    active = f" the {one} {deed} the {other} {time}"
    passive = f" the {other} was {deed} by the {one} {time}"
    first, second = (active, passive) if rng.random() < 0.5 else (passive, active)
    style = rng.random()
    if style < 0.4:
        return Document(first, f" .{second}")
    if style < 0.7:
        return Document(first, f" . who {deed} the {other} ? the {one}")
    return Document(first, f" . who was {deed} ? the {other}")


_KINDS: tuple[Callable[[Rng], Document], ...] = (
    *(_rule, _rule_in_context, _copy, _alphabet, _sum, _compare),
    *(_facts, _labels, _kin, _deed),
)
_SHARES = (0.58, 0.04, 0.05, 0.02, 0.13, 0.02, 0.06, 0.03, 0.03, 0.04)
