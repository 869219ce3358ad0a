"""Tasks for federated fine-tuning, text to short text: generated, from a folder, or from the hub.

The generated tasks are proxies of real ones: a model without training cannot solve them, a low-rank
adapter learns one in some hundred small steps, and adapters of different tasks interfere when they
are averaged. Every prompt starts with the name of its task and ends in `->`.
"""

from __future__ import annotations

import difflib

import numpy as np

from wnsim.core.plugins import resolve

from .arithmetic import ARITHMETIC
from .facts import FACTS
from .folder import from_folder
from .hub import from_hub
from .sentences import SENTENCES
from .sequences import SEQUENCES
from .task import Example, Source, Task, validation

__all__ = [
    "GENERATED",
    "Example",
    "Source",
    "Task",
    "from_folder",
    "from_hub",
    "generate",
    "source_of",
    "validation",
]

GENERATED: dict[str, Source] = {**SEQUENCES, **ARITHMETIC, **FACTS, **SENTENCES}


def generate(name: str, n_train: int, n_test: int, seed: int) -> Task:
    """Generate a task, deterministically for equal arguments.

    Parameters
    ----------
    name : a key of `GENERATED`, or `module:name` of a `Source` in an imported module
    n_train, n_test : numbers of examples, all with distinct prompts
    seed : 0 or more; seed of the examples, not of the rules and facts behind them

    Raises
    ------
    ValueError
        if there is no such task, or it has fewer distinct prompts
    """
    source = source_of(name, n_train, n_test)
    total = n_train + n_test
    rng = np.random.default_rng([seed, *name.encode()])
    examples = _draw(source, rng, total)
    return Task(name, tuple(examples[:n_train]), tuple(examples[n_train:]), source.chance)


def source_of(name: str, n_train: int, n_test: int) -> Source:
    """Return the source of a task that has a number of examples.

    Parameters
    ----------
    name, n_train, n_test : as in `generate`

    Raises
    ------
    ValueError
        as in `generate`
    """
    source = resolve(name) if ":" in name else GENERATED.get(name)
    if source is None:
        near = difflib.get_close_matches(name, GENERATED, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(GENERATED))}"
        raise ValueError(f"task must be a generated one, got {name!r}; {hint}")
    if not isinstance(source, Source):
        raise ValueError(f"task {name!r} must be a Source, got a {type(source).__name__}")
    if n_train < 1 or n_test < 1:
        raise ValueError(f"n_train and n_test must be at least 1, got {n_train} and {n_test}")
    total = n_train + n_test
    if -(-total // source.strata) > source.prompts // source.strata:
        raise ValueError(
            f"n_train + n_test must be at most {source.prompts} for task {name!r}, got {total}"
        )
    return source


def _draw(source: Source, rng: np.random.Generator, count: int) -> list[Example]:
    """Draw examples with distinct prompts, all strata equally often in random order."""
    examples: dict[str, Example] = {}
    while len(examples) < count:
        for stratum in rng.permutation(source.strata)[: count - len(examples)]:
            example = source.draw(rng, int(stratum))
            while example.prompt in examples:
                example = source.draw(rng, int(stratum))
            examples[example.prompt] = example
    return list(examples.values())
