"""Public benchmarks by short names: their data sets, splits and row formats.

Choices are scored by their text, after a zero-shot prompt; `gsm8k` asks for the number only,
without the reasoning in its answers, so that the accuracy is below that with a chain of thought.
Benchmarks that require executing the output of a model are not included.

Sources: the data sets' own cards; prompts of boolq, siqa and arc as in EleutherAI's evaluation
harness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .task import Example

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """Data set on the hub and its conversion to examples.

    Attributes
    ----------
    source, config : name on the hub, and configuration
    train, test : splits; the test split is one with public answers
    read : converts a row to an example; None for rows to skip, such as questions about pictures
    """

    source: str
    read: Callable[[Row], Example | None]
    config: str | None = None
    train: str = "train"
    test: str = "validation"


def _boolq(row: Row) -> Example:
    prompt = f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:"
    return Example(prompt, "yes" if row["answer"] else "no", ("no", "yes"))


def _piqa(row: Row) -> Example:
    return _chosen(f"Question: {row['goal']}\nAnswer:", (row["sol1"], row["sol2"]), row["label"])


def _siqa(row: Row) -> Example:
    choices = (row["answerA"], row["answerB"], row["answerC"])
    prompt = f"Q: {row['context']} {row['question']}\nA:"
    return _chosen(prompt, choices, int(row["label"]) - 1)


def _gsm8k(row: Row) -> Example:
    answer = row["answer"].rpartition("####")[2].strip().replace(",", "")
    return Example(f"Question: {row['question']}\nThe answer is", answer)


def _arc(row: Row) -> Example:
    choices = row["choices"]
    index = list(choices["label"]).index(row["answerKey"])
    return _chosen(f"Question: {row['question']}\nAnswer:", choices["text"], index)


def _hellaswag(row: Row) -> Example:
    return _chosen(f"{row['activity_label']}: {row['ctx']}", row["endings"], int(row["label"]))


def _scienceqa(row: Row) -> Example | None:
    if row.get("image") is not None:
        return None
    hint = f"{row['hint']}\n" if row.get("hint") else ""
    return _chosen(f"{hint}Question: {row['question']}\nAnswer:", row["choices"], row["answer"])


def _chosen(prompt: str, choices: Any, index: int) -> Example:
    """Return an example whose answer is the choice at an index.

    Raises
    ------
    ValueError
        if there is no such choice
    """
    texts = tuple(str(choice) for choice in choices)
    if not 0 <= index < len(texts):
        raise ValueError(f"answer must be one of {len(texts)} choices, got number {index}")
    return Example(prompt, texts[index], texts)


BENCHMARKS: dict[str, Benchmark] = {
    "boolq": Benchmark("google/boolq", _boolq),
    "piqa": Benchmark("baber/piqa", _piqa),
    "siqa": Benchmark("allenai/social_i_qa", _siqa),
    "gsm8k": Benchmark("openai/gsm8k", _gsm8k, "main", test="test"),
    "arc-easy": Benchmark("allenai/ai2_arc", _arc, "ARC-Easy", test="test"),
    "arc-challenge": Benchmark("allenai/ai2_arc", _arc, "ARC-Challenge", test="test"),
    "hellaswag": Benchmark("Rowan/hellaswag", _hellaswag),
    "scienceqa": Benchmark("derek-thomas/ScienceQA", _scienceqa, test="test"),
}
