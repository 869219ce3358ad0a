"""Notes on data that are fewer than a scenario asks for."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import DataWarning
from wnsim.scenario.simulation.build import load_tasks
from wnsim.scenario.spec.plan import plan


def texts(folder: Path, name: str, train: int, test: int) -> None:
    """Write a task of a number of examples."""
    (folder / name).mkdir(parents=True)
    for part, count in (("train", train), ("test", test)):
        lines = [json.dumps({"prompt": f"{part} {n}", "answer": str(n % 2)}) for n in range(count)]
        (folder / name / f"{part}.jsonl").write_text("\n".join(lines) + "\n")


def notes(keys: dict[str, object]) -> list[str]:
    (run,) = plan({"name": "x", "devices": {"count": 2}, "fl": keys})
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        load_tasks(run.scenario)
    assert all(each.category is DataWarning for each in found)
    return [str(each.message) for each in found]


def test_tasks_with_too_few_examples_are_named(tmp_path: Path) -> None:
    for name, train in (("small", 5), ("smaller", 3), ("large", 30)):
        texts(tmp_path, name, train, 4)
    keys: dict[str, object] = {"tasks": {"folder": str(tmp_path)}, "topology": {"model": "full"}}
    (found,) = notes(keys | {"train_examples": 10, "test_examples": 4})
    assert found == (
        "fl.train_examples is 10, and small has 5 and smaller has 3 training examples: all of them "
        "are used"
    )
    assert notes(keys | {"train_examples": 3, "test_examples": 4}) == []
    assert len(notes(keys | {"train_examples": 3, "test_examples": 5})) == 1


def test_classes_without_examples_are_named(tmp_path: Path) -> None:
    labels = np.array([0, 1, 3] * 8)
    np.savez(
        tmp_path / "a.npz", x_train=np.zeros((24, 2, 2), np.uint8), y_train=labels,
        x_test=np.zeros((6, 2, 2), np.uint8), y_test=np.array([0, 1, 2, 3, 0, 1]),
    )  # fmt: skip
    keys: dict[str, object] = {
        "model": "mlp", "tasks": {"arrays": str(tmp_path / "a.npz")}, "train_examples": 24,
        "test_examples": 6, "method": {"model": "full-ft"}, "topology": {"model": "full"},
    }  # fmt: skip
    (found,) = notes(keys)
    assert found.startswith("class 2 of ")
    assert found.endswith(" has no training examples")


def test_a_check_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts(tmp_path / "tasks", "small", 5, 4)
    (tmp_path / "s.yaml").write_text(
        "name: s\ndevices: {count: 2}\nfl: {tasks: {folder: tasks}, test_examples: 4, "
        "topology: {model: full}}\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("default", DataWarning)
        assert main(["--check", str(tmp_path / "s.yaml")]) == 0
    assert "note: fl.train_examples is 512, and small has 5" in capsys.readouterr().err
