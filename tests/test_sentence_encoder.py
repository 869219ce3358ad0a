"""Encoders that choose by similarity: against the formula with the plain library, and in a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, BertTokenizerFast

from fl.adapters import AdaptedModel
from fl.config import Learning, Local, Mixture, OneTask, SoLora
from fl.models.language_model import load
from fl.models.sentence_encoder import Choices
from fl.tasks import Example, Task
from fl.trainer import Trainer
from fl.training.loss import Batch, batch_loss

WORDS = [
    "red",
    "blue",
    "green",
    "one",
    "two",
    "three",
    "four",
    "cat",
    "dog",
    "cow",
    "is",
    "the",
    "a",
    "of",
    "it",
]
COLORS, ANIMALS = ("red", "blue", "green"), ("cat", "dog")
TASKS = (
    Task(
        "colors",
        tuple(Example(f"the {word} is it", COLORS[n % 3], COLORS) for n, word in enumerate(WORDS)),
        (Example("a one of three", "blue", COLORS), Example("two", "red", COLORS)),
        1 / 3,
    ),
    Task(
        "animals",
        tuple(Example(f"a {word}", ANIMALS[n % 2], ANIMALS) for n, word in enumerate(WORDS)),
        (Example("it is four", "dog", ANIMALS),),
        1 / 2,
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random encoder with a tokenizer of few words."""
    path = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    BertTokenizerFast({word: number for number, word in enumerate(words)}).save_pretrained(path)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(WORDS) + 4, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    BertModel(config).save_pretrained(path)
    return path


def embedding(folder: Path, text: str) -> torch.Tensor:
    """Return a text's embedding by the definition, one text at a time."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state
    return normalize(hidden[0].mean(0), dim=0)


def test_loss_is_that_of_cosines_with_the_choices_of_the_example_only(folder: Path) -> None:
    model, tokenizer = load(str(folder), encoder=True)
    choices = Choices(TASKS, model, tokenizer, 16)
    adapted = AdaptedModel(model, choices=choices)
    examples = [TASKS[0].test[0], TASKS[1].test[0], TASKS[0].test[1]]
    expected = []
    for example in examples:
        text = embedding(folder, example.prompt)
        cosines = torch.stack([text @ embedding(folder, choice) for choice in example.choices])
        right = example.choices.index(example.answer)
        expected.append(-torch.log_softmax(20 * cosines, 0)[right])
    # Three devices with an example each, of different lengths.
    rows = [choices.encode([example], 16) for example in examples]
    losses = batch_loss(adapted, Batch.collate(rows, torch.device("cpu")))
    torch.testing.assert_close(losses, torch.stack(expected), rtol=0, atol=1e-5)


def test_missing_rows_of_a_device_affect_no_other(folder: Path) -> None:
    model, tokenizer = load(str(folder), encoder=True)
    choices = Choices(TASKS, model, tokenizer, 16)
    adapted = AdaptedModel(model, choices=choices)
    two, one = choices.encode(TASKS[0].test, 16), choices.encode(TASKS[1].test, 16)
    a = [torch.randn(2, 4, layer.inputs) for layer in adapted.layers]
    b = [torch.randn(2, 4, layer.outputs).requires_grad_() for layer in adapted.layers]
    with adapted.stacked(a, b, 0.1):
        losses = batch_loss(adapted, Batch.collate([two, one], torch.device("cpu")))
        losses.sum().backward()
    assert all(bool(torch.isfinite(each.grad).all()) for each in b if each.grad is not None)
    with adapted.stacked([each[1:] for each in a], [each[1:] for each in b], 0.1):
        alone = batch_loss(adapted, Batch.collate([one], torch.device("cpu")))
    torch.testing.assert_close(losses[1:], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("gate", [None, Mixture()])
def test_devices_learn_their_tasks(folder: Path, gate: Mixture | None) -> None:
    alone, sparse = Local(rank=4, learning_rate=0.01), SoLora(density=0.5, learning_rate=0.02)
    learning = Learning(
        model=str(folder), scoring="similarity", method=alone if gate is None else sparse,
        local_steps=60, max_length=16, partition=OneTask(), inference=gate,
    )  # fmt: skip
    model, tokenizer = load(str(folder), encoder=True)
    # Tested on the training examples: the question is whether they learn at all.
    tasks = [Task(task.name, task.train, task.train, task.chance) for task in TASKS]
    trainer = Trainer(learning, tasks, model, tokenizer, 2, 1)
    states = [trainer.train(device, 1, None) for device in range(2)]
    for device, state in enumerate(states):
        own = trainer.test(device, 1, state).value().accuracies
        assert own[device] >= 0.9
        assert trainer.test(device, 0, None).value().accuracies[device] < 0.8
    if gate is not None:
        cached = {
            device: trainer.outgoing_update(device, 1, state) for device, state in enumerate(states)
        }
        assert min(trainer.test(0, 1, states[0], cached).value().accuracies) >= 0.6


def test_long_prompts_are_cut_from_the_left_and_long_choices_refused(folder: Path) -> None:
    """Law: as for language models; the tokens that the encoder puts at both ends stay."""
    model, tokenizer = load(str(folder), encoder=True)
    choices = Choices(TASKS, model, tokenizer, 5)
    long = Example("one two three four red blue", "red", COLORS)
    (ids,) = choices.encode([long], 5).ids.tolist()
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "four", "red", "blue", "[SEP]"]
    wordy = Task("wordy", (Example("one", "red", ("red", "one two three four")),), (), 0.5)
    with pytest.raises(ValueError, match="choice must fit into max_length 5, got 6 tokens: 'one"):
        Choices([wordy], model, tokenizer, 5)


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    model, tokenizer = load(str(folder), encoder=True)
    free = Task("free", (Example("one", "two"),), (Example("two", "one"),), 0.5)
    with pytest.raises(ValueError, match="needs tasks with choices, got none for prompt 'one'"):
        Choices([free], model, tokenizer, 16)
    tokenizer.pad_token = WORDS[0]
    with pytest.raises(ValueError, match="padding token is number 0, got 4"):
        Choices(TASKS, model, tokenizer, 16)
    with pytest.raises(ValueError, match="needs a sentence encoder, and tiny is none"):
        load("tiny", encoder=True)


def test_whole_run(folder: Path, tmp_path: Path) -> None:
    from wnsim.scenario.__main__ import main

    for task in TASKS:
        (tmp_path / "tasks" / task.name).mkdir(parents=True)
        for part, examples in (("train", task.train), ("test", task.test)):
            lines = [
                json.dumps({"prompt": e.prompt, "answer": e.answer, "choices": e.choices})
                for e in examples
            ]
            (tmp_path / "tasks" / task.name / f"{part}.jsonl").write_text("\n".join(lines))
    (tmp_path / "run.yaml").write_text(
        f"name: encoder\ndevices: {{count: 4}}\nfl:\n  model: {folder}\n  scoring: similarity\n"
        f"  tasks: {{folder: {tmp_path / 'tasks'}}}\n  max_length: 16\n  rounds: 2\n"
        "  train_examples: 12\n  test_examples: 1\n  topology: {model: ring}\n"
    )
    assert main([str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out")]) == 0
    adapter = tmp_path / "out" / "seed=1" / "adapters" / "device-0" / "adapter_config.json"
    assert json.loads(adapter.read_text())["target_modules"]
