"""Public benchmarks by short names: their data sets, splits and row formats.

Choices are scored by their text, after a zero-shot prompt; `gsm8k` asks for the number only,
without the reasoning in its answers, so that the accuracy is below that with a chain of thought.
Benchmarks that require executing the output of a model are not included.

The prompt of winogrande is our own: the usual one compares two prompts with one answer.

Sources: the data sets' own cards; prompts of boolq, siqa, arc and obqa as in EleutherAI's
evaluation harness.
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
    columns : columns that tell a row of it from all others
    """

    source: str
    read: Callable[[Row], Example | None]
    columns: frozenset[str]
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


def _obqa(row: Row) -> Example:
    choices = row["choices"]
    index = list(choices["label"]).index(row["answerKey"])
    return _chosen(row["question_stem"], choices["text"], index)


def _winogrande(row: Row) -> Example:
    prompt = f"Fill in the blank: {row['sentence']}\nAnswer:"
    return _chosen(prompt, (row["option1"], row["option2"]), int(row["answer"] or 0) - 1)


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


def _columns(text: str) -> frozenset[str]:
    return frozenset(text.split())


BENCHMARKS: dict[str, Benchmark] = {
    "boolq": Benchmark("google/boolq", _boolq, _columns("passage question answer")),
    "piqa": Benchmark("baber/piqa", _piqa, _columns("goal sol1 sol2 label")),
    "siqa": Benchmark(
        "allenai/social_i_qa", _siqa, _columns("context question answerA answerB answerC label")
    ),
    "gsm8k": Benchmark("openai/gsm8k", _gsm8k, _columns("question answer"), "main", test="test"),
    "arc-easy": Benchmark(
        "allenai/ai2_arc", _arc, _columns("question choices answerKey"), "ARC-Easy", test="test"
    ),
    "arc-challenge": Benchmark(
        "allenai/ai2_arc", _arc, _columns("question choices answerKey"), "ARC-Challenge",
        test="test",
    ),
    "obqa": Benchmark(
        "allenai/openbookqa", _obqa, _columns("question_stem choices answerKey"), "main",
        test="test",
    ),
    "winogrande": Benchmark(
        "allenai/winogrande", _winogrande, _columns("sentence option1 option2 answer"),
        "winogrande_xl",
    ),
    "hellaswag": Benchmark(
        "Rowan/hellaswag", _hellaswag, _columns("activity_label ctx endings label")
    ),
    "scienceqa": Benchmark(
        "derek-thomas/ScienceQA", _scienceqa, _columns("question choices answer hint image"),
        test="test",
    ),
}  # fmt: skip


def benchmark_of(row: Row) -> Benchmark | None:
    """Return the benchmark whose columns a row has, the one of most columns; None if there is none.

    ARC-Easy and ARC-Challenge have the same columns and are read alike.
    """
    known = [one for one in BENCHMARKS.values() if one.columns <= row.keys()]
    return max(known, key=lambda one: len(one.columns), default=None)
