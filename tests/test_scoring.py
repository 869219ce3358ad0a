"""Scoring rules of choices against their formulas on the plain model's log-likelihoods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fl.adapters import AdaptedModel, Adapter
from fl.adapters.adapter import draw_a
from fl.config import SCORING_RULES
from fl.evaluation import Evaluator
from fl.tasks import Example, Task
from wnsim.scenario.__main__ import main

# Equally many tokens, or bytes, or characters in different ways.
CHOICES = (
    ("a b", "c d", "hammer saw", "soup", "7 8"),
    ("red and blue", "\u00e9t\u00e9", "no", "gold", "the fox"),
    ("one", "baker", "b c d", "total 4 4", "\u00fc", "x y"),
)
EXAMPLES = tuple(
    Example(f"item {number} is ->", CHOICES[number % 3][number % len(CHOICES[number % 3])],
            CHOICES[number % 3])
    for number in range(24)
)  # fmt: skip


def adapter_of(model: AdaptedModel) -> Adapter:
    generator = torch.Generator().manual_seed(4)
    b = tuple(torch.randn(layer.outputs, 4, generator=generator) for layer in model.layers)
    return Adapter(draw_a(model.layers, 4, "kaiming", 4), b, 3.0)


def plain_accuracies(lm, tokenizer) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Return the accuracy by each rule, choice by choice."""
    hits: dict[str, list[bool]] = {rule: [] for rule in SCORING_RULES}
    for example in EXAMPLES:
        scores: dict[str, list[float]] = {rule: [] for rule in SCORING_RULES}
        for choice in example.choices:
            prompt = tokenizer(example.prompt)["input_ids"]
            whole = [*tokenizer(f"{example.prompt} {choice}")["input_ids"], tokenizer.eos_token_id]
            with torch.no_grad():
                log = lm(torch.tensor([whole])).logits[0].double().log_softmax(-1)
            each = [float(log[at - 1, whole[at]]) for at in range(len(prompt), len(whole))]
            scores["mean"].append(sum(each) / len(each))
            scores["sum"].append(sum(each))
            scores["per-byte"].append(sum(each) / len(choice.encode()))
            scores["harness"].append(sum(each[:-1]))
            scores["harness-norm"].append(sum(each[:-1]) / len(choice))
        for rule, values in scores.items():
            hits[rule].append(example.choices[int(np.argmax(values))] == example.answer)
    return {rule: float(np.mean(values)) for rule, values in hits.items()}


def test_each_rule_is_its_formula(make_lm, tokenizer) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    adapter = adapter_of(model)
    plain = make_lm()
    for index, layer in enumerate(model.layers):
        plain.get_submodule(layer.name).weight.data += adapter.delta_weight(index)
    expected = plain_accuracies(plain, tokenizer)
    # The rules decide differently here, so that each is tested.
    assert len(set(expected.values())) >= 3
    task = Task("t", (), EXAMPLES, 0.3)
    for rule in SCORING_RULES:
        ((found,),) = Evaluator(model, [task], tokenizer, 64, rule).scores([adapter])
        assert found.by_rule == pytest.approx(expected)
        assert found.accuracy == found.by_rule[rule]


def test_majority_is_the_best_constant_answer() -> None:
    same = ("no", "yes")
    answers = ["yes", "no", "yes", "yes", "no"]
    questions = tuple(Example(str(n), answer, same) for n, answer in enumerate(answers))
    assert Task("t", (), questions, 0.5).majority_accuracy == 3 / 5
    free = tuple(Example(str(n), answer) for n, answer in enumerate("abbcb"))
    assert Task("t", (), free, 0.3).majority_accuracy == 3 / 5
    # Choices that differ: the place of the answer, 0 1 1 0 1 1 here.
    places = (0, 1, 1, 0, 1, 1)
    differ = tuple(
        Example(str(n), f"{n}{place}", (f"{n}0", f"{n}1", f"{n}2"))
        for n, place in enumerate(places)
    )
    assert Task("t", (), differ, 1 / 3).majority_accuracy == pytest.approx(4 / 6)


SCENARIO = """
name: rules
devices: {count: 2}
fl:
  tasks: [actor, total]
  scoring: sum
  topology: {model: full}
  rounds: 1
  local_steps: 1
  batch_size: 2
  train_examples: 4
  test_examples: 12
"""


def test_all_rules_are_in_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)
    assert main([str(path), "--out", str(tmp_path / "out")]) == 0
    rows = pd.read_csv(tmp_path / "out" / "seed=1" / "evaluations.csv")
    columns = [f"accuracy_{rule.replace('-', '_')}" for rule in SCORING_RULES]
    choices, free = rows[rows["task"] == "actor"], rows[rows["task"] == "total"]
    assert (choices["accuracy"] == choices["accuracy_sum"]).all()
    assert choices[columns].notna().all(axis=None)
    # A free answer is exact or not: there is nothing to compare.
    assert free[columns].isna().all(axis=None)
    assert ((choices["majority_accuracy"] > 0) & (choices["majority_accuracy"] < 1)).all()
    answers = free["majority_accuracy"].iloc[0] * 12
    assert answers == pytest.approx(round(answers), abs=1e-6)
    capsys.readouterr()
    path.write_text(SCENARIO.replace("sum", "likelihood"))
    assert main([str(path), "--check"]) == 2
    assert "did you mean 'mean'?" in capsys.readouterr().err
