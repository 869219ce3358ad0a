"""The generated tasks obey their rules; folders and hubs give tasks or one clear sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from fl.tasks import GENERATED, Example, from_folder, from_hub, generate, validation
from fl.tasks.facts import answer
from fl.tasks.words import FEELINGS, NOUNS, PEOPLE
from wnsim.scenario import load
from wnsim.scenario.simulation.build import load_tasks
from wnsim.scenario.simulation.identity import inputs
from wnsim.scenario.spec.schema import Scenario


def _letters_of(prompt: str) -> list[str]:
    return prompt.split(": ")[1].removesuffix(" ->").split()


def _reverse(prompt: str) -> str:
    return " ".join(reversed(_letters_of(prompt)))


def _sort(prompt: str) -> str:
    return " ".join(sorted(_letters_of(prompt)))


def _shift(prompt: str) -> str:
    return " ".join("a" if c == "z" else chr(ord(c) + 1) for c in _letters_of(prompt))


def _total(prompt: str) -> str:
    return str(sum(map(int, _letters_of(prompt))))


def _step(prompt: str) -> str:
    first, second, third = map(int, _letters_of(prompt))
    assert third - second == second - first != 0
    return str(third + second - first)


def _largest(prompt: str) -> str:
    return max(_letters_of(prompt))


def _fact(prompt: str) -> str:
    people = [word for word in prompt.split() if word in PEOPLE]
    assert len(people) == 1
    return answer(prompt.split(":")[0], people[0])


def _kind(prompt: str) -> str:
    kinds = FEELINGS if prompt.startswith("tone") else NOUNS
    words = prompt.split()
    labels = [label for label, kind in kinds.items() if set(kind) & set(words)]
    assert len(labels) == 1
    return labels[0]


def _actor(prompt: str) -> str:
    words = prompt.split()
    return words[words.index("by") + 2] if "by" in words else words[2]


RULES: dict[str, Callable[[str], str]] = {
    "reverse": _reverse,
    "sort": _sort,
    "shift": _shift,
    "total": _total,
    "step": _step,
    "largest": _largest,
    "home": _fact,
    "trade": _fact,
    "color": _fact,
    "tone": _kind,
    "topic": _kind,
    "actor": _actor,
}


def test_every_generated_task_has_a_rule_here() -> None:
    assert set(RULES) == set(GENERATED)


@pytest.mark.parametrize("name", GENERATED)
def test_answers_follow_the_rule(name: str) -> None:
    task = generate(name, 300, 100, seed=3)
    assert (len(task.train), len(task.test)) == (300, 100)
    for example in (*task.train, *task.test):
        assert example.prompt.startswith(f"{name}: ")
        assert example.prompt.endswith(" ->")
        assert example.answer == RULES[name](example.prompt)
        assert not example.choices or example.answer in example.choices


@pytest.mark.parametrize("name", GENERATED)
def test_prompts_are_all_different(name: str) -> None:
    task = generate(name, 600, 200, seed=0)
    assert len({example.prompt for example in (*task.train, *task.test)}) == 800


@pytest.mark.parametrize("name", GENERATED)
def test_same_seed_same_task(name: str) -> None:
    assert generate(name, 50, 10, seed=5) == generate(name, 50, 10, seed=5)
    assert generate(name, 50, 10, seed=5).train != generate(name, 50, 10, seed=6).train


@pytest.mark.parametrize("name", ["reverse", "sort", "shift", "total", "step"])
def test_chance_of_free_answers_is_below_two_percent(name: str) -> None:
    assert 0.0 < generate(name, 10, 10, seed=0).chance < 0.02


@pytest.mark.parametrize(
    ("name", "answers"),
    [("home", 12), ("trade", 12), ("color", 12), ("tone", 4), ("topic", 4)],
)
def test_answers_are_balanced_and_chance_is_one_in_them(name: str, answers: int) -> None:
    task = generate(name, 240, 24, seed=1)
    counts = Counter(example.answer for example in task.train)
    assert len(counts) == answers
    assert set(counts.values()) == {240 // answers}
    assert task.chance == pytest.approx(1.0 / answers)


def test_guessing_a_listed_item_is_the_chance_of_picking_tasks() -> None:
    largest = generate("largest", 10, 10, seed=0)
    assert largest.chance == pytest.approx(1 / len(_letters_of(largest.train[0].prompt)))
    actor = generate("actor", 10, 10, seed=0)
    assert {len(example.choices) for example in actor.train} == {2}
    assert actor.chance == pytest.approx(0.5)


def test_every_fact_asked_was_taught() -> None:
    for name in ("home", "trade", "color"):
        task = generate(name, 48, 48, seed=2)
        taught = {p for example in task.train for p in example.prompt.split() if p in PEOPLE}
        assert taught == set(PEOPLE)


def test_all_prompts_of_a_small_task_can_be_requested() -> None:
    prompts = GENERATED["total"].prompts
    task = generate("total", prompts - 100, 100, seed=0)
    assert len({example.prompt for example in (*task.train, *task.test)}) == prompts
    with pytest.raises(ValueError, match=f"at most {prompts} for task 'total', got {prompts + 1}"):
        generate("total", prompts, 1, seed=0)


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="got 'revers'; did you mean 'reverse'"):
        generate("revers", 10, 10, seed=0)
    with pytest.raises(ValueError, match="known: actor, color"):
        generate("qqq", 10, 10, seed=0)


def test_counts_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0 and 10"):
        generate("reverse", 0, 10, seed=0)


def test_tasks_cost_no_torch() -> None:
    code = "import fl.tasks, sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


GOOD = json.dumps({"prompt": "is it?", "answer": "yes", "choices": ["yes", "no"], "extra": 1})


def _folder(path: Path, train: bytes, test: bytes = b'{"prompt": "p", "answer": "a"}\n') -> Path:
    folder = path / "quiz"
    folder.mkdir()
    (folder / "train.jsonl").write_bytes(train)
    (folder / "test.jsonl").write_bytes(test)
    return path


def test_folder_gives_its_tasks(tmp_path: Path) -> None:
    lines = [GOOD, "", json.dumps({"prompt": "wo?", "answer": " dört ", "choices": None})]
    _folder(tmp_path, "\n".join(lines).encode())
    (tmp_path / "notes.txt").write_text("no task")
    (task,) = from_folder(tmp_path, None, None)
    assert task.name == "quiz"
    assert task.train == (
        Example("is it?", "yes", ("yes", "no")),
        Example("wo?", "dört"),
    )
    assert task.test == (Example("p", "a"),)
    # Three different answers, not all with choices.
    assert task.chance == pytest.approx(1 / 3)


def test_folder_reads_only_the_requested_examples(tmp_path: Path) -> None:
    _folder(tmp_path, f"{GOOD}\nnot read".encode())
    (task,) = from_folder(str(tmp_path), 1, 1)
    assert len(task.train) == 1


def test_test_prompts_that_were_trained_on_are_left_out(tmp_path: Path) -> None:
    other = json.dumps({"prompt": "new?", "answer": "no", "choices": ["yes", "no"]})
    _folder(tmp_path, GOOD.encode(), f"{GOOD}\n{other}".encode())
    (task,) = from_folder(tmp_path, None, None)
    assert [example.prompt for example in task.test] == ["new?"]
    assert task.chance == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", r"train.jsonl:2: must be one JSON object, but is malformed"),
        (b"[1]", r"train.jsonl:2: must be one JSON object, got list"),
        (b'{"prompt": "p"}', r"train.jsonl:2: key 'answer' is missing"),
        (b'{"answer": "p"}', r"train.jsonl:2: key 'prompt' is missing"),
        (b'{"prompt": 3, "answer": "a"}', r"train.jsonl:2: prompt must be a text, got int"),
        (b'{"prompt": "p", "answer": " "}', r"train.jsonl:2: answer must not be empty"),
        (
            b'{"prompt": "p", "answer": "a", "choices": ["b", "c"]}',
            r"train.jsonl:2: answer must be among the choices, got 'a'",
        ),
        (
            b'{"prompt": "p", "answer": "a", "choices": "ab"}',
            r"train.jsonl:2: choices must be a list of texts, got 'ab'",
        ),
        (
            b'{"prompt": "p", "answer": "a", "choices": ["a", "a"]}',
            r"train.jsonl:2: choices must be at least two different texts",
        ),
        (
            b'{"prompt": "p", "answer": "a", "choices": ["a", "b", "a"]}',
            r"train.jsonl:2: answer must be one of the choices only",
        ),
        (b"\xff\xfe", r"train.jsonl:2: must be UTF-8 text, byte 1 is not"),
        (b"[" * 100_000, r"train.jsonl:2: must be one JSON object, but is malformed"),
        (b'"' + b"x" * 1_000_001, r"train.jsonl:2: a line must be at most 1000000 bytes long"),
    ],
)
def test_bad_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    _folder(tmp_path, GOOD.encode() + b"\n" + line + b"\n")
    with pytest.raises(ValueError, match=message):
        from_folder(tmp_path, None, None)


def test_bad_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a folder with one subfolder per task"):
        from_folder(tmp_path / "none", None, None)
    with pytest.raises(ValueError, match="must hold at least one task folder, found none"):
        from_folder(tmp_path, None, None)
    with pytest.raises(ValueError, match="n_train must be at least 1, got 0"):
        from_folder(tmp_path, 0, None)
    _folder(tmp_path, b"\n\n")
    with pytest.raises(ValueError, match=r"train.jsonl: must hold at least one example"):
        from_folder(tmp_path, None, None)
    (tmp_path / "quiz" / "test.jsonl").unlink()
    (tmp_path / "quiz" / "train.jsonl").write_text(GOOD)
    with pytest.raises(ValueError, match=r"test.jsonl: file is missing"):
        from_folder(tmp_path, None, None)


def test_nothing_left_to_test_is_an_error(tmp_path: Path) -> None:
    _folder(tmp_path, GOOD.encode(), GOOD.encode())
    with pytest.raises(ValueError, match="'quiz': at least one test prompt must not be"):
        from_folder(tmp_path, None, None)


def test_hub_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match="'a/b' needs the `datasets` library"):
        from_hub("a/b")


class _Table:
    """The used part of what the hub's library returns."""

    def __init__(self, rows: list[dict[str, object]], names: list[str] | None = None) -> None:
        self.rows = rows
        self.column_names = list(rows[0])
        self.features = {key: SimpleNamespace(names=names) for key in rows[0]}

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> object:
        return iter(self.rows)

    def select(self, numbers: range) -> list[dict[str, object]]:
        return [self.rows[i] for i in numbers]


def _hub(monkeypatch: pytest.MonkeyPatch, tables: dict[str, _Table]) -> None:
    def load_dataset(name: str, config: str | None, split: str) -> _Table:
        if split not in tables:
            raise ConnectionError("no network")
        return tables[split]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))


def test_hub_reads_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    train = _Table([{"q": "one", "a": 1}, {"q": "two", "a": 0}], names=["no", "yes"])
    test = _Table([{"q": "three", "a": 0, "o": ["x", "y"]}])
    _hub(monkeypatch, {"train": train, "test": test})
    with pytest.raises(ValueError, match="b/train: no column 'prompt'; it has: q, a"):
        from_hub("a/b")
    with pytest.raises(ValueError, match="b/test:1: answer must be a text, got int"):
        from_hub("a/b", prompt="q", answer="a")
    _hub(monkeypatch, {"train": train, "test": train})
    with pytest.raises(ValueError, match="'b': at least one test prompt"):
        from_hub("a/b", prompt="q", answer="a")
    _hub(monkeypatch, {"train": test, "test": _Table([{"q": "four", "a": 1, "o": ["x", "y"]}])})
    task = from_hub("a/b", prompt="q", answer="a", choices="o", n_train=5)
    assert task.name == "b"
    assert task.train == (Example("three", "x", ("x", "y")),)
    assert task.test == (Example("four", "y", ("x", "y")),)


SPLITS = """
name: splits
devices: {count: 2}
fl:
  topology: {model: full}
  train_examples: 2
  test_examples: 1
  tasks: {hub: [owner/letters], train_split: learn, test_split: judge, draw: first}
"""


def test_splits_of_the_hub_by_name(
    monkeypatch: pytest.MonkeyPatch, scenario_of: Callable[[str], Scenario]
) -> None:
    """Law: training examples are the first ones of one split, test examples those of the other."""
    tables = {
        split: _Table([{"prompt": f"{split} {n}", "answer": "x"} for n in range(3)])
        for split in ("train", "test", "learn", "judge")
    }
    _hub(monkeypatch, tables)
    for text, train, test in (
        (SPLITS, "learn", "judge"),
        (SPLITS.replace(" test_split: judge,", ""), "learn", "test"),
        (SPLITS.replace("train_split: learn, ", ""), "train", "judge"),
    ):
        (task,) = load_tasks(scenario_of(text))
        assert [example.prompt for example in task.train] == [f"{train} 0", f"{train} 1"]
        assert [example.prompt for example in task.test] == [f"{test} 0"]


def test_hub_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    _hub(monkeypatch, {})
    with pytest.raises(
        ValueError, match="dataset 'a/b', split 'train', cannot be loaded: no network"
    ):
        from_hub("a/b")


def test_validation_of_a_generated_task_has_nothing_of_training_and_test() -> None:
    tested = generate("reverse", 20, 10, 3)
    judged = validation(generate("reverse", 20, 20, 3), 20, endless=True)
    assert judged.train == tested.train
    assert len(judged.test) == 10
    assert not set(judged.test) & {*tested.train, *tested.test}


def test_validation_of_other_tasks_follows_on_what_is_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    for part, names in (("train", "abcdefa"), ("test", "xyz")):
        lines = [f'{{"prompt": "{name}", "answer": "1"}}' for name in names]
        (folder / f"{part}.jsonl").write_text("\n".join(lines), "utf-8")
    (task,) = from_folder(tmp_path, 7, 3)
    judged = validation(task, 4, endless=False)
    assert [example.prompt for example in judged.train] == list("abcd")
    # The second `a` has been trained on.
    assert [example.prompt for example in judged.test] == list("ef")
    with pytest.raises(ValueError, match="training examples after the first 7, got 7"):
        validation(task, 7, endless=False)


def test_a_repeated_wrong_choice_is_usable(tmp_path: Path) -> None:
    """Law: guessing picks one of four choices, whatever their texts."""
    row = {"prompt": "p", "answer": "a", "choices": ["b", "a", "b ", "c"]}
    _folder(tmp_path, json.dumps(row).encode(), json.dumps(row | {"prompt": "q"}).encode())
    (task,) = from_folder(tmp_path, None, None)
    assert task.train[0].choices == ("b", "a", "b", "c")
    assert task.chance == pytest.approx(1 / 4)


def _numbered(path: Path, name: str, train: int, test: int) -> None:
    (path / name).mkdir(parents=True)
    for part, count in (("train", train), ("test", test)):
        lines = [json.dumps({"prompt": f"{part} {n}", "answer": str(n % 3)}) for n in range(count)]
        (path / name / f"{part}.jsonl").write_text("\n".join(lines))


DRAWN = """
name: drawn
devices: {count: 2}
fl: {tasks: {folder: FOLDER}, train_examples: 10, test_examples: 5, topology: {model: full}}
"""


def _prompts(scenario: Scenario) -> tuple[list[str], list[str]]:
    (task,) = load_tasks(scenario)
    return [e.prompt for e in task.train], [e.prompt for e in task.test]


def test_the_seed_draws_the_examples_of_a_folder(
    tmp_path: Path, scenario_of: Callable[[str], Scenario]
) -> None:
    """Law: of 100 rows, 10 drawn at random have 1 in common with 10 others in the mean."""
    _numbered(tmp_path / "tasks", "one", 100, 50)
    text = DRAWN.replace("FOLDER", str(tmp_path / "tasks"))
    drawn = [_prompts(scenario_of(f"seed: {seed}\n{text}")) for seed in range(40)]
    for train, test in drawn:
        assert len(set(train)) == 10
        assert len(set(test)) == 5
    common = [
        len(set(one[0]) & set(other[0])) for one, other in zip(drawn[::2], drawn[1::2], strict=True)
    ]
    # Hypergeometric with variance 0.82: 20 pairs are off by 0.2 on average, five of which are 1e-6.
    assert abs(sum(common) / 20 - 1) < 1.0
    assert _prompts(scenario_of(f"seed: 3\n{text}")) == drawn[3]
    first = text.replace("FOLDER}", "FOLDER").replace("tasks},", "tasks, draw: first},")
    for seed in (1, 2):
        train, test = _prompts(scenario_of(f"seed: {seed}\n{first}"))
        assert train == [f"train {n}" for n in range(10)]
        assert test == [f"test {n}" for n in range(5)]


def test_validation_examples_are_drawn_besides_the_training_examples(
    tmp_path: Path, scenario_of: Callable[[str], Scenario]
) -> None:
    """Contract: hyperparameters are tuned on the training examples of the test runs."""
    _numbered(tmp_path / "tasks", "one", 100, 50)
    text = DRAWN.replace("FOLDER", str(tmp_path / "tasks"))
    train, _ = _prompts(scenario_of(text))
    tuned, judged = _prompts(scenario_of(text.replace("fl: {", "fl: {evaluate_on: validation, ")))
    assert tuned == train
    assert len(judged) == 5
    assert not set(judged) & set(train)
    assert all(prompt.startswith("train") for prompt in judged)


def test_some_subfolders_of_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        _numbered(tmp_path, name, 4, 2)
    assert [task.name for task in from_folder(tmp_path, 2, 1, ("c", "a"))] == ["c", "a"]
    with pytest.raises(ValueError, match="subfolders must be among a, b, c, got 'd'"):
        from_folder(tmp_path, 2, 1, ("d",))


def test_only_the_files_of_these_subfolders_are_inputs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _numbered(tmp_path, name, 4, 2)
    path, found = tmp_path / "s.yaml", []
    path.write_text(
        "name: s\ndevices: {count: 6}\n"
        "fl: {train_examples: 2, test_examples: 1, tasks: {folder: .}}\n"
    )
    for subfolders in (["b"], []):
        (only,) = load(path, settings={"fl.tasks.subfolders": subfolders})
        found.append(sorted({Path(name).parent.name for name in inputs(only.scenario)}))
    assert found == [["b"], ["a", "b"]]


def test_the_seed_draws_the_examples_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": f"p {n}", "answer": "x"} for n in range(60)]
    _hub(monkeypatch, {"train": _Table(rows), "test": _Table([{"prompt": "q", "answer": "y"}])})
    drawn = [[e.prompt for e in from_hub("a/b", n_train=10, seed=seed).train] for seed in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]
    assert len(set(drawn[0])) == 10
    more = [e.prompt for e in from_hub("a/b", n_train=20, seed=1).train]
    assert more[:10] == drawn[0]


@pytest.mark.parametrize("key", ["prompt", "answer", "choices", "config"])
def test_keys_that_a_benchmark_knows_are_refused(
    scenario_of: Callable[[str], Scenario], key: str
) -> None:
    text = f"name: s\nfl: {{tasks: {{hub: [owner/mine, boolq], {key}: mine}}}}\n"
    with pytest.raises(ValueError, match=f"{key} must not be set for the benchmark boolq"):
        scenario_of(text)


def test_splits_of_a_benchmark_are_those_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, config: str | None, split: str) -> list[dict[str, object]]:
        asked.append((name, config, split))
        return [{"passage": split, "question": f"is {n}", "answer": True} for n in range(3)]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    from_hub("boolq")
    from_hub("boolq", train_split="train[:80%]", test_split="train[80%:]")
    assert asked == [
        ("google/boolq", None, "train"), ("google/boolq", None, "validation"),
        ("google/boolq", None, "train[:80%]"), ("google/boolq", None, "train[80%:]"),
    ]  # fmt: skip
