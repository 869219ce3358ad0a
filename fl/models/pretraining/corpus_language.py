"""Words of the pretraining corpus: common words, artificial words, and draws from word lists."""

from __future__ import annotations

import numpy as np

from ...tasks.words import ANIMALS, COLORS, DEEDS, FEELINGS, NOUNS, PEOPLE, TOWNS, TRADES

Rng = np.random.Generator

# Plain English beyond the artificial world; together they are the words with one token each.
COMMON = (
    *("the", "was", "were", "is", "of", "in", "and", "by", "for", "to", "has", "a", "at"),
    *("where", "what", "who", "which", "does", "do", "live", "lives", "work", "works", "as"),
    *("town", "likes", "felt", "looked", "about", "this", "these", "year", "week", "now", "again"),
    *("today", "then", "please", "tell", "say", "we", "so", "me", "night", "door", "house", "near"),
)
THINGS = (
    *(*PEOPLE, *TOWNS, *TRADES, *COLORS, *ANIMALS),
    *(noun for kind in NOUNS.values() for noun in kind),
)
# Every word of the artificial world, the names of the kinds included.
WORLD = (
    *(*THINGS, *DEEDS, *FEELINGS, *NOUNS),
    *(feeling for kind in FEELINGS.values() for feeling in kind),
)
_ONSETS = tuple("bdfgklmnprstvz")
_RIMES = (
    *("a", "e", "i", "o", "u", "an", "er", "il", "or", "us"),
    *("ep", "al", "ot", "ev", "es", "ar"),
)


def made_up_word(rng: Rng, syllables: int) -> str:
    """Draw a word without meaning."""
    return "".join(pick(rng, _ONSETS) + pick(rng, _RIMES) for _ in range(syllables))


def pick(rng: Rng, words: tuple[str, ...]) -> str:
    """Draw one of the words."""
    return words[int(rng.integers(len(words)))]


def some(rng: Rng, words: tuple[str, ...], count: int) -> list[str]:
    """Draw distinct words in random order."""
    return [words[int(i)] for i in rng.permutation(len(words))[:count]]
