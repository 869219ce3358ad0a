"""What a task is: prompts with their right answers, some to train on and others to be judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Example:
    """One prompt with its right answer.

    Attributes
    ----------
    prompt : the text that the model is given
    answer : the text that it should continue with, without the joining space
    choices : the answers to choose from, the right one among them; empty if the answer is free
    """

    prompt: str
    answer: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """Examples to train on and examples to be judged by; no prompt is in both.

    Attributes
    ----------
    name : what scenarios and results call the task
    train, test : the examples
    chance : accuracy of guessing blindly among the possible answers, 0 to 1
    """

    name: str
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    chance: float


@dataclass(frozen=True)
class Source:
    """An endless supply of examples of one generated task.

    Attributes
    ----------
    draw : returns one example of a stratum; all prompts of a stratum are equally likely
    prompts : number of different prompts that `draw` can return
    chance : accuracy of guessing blindly among the possible answers, 0 to 1
    strata : number of groups (facts, or classes) that every sample covers evenly
    """

    draw: Callable[[np.random.Generator, int], Example]
    prompts: int
    chance: float
    strata: int = 1
