"""The pretraining documents do not reveal the tasks, and the recipe gives the bundled tokenizer."""

from __future__ import annotations

import re
from functools import cache
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from fl.models.language_model import load
from fl.models.pretraining import corpus_rules
from fl.models.pretraining.__main__ import batches, build_model, build_tokenizer, learning_rate
from fl.models.pretraining.corpus import document
from fl.tasks import GENERATED, generate
from fl.tasks.facts import answer
from fl.tasks.words import PEOPLE


def _texts(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    drawn = [document(rng) for _ in range(count)]
    return [each.given + each.taught for each in drawn]


def test_no_task_is_named() -> None:
    for text in _texts(20_000):
        assert text.split(":")[0] not in GENERATED


@pytest.mark.parametrize("name", GENERATED)
def test_no_rule_is_a_task(name: str) -> None:
    # A rule that gave a task's answers would be right on all of the inputs that they share; one
    # that is right now and then (the sum of the first two as the largest) is a relative.
    examples = generate(name, 600, 600, seed=0)
    known = {e.prompt.split(": ")[1]: e.answer for e in (*examples.train, *examples.test)}
    same: dict[str, list[bool]] = {}
    for rule, shown, result in _applied():
        right = known.get(f"{shown} ->") or _solved(name, shown)
        if right is not None:
            same.setdefault(rule, []).append(result == right)
    for rule, hits in same.items():
        assert np.mean(hits) < 0.5 or len(hits) < 5, rule


@cache
def _applied() -> list[tuple[str, str, str]]:
    """Return names, inputs and outputs of rules as they occur in documents."""
    rng = np.random.default_rng(1)
    return [corpus_rules.apply_rule(rng) for _ in range(20_000)]


def _solved(name: str, shown: str) -> str | None:
    """Return the task's answer to an input that need not be among its examples."""
    items = shown.split()
    letters = len(items) == 5 and all(re.fullmatch("[a-z]", item) for item in items)
    digits = len(items) == 5 and all(re.fullmatch("[0-9]", item) for item in items)
    if name == "reverse" and letters:
        return " ".join(reversed(items))
    if name == "sort" and letters:
        return " ".join(sorted(items))
    if name == "shift" and letters:
        return " ".join(chr((ord(item) - ord("a") + 1) % 26 + ord("a")) for item in items)
    if name == "largest" and digits:
        return max(items)
    if name == "total" and len(items) == 2 and all(item.isdigit() for item in items):
        return str(int(items[0]) + int(items[1]))
    if name == "step" and len(items) == 3 and all(item.isdigit() for item in items):
        return str(2 * int(items[2]) - int(items[1]))
    people = [item for item in items if item in PEOPLE]
    if name in ("home", "trade", "color") and len(people) == 1:
        return answer(name, people[0])
    return None


def test_documents_fit_into_a_row() -> None:
    tokenizer = build_tokenizer()
    lengths = [len(ids) for ids in tokenizer(_texts(2000))["input_ids"]]
    # A row has room for 79 tokens and the end of text; a document is cut there.
    assert np.mean([length <= 79 for length in lengths]) > 0.99


def test_the_recipe_gives_the_shipped_tokenizer() -> None:
    _, shipped = load("tiny")
    built = build_tokenizer()
    assert built.get_vocab() == shipped.get_vocab()
    text = "reverse: k d a f m -> Größe 42\n"
    assert built(text)["input_ids"] == shipped(text)["input_ids"]


def test_batches_are_packed_and_repeatable() -> None:
    tokenizer = build_tokenizer()
    first, second = (
        next(islice(batches(np.random.default_rng(5), tokenizer), 1, None)) for _ in range(2)
    )
    assert torch.equal(first, second)
    ids, weights = first
    assert torch.equal(weights > 0, ids != tokenizer.pad_token_id)
    # The longest documents have about 60 tokens, most have 20: little room is lost.
    assert float((weights > 0).double().mean()) > 0.75
    assert torch.all(weights[ids == tokenizer.eos_token_id] == 1.0)


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 1000) for step in range(1000)]
    assert rates[0] < 2e-5
    assert max(rates) == pytest.approx(2e-3, rel=0.1)
    assert rates[-1] == pytest.approx(1e-4, rel=0.01)
    assert all(a >= b for a, b in pairwise(rates[200:]))


def test_the_model_has_the_size_of_the_card() -> None:
    model = build_model(pad=0, end=1)
    # Embeddings; per layer four attention and three MLP matrices and two norms; the last norm.
    layers = 4 * (4 * 128 * 128 + 3 * 128 * 352 + 2 * 128)
    assert model.num_parameters() == 512 * 128 + layers + 128
