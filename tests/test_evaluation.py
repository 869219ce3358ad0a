"""Accuracies of many adapters at once equal those of one model after another."""

from __future__ import annotations

import pytest
import torch
from scoring import accuracy

from fl.adapters import AdaptedModel, Adapter
from fl.adapters.adapter import draw_a, zero_b
from fl.evaluation import Evaluator
from fl.models.language_model import load
from fl.tasks import GENERATED, Example, Task, generate


def adapters(model: AdaptedModel, count: int) -> list[Adapter]:
    made = []
    for device in range(count):
        generator = torch.Generator().manual_seed(device)
        rank = 2 + device % 3
        b = tuple(
            0.3 * torch.randn(layer.outputs, rank, generator=generator) for layer in model.layers
        )
        made.append(Adapter(draw_a(model.layers, rank, "kaiming", device), b, 0.5 + device))
    return made


@pytest.mark.parametrize("merged_tokens", [1, 10**9], ids=["merged", "stacked"])
def test_accuracies_equal_those_of_models_with_the_weights_changed(  # type: ignore[no-untyped-def]
    monkeypatch, merged_tokens: int
) -> None:
    """Law: the score from the logits of a single model, adapter by adapter, task by task."""
    monkeypatch.setattr("fl.evaluation.evaluator._MERGED_TOKENS", merged_tokens)
    lm, tokenizer = load("tiny")
    tasks = [generate(name, 1, 12, seed=3) for name in GENERATED]
    model = AdaptedModel(lm)
    some = adapters(model, 3)
    zero = Adapter(draw_a(model.layers, 2, "kaiming", 9), zero_b(model.layers, 2), 1.0)
    found = Evaluator(model, tasks, tokenizer, 64).accuracies([some[0], zero, *some[1:], some[0]])
    assert found[0] == found[4]
    untrained = [accuracy(load("tiny")[0], tokenizer, task.test) for task in tasks]
    assert found[1] == pytest.approx(untrained)
    for one, of_tasks in zip(some, [found[0], *found[2:4]], strict=True):
        changed = load("tiny")[0]
        for index, layer in enumerate(model.layers):
            changed.get_submodule(layer.name).weight.data += one.delta_weight(index)
        expected = [accuracy(changed, tokenizer, task.test) for task in tasks]
        assert of_tasks == pytest.approx(expected)


def test_rows_of_different_lengths_are_scored_where_they_belong(make_lm, tokenizer) -> None:  # type: ignore[no-untyped-def]
    """Law: an example's score does not depend on the rest of its batch."""
    examples = [
        Example("a b c " * (7 * index % 5 + 1), "d", ("d", "e f", "g h i")) for index in range(9)
    ]
    model = AdaptedModel(make_lm())
    tasks = [Task("all", (), tuple(examples), 1 / 3)]
    tasks += [Task(str(index), (), (one,), 1 / 3) for index, one in enumerate(examples)]
    found = Evaluator(model, tasks, tokenizer, 64).accuracies(adapters(model, 2))
    for whole, *single in found:
        assert whole == pytest.approx(sum(single) / len(single))
