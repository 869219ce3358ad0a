"""Generated tasks that classify a sentence: its tone, its topic, or its actor of two animals.

The classes are balanced. For `tone` and `topic` one word determines the class and the others vary
freely; for `actor` the same words in active and passive voice have different answers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .task import Example, Source
from .words import ANIMALS, DEEDS, FEELINGS, NOUNS, PEOPLE, TIMES

_TONE = (
    "{person} felt {word} {time}",
    "the {animal} looked {word} {time}",
    "{person} was {word} about the {animal} {time}",
    "the {animal} and {person} were {word} {time}",
)
_TOPIC = (
    "{person} spoke of the {word} {time}",
    "the {word} is for {person} {time}",
    "the {animal} came near the {word} {time}",
    "{person} and the {animal} had a {word} {time}",
)


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]


def _source(task: str, kinds: Mapping[str, tuple[str, ...]], templates: tuple[str, ...]) -> Source:
    """Return the task that asks for the kind of one word of a sentence."""
    labels = tuple(kinds)

    def draw(rng: np.random.Generator, stratum: int) -> Example:
        label = labels[stratum]
        sentence = _pick(rng, templates).format(
            word=_pick(rng, kinds[label]),
            person=_pick(rng, PEOPLE),
            animal=_pick(rng, ANIMALS),
            time=_pick(rng, TIMES),
        )
        return Example(f"{task}: {sentence} ->", label, labels)

    words = sum(map(len, kinds.values()))
    fillings = sum(
        (len(PEOPLE) if "{person}" in template else 1)
        * (len(ANIMALS) if "{animal}" in template else 1)
        for template in templates
    )
    return Source(
        draw, prompts=words * fillings * len(TIMES), chance=1.0 / len(labels), strata=len(labels)
    )


def _actor(rng: np.random.Generator, stratum: int) -> Example:
    first, second = (ANIMALS[int(i)] for i in rng.permutation(len(ANIMALS))[:2])
    deed, time = _pick(rng, DEEDS), _pick(rng, TIMES)
    if stratum == 0:
        sentence, actor = f"the {first} {deed} the {second} {time}", first
    else:
        sentence, actor = f"the {first} was {deed} by the {second} {time}", second
    return Example(f"actor: {sentence} ->", actor, (first, second))


SENTENCES = {
    "tone": _source("tone", FEELINGS, _TONE),
    "topic": _source("topic", NOUNS, _TOPIC),
    "actor": Source(
        _actor,
        prompts=len(ANIMALS) * (len(ANIMALS) - 1) * len(DEEDS) * len(TIMES) * 2,
        chance=0.5,
        strata=2,
    ),
}
