"""Generated tasks on the people of an artificial world: their home, their trade, their color.

The world is the same for every seed; the seed selects persons and wordings. Training and test
questions about a person differ in their wording; each wording also occurs in training, about other
persons. Each answer is correct for two persons, and every sample covers all persons.
"""

from __future__ import annotations

import numpy as np

from .task import Example, Source
from .words import COLORS, PEOPLE, TOWNS, TRADES

_OPENINGS = ("", "please say", "tell me", "we say", "so", "now")
_ENDINGS = ("", "today", "these days", "this year", "again", "at night")
_CORES = {
    "home": (
        "where does {} live",
        "in which town is {}",
        "where is {}",
        "the town of {}",
        "{} lives in",
        "{} has a house in",
    ),
    "trade": (
        "what does {} do",
        "what is the work of {}",
        "who is {}",
        "the work of {}",
        "{} works as",
        "{} lives by work as a",
    ),
    "color": (
        "what does {} like",
        "which door has {}",
        "what is the door of {}",
        "the house of {}",
        "{} likes",
        "{} has a door in",
    ),
}
# (multiplier, offset) of the map from people to answers; a multiplier coprime to the number of
# people scatters neighbors of one list over the other.
_TABLES = {"home": (TOWNS, 7, 3), "trade": (TRADES, 11, 5), "color": (COLORS, 5, 8)}


def answer(task: str, person: str) -> str:
    """Return the correct answer about a person."""
    answers, multiplier, offset = _TABLES[task]
    return answers[(PEOPLE.index(person) * multiplier + offset) % len(PEOPLE) % len(answers)]


def _source(task: str) -> Source:
    cores = _CORES[task]

    def draw(rng: np.random.Generator, stratum: int) -> Example:
        person = PEOPLE[stratum]
        opening = _OPENINGS[int(rng.integers(len(_OPENINGS)))]
        core = cores[int(rng.integers(len(cores)))].format(person)
        ending = _ENDINGS[int(rng.integers(len(_ENDINGS)))]
        question = " ".join(part for part in (opening, core, ending) if part)
        return Example(f"{task}: {question} ->", answer(task, person))

    return Source(
        draw,
        prompts=len(PEOPLE) * len(_OPENINGS) * len(cores) * len(_ENDINGS),
        chance=1.0 / len(_TABLES[task][0]),
        strata=len(PEOPLE),
    )


FACTS = {task: _source(task) for task in _CORES}
