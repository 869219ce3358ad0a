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


def validation(task: Task, n_train: int, *, endless: bool) -> Task:
    """Return a task that is judged by examples of which neither training nor test has any.

    Parameters
    ----------
    task : with as many training or test examples more as it is to be judged by
    n_train : how many of its training examples are trained on
    endless : whether it is a generated one, whose test examples are twice as many: the second half
        judges; else the training examples after the first `n_train` do

    Raises
    ------
    ValueError
        if there are no such examples
    """
    trained = {example.prompt for example in task.train[:n_train]}
    rest = task.test[len(task.test) // 2 :] if endless else task.train[n_train:]
    unseen = tuple(example for example in rest if example.prompt not in trained)
    if not unseen:
        raise ValueError(
            f"task {task.name!r}: validation needs training examples after the first {n_train}, "
            f"got {len(task.train)}"
        )
    return Task(task.name, task.train[:n_train], unseen, task.chance)
