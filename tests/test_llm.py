"""The scenario for a real model and public benchmarks, on a random model and made-up rows."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from fl.models.language_model import TINY
from fl.tasks.benchmarks import BENCHMARKS
from fl.tasks.folder import from_folder
from fl.tasks.hub import from_hub
from wnsim.scenario.__main__ import main

COLUMNS: dict[str, dict[str, Any]] = {
    "boolq": {"question": "is it {n}", "passage": "It is {n}.", "answer": True},
    "piqa": {"goal": "Get {n}.", "sol1": "Take it.", "sol2": "Leave it.", "label": 1},
    "siqa": {
        "context": "Ann saw {n}.", "question": "Why?", "answerA": "a", "answerB": "b",
        "answerC": "c", "label": "3",
    },
    "gsm8k": {"question": "How much is {n} and 1000?", "answer": "We add.\n#### 1,00{n}"},
    "arc-easy": {
        "question": "What is {n}?", "choices": {"text": ["ice", "air"], "label": ["A", "B"]},
        "answerKey": "B",
    },
    "arc-challenge": {
        "question": "What is {n}?", "choices": {"text": ["ice", "air"], "label": ["1", "2"]},
        "answerKey": "1",
    },
    "obqa": {
        "question_stem": "A stone is {n}", "choices": {"text": ["soft", "hard"], "label": "AB"},
        "answerKey": "B",
    },
    "winogrande": {
        "sentence": "{n} saw that _ was late.", "option1": "Ann", "option2": "Eve", "answer": "2",
    },
    "hellaswag": {
        "activity_label": "Rowing", "ctx": "Then {n}", "endings": ["x", "y", "z", "w"],
        "label": "2",
    },
    "scienceqa": {
        "question": "Which is {n}?", "choices": ["p", "q"], "answer": 0, "hint": "", "image": None,
    },
}  # fmt: skip
EXPECTED = {
    "boolq": ("It is 0.\nQuestion: is it 0?\nAnswer:", "yes", ("no", "yes")),
    "piqa": ("Question: Get 0.\nAnswer:", "Leave it.", ("Take it.", "Leave it.")),
    "siqa": ("Q: Ann saw 0. Why?\nA:", "c", ("a", "b", "c")),
    "gsm8k": ("Question: How much is 0 and 1000?\nThe answer is", "1000", ()),
    "arc-easy": ("Question: What is 0?\nAnswer:", "air", ("ice", "air")),
    "arc-challenge": ("Question: What is 0?\nAnswer:", "ice", ("ice", "air")),
    "obqa": ("A stone is 0", "hard", ("soft", "hard")),
    "winogrande": (
        "Fill in the blank: 0 saw that _ was late.\nAnswer:", "Eve", ("Ann", "Eve"),
    ),
    "hellaswag": ("Rowing: Then 0", "z", ("x", "y", "z", "w")),
    "scienceqa": ("Question: Which is 0?\nAnswer:", "p", ("p", "q")),
}  # fmt: skip


def rows(name: str, numbers: range) -> list[dict[str, Any]]:
    def filled(value: Any, n: int) -> Any:
        return value.format(n=n) if isinstance(value, str) else value

    return [{key: filled(value, n) for key, value in COLUMNS[name].items()} for n in numbers]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's library with made-up rows: 12 for training, 4 for the test."""
    names = {(one.source, one.config): name for name, one in BENCHMARKS.items()}

    def load_dataset(source: str, config: str | None, split: str) -> list[dict[str, Any]]:
        name = names[source, config]
        return rows(name, range(12) if split == "train" else range(50, 54))

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", BENCHMARKS)
def test_rows_become_examples(name: str) -> None:
    task = from_hub(name, n_train=5, n_test=3)
    first = task.train[0]
    assert (first.prompt, first.answer, first.choices) == EXPECTED[name]
    assert (task.name, len(task.train), len(task.test)) == (name, 5, 3)


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_local_files_are_read_as_the_hub_has_them(tmp_path: Path, kind: str, name: str) -> None:
    folder, known = tmp_path / "mine", BENCHMARKS[name]
    folder.mkdir()
    parts = {"train": range(12), known.test: range(50, 54)}
    if known.test != "test":
        # Its answers are secret, as these splits have them.
        parts["test"] = range(90, 92)
    for part, numbers in parts.items():
        write(folder, kind, part, rows(name, numbers))
    (task,) = from_folder(tmp_path, 5, 3)
    first = task.train[0]
    assert (first.prompt, first.answer, first.choices) == EXPECTED[name]
    assert (task.name, len(task.train), len(task.test)) == ("mine", 5, 3)
    assert all("5" in example.prompt for example in task.test)


def write(folder: Path, kind: str, part: str, found: list[dict[str, Any]]) -> None:
    if kind == "jsonl":
        lines = "".join(json.dumps(row) + "\n" for row in found)
        (folder / f"{part}.jsonl").write_text(lines, "utf-8")
        return
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    # In two parts, as the hub stores larger ones.
    half = len(found) // 2
    for number, some in enumerate((found[:half], found[half:])):
        path = folder / f"{part}-0000{number}-of-00002.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(some), path)


def test_a_wrong_row_of_a_local_benchmark_is_named(tmp_path: Path) -> None:
    made = rows("piqa", range(4))
    made[2]["label"] = -1
    (tmp_path / "piqa").mkdir()
    write(tmp_path / "piqa", "jsonl", "train", made)
    write(tmp_path / "piqa", "jsonl", "validation", rows("piqa", range(7, 9)))
    with pytest.raises(ValueError, match=r"train.jsonl:3: .*one of 2 choices, got number -1"):
        from_folder(tmp_path, None, None)
    (tmp_path / "piqa" / "train.jsonl").unlink()
    (tmp_path / "piqa" / "train.parquet").write_bytes(b"PAR1 this is none")
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=r"train.parquet: must be a Parquet file"):
        from_folder(tmp_path, None, None)


def test_rows_that_are_no_questions_of_text_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rows("scienceqa", range(8))
    for row in made[1::2]:
        row["image"] = "a picture"
    library = SimpleNamespace(load_dataset=lambda *_, split: made if split == "train" else made[6:])
    monkeypatch.setitem(sys.modules, "datasets", library)
    task = from_hub("scienceqa", n_train=3)
    assert [example.prompt.split()[3] for example in task.train] == ["0?", "2?", "4?"]
    library.load_dataset = lambda *_, split: [{"question": "no more"}]
    with pytest.raises(ValueError, match="derek-thomas/ScienceQA/train:1: not a row as expected"):
        from_hub("scienceqa")


@pytest.mark.usefixtures("hub")
def test_whole_scenario(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=512, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, eos_token_id=0, bos_token_id=None,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "model")
    for file in TINY.glob("tokenizer*"):
        shutil.copy(file, tmp_path / "model")
    settings = {
        "fl.model": tmp_path / "model", "fl.train_examples": 12, "fl.test_examples": 4,
        "fl.rounds": 1, "fl.local_steps": 1, "fl.batch_size": 2, "repeat": 1,
    }  # fmt: skip
    sets = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    assert main(["llm.yaml", "--out", str(tmp_path / "out"), *sets]) == 0
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    accuracy = summary[summary["metric"] == "accuracy_all_tasks"]
    assert len(accuracy) == 7
    assert accuracy["value"].between(0, 1).all()
