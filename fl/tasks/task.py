"""Tasks: prompts with correct answers, for training and for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Example:
    """Prompt with its correct answer.

    Attributes
    ----------
    prompt : input of the model
    answer : expected continuation, without the separator
    choices : candidate answers, the correct one among them; empty for a free answer
    separator : text between prompt and answer
    """

    prompt: str
    answer: str
    choices: tuple[str, ...] = ()
    separator: str = " "


@dataclass(frozen=True)
class Task:
    """Training and test examples without common prompts.

    Attributes
    ----------
    name : name in scenarios and results
    train, test : the examples
    chance : accuracy of guessing among the possible answers, 0 to 1
    """

    name: str
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    chance: float

    @property
    def majority_accuracy(self) -> float:
        """Accuracy of the best constant answer on the test examples, 0 to 1.

        If choices differ from example to example, it is the place among the choices that is
        constant.
        """
        by_place = len({example.choices for example in self.test}) > 1 and all(
            example.choices for example in self.test
        )
        answers = Counter(
            example.choices.index(example.answer) if by_place else example.answer
            for example in self.test
        )
        return max(answers.values()) / len(self.test)


@dataclass(frozen=True)
class Source:
    """Generator of the examples of a task.

    Attributes
    ----------
    draw : draws one example of a stratum; all prompts of a stratum are equally likely
    prompts : number of distinct prompts that `draw` can return
    chance : accuracy of guessing among the possible answers, 0 to 1
    strata : number of strata (facts, or classes) that every sample covers evenly
    """

    draw: Callable[[np.random.Generator, int], Example]
    prompts: int
    chance: float
    strata: int = 1


def validation(task: Task, n_train: int, *, endless: bool) -> Task:
    """Return a task whose test examples are validation examples, in neither training nor test set.

    Parameters
    ----------
    task : task with additional training or test examples
    n_train : number of training examples
    endless : whether the task is a generated one with twice as many test examples, whose second
        half is the validation set; else it is the training examples after the first `n_train`

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
