"""Words of the artificial world of the generated tasks.

The built-in model has seen each of these words in pretraining, in randomly drawn sentences, so that
a task teaches their use rather than their spelling.
"""

from __future__ import annotations

LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")

PEOPLE = (
    *("mira", "tomas", "elin", "oskar", "nadia", "pavel", "runa", "felix"),
    *("ines", "jonas", "kaia", "leon", "olga", "ruben", "selma", "viktor"),
    *("alba", "bruno", "clara", "dario", "emil", "freya", "hugo", "ivana"),
)

TOWNS = (
    *("arden", "belmo", "corvin", "dalby", "estra", "fenwick"),
    *("galdo", "harrow", "ilmar", "jessen", "kelby", "lunden"),
)

TRADES = (
    *("baker", "tailor", "miller", "painter", "sailor", "farmer"),
    *("doctor", "mason", "potter", "weaver", "hunter", "singer"),
)

COLORS = (
    *("red", "blue", "green", "white", "black", "brown"),
    *("pink", "gray", "gold", "silver", "purple", "orange"),
)

ANIMALS = (
    *("fox", "owl", "hen", "cat", "dog", "pig"),
    *("cow", "goat", "wolf", "bear", "crow", "frog"),
)

# Nouns and adjectives come in kinds; a kind's name is a label of a sentence task.
NOUNS = {
    "food": ("soup", "bread", "cheese", "apple", "cake", "salad"),
    "tools": ("hammer", "saw", "drill", "ladder", "shovel", "rope"),
    "music": ("drum", "song", "flute", "piano", "choir", "violin"),
    "travel": ("train", "boat", "road", "ticket", "harbor", "luggage"),
}

FEELINGS = {
    "joy": ("glad", "merry", "cheerful", "happy", "proud", "pleased"),
    "rage": ("angry", "furious", "mad", "cross", "bitter", "hostile"),
    "fear": ("afraid", "scared", "nervous", "worried", "timid", "anxious"),
    "grief": ("sad", "gloomy", "lonely", "tearful", "hurt", "sorry"),
}

DEEDS = ("helped", "chased", "called", "pushed", "followed", "warned", "pulled", "greeted")

TIMES = ("today", "again", "at noon", "at night", "this week", "in spring", "last year", "early")
