"""The bundled model and others in its format: loading, encoding, and correct answers."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scoring import accuracy, exact_match, mean_log_likelihood
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    RobertaConfig,
    RobertaModel,
)

from fl.adapters import AdaptedModel
from fl.evaluation import Evaluator
from fl.models.checks import check_length
from fl.models.language_model import TINY, encode, encode_choices, load
from fl.tasks import GENERATED, Example, Task, generate


@cache
def tiny() -> tuple[Any, Any]:
    return load("tiny")


def test_shipped_model_is_frozen_and_small() -> None:
    model, tokenizer = tiny()
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.parameters())
    assert sum(file.stat().st_size for file in TINY.iterdir()) <= 8_000_000
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_tokenizer_is_lossless(text: str) -> None:
    _, tokenizer = tiny()
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert all(0 <= i < len(tokenizer) for i in ids)


def test_symbols_of_the_tasks_are_single_tokens() -> None:
    _, tokenizer = tiny()
    symbols = [f" {symbol}" for symbol in (*"abcdefghijklmnopqrstuvwxyz", *"0123456789", "->")]
    assert [len(tokenizer(symbol)["input_ids"]) for symbol in symbols] == [1] * len(symbols)
    # 1 and 7 of a number stand alone.
    assert len(tokenizer(" 17")["input_ids"]) == 2


@pytest.mark.parametrize("name", GENERATED)
def test_prompts_with_answers_are_short(name: str) -> None:
    _, tokenizer = tiny()
    rows = encode(generate(name, 200, 1, seed=0).train, tokenizer, 256)
    assert rows.ids.shape[1] <= 32


@pytest.mark.parametrize("name", GENERATED)
def test_shipped_model_knows_almost_nothing_of_the_tasks(name: str) -> None:
    model, tokenizer = tiny()
    task = generate(name, 1, 200, seed=11)
    # An instrument may start at most ten points above chance.
    assert accuracy(model, tokenizer, task.test) <= task.chance + 0.10


class Letters:
    """A tokenizer of single characters, with what `encode` requires."""

    def __init__(self, start: int | None = None, pad: int | None = 0) -> None:
        self.eos_token_id: int | None = 1
        self.bos_token_id = start
        self.pad_token_id = pad

    def __call__(
        self, text: str | list[str], add_special_tokens: bool = True, verbose: bool = True
    ) -> dict[str, Any]:
        if isinstance(text, list):
            return {"input_ids": [self._ids(each, add_special_tokens) for each in text]}
        return {"input_ids": self._ids(text, add_special_tokens)}

    def _ids(self, text: str, special: bool) -> list[int]:
        head = [self.bos_token_id] if special and self.bos_token_id is not None else []
        return [*head, *map(ord, text)]


def test_encode_joins_prompt_space_answer_and_end() -> None:
    rows = encode([Example("ab", "c"), Example("d", "ef")], Letters(), 10)
    assert rows.ids.tolist() == [[97, 98, 32, 99, 1], [100, 32, 101, 102, 1]]
    assert rows.labels.tolist() == [[-100, -100, 32, 99, 1], [-100, 32, 101, 102, 1]]
    rows = encode([Example("ab", "c"), Example("", "d")], Letters(), 10)
    assert rows.ids.tolist() == [[97, 98, 32, 99, 1], [32, 100, 1, 0, 0]]
    assert rows.mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert rows.labels.tolist() == [[-100, -100, 32, 99, 1], [32, 100, 1, -100, -100]]
    assert {x.dtype for x in (rows.ids, rows.mask, rows.labels)} == {torch.int64}


def test_encode_cuts_the_prompt_from_the_left_and_never_the_answer() -> None:
    example = Example("abcdef", "xy")
    assert encode([example], Letters(), 6).ids.tolist() == [[101, 102, 32, 120, 121, 1]]
    # A tokenizer's own first token stays.
    assert encode([example], Letters(start=2), 6).ids.tolist() == [[2, 102, 32, 120, 121, 1]]
    assert encode([example], Letters(), 4).ids.tolist() == [[32, 120, 121, 1]]
    with pytest.raises(ValueError, match=r"must fit into max_length 3 .* got 3 tokens: 'xy'"):
        encode([example], Letters(), 3)


def test_encode_pads_with_the_end_where_there_is_no_pad() -> None:
    rows = encode([Example("ab", "c"), Example("", "c")], Letters(pad=None), 9)
    assert rows.ids[1].tolist() == [32, 99, 1, 1, 1]
    assert rows.labels[1].tolist() == [32, 99, 1, -100, -100]


def test_encode_needs_examples_and_an_end() -> None:
    with pytest.raises(ValueError, match="at least one example, got none"):
        encode([], Letters(), 9)
    endless = Letters()
    endless.eos_token_id = None
    with pytest.raises(ValueError, match="must define an end-of-text token"):
        encode([Example("a", "b")], endless, 9)


def test_encode_choices_lists_every_pair() -> None:
    examples = [Example("p", "b", ("a", "b")), Example("q", "c", ("c", "d", "e"))]
    rows, owner, right = encode_choices(examples, Letters(), 9)
    assert owner.tolist() == [0, 0, 1, 1, 1]
    assert right.tolist() == [False, True, True, False, False]
    assert rows.ids[:, 2].tolist() == [ord(c) for c in "abcde"]
    with pytest.raises(ValueError, match="must have choices, got none for prompt 'r'"):
        encode_choices([*examples, Example("r", "s")], Letters(), 9)


def test_right_padding_changes_no_answer() -> None:
    model, tokenizer = tiny()
    examples = generate("actor", 2, 1, seed=0).train
    alone = [encode([example], tokenizer, 64) for example in examples]
    together = encode([*examples, Example("x " * 30, "y")], tokenizer, 64)
    with torch.no_grad():
        logits = model(input_ids=together.ids, attention_mask=together.mask).logits
        for i, one in enumerate(alone):
            single = model(input_ids=one.ids, attention_mask=one.mask).logits
            # Two orders of float32 summation over 352 products.
            torch.testing.assert_close(logits[i, : single.shape[1]], single[0], rtol=0, atol=1e-4)


def test_exact_match_is_what_greedy_decoding_gives() -> None:
    model, tokenizer = tiny()
    example = Example("a b c d ; a b c d ; a b", "c d")
    prompt = tokenizer(example.prompt, return_tensors="pt")
    written = model.generate(**prompt, max_new_tokens=8, do_sample=False)[0]
    length = prompt["input_ids"].shape[1]
    answer = tokenizer.decode(written[length:], skip_special_tokens=True)
    rows = encode([Example(example.prompt, answer.strip())], tokenizer, 64)
    ended = tokenizer.eos_token_id in written[length:].tolist()
    with torch.no_grad():
        logits = model(input_ids=rows.ids, attention_mask=rows.mask).logits
    assert exact_match(logits, rows.labels).tolist() == [ended]


def test_scores_from_known_logits() -> None:
    labels = torch.tensor([[-100, 2, 0], [-100, -100, 1]])
    logits = torch.log(
        torch.tensor(
            [
                [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]],
                [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]],
            ]
        )
    )
    assert exact_match(logits, labels).tolist() == [True, False]
    expected = [(np.log(0.5) + np.log(0.6)) / 2, np.log(0.3)]
    np.testing.assert_allclose(mean_log_likelihood(logits, labels).numpy(), expected, rtol=1e-6)


def _save(model: Any, folder: Path) -> None:
    """Write a randomly initialized model with the shipped tokenizer."""
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TINY / file, folder / file)


def test_gpt2_loads_by_the_same_function(tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=512, n_embd=32, n_layer=1, n_head=2, n_positions=64)
    _save(GPT2LMHeadModel(config), tmp_path)
    model, tokenizer = load(str(tmp_path))
    assert type(model).__name__ == "GPT2LMHeadModel"
    assert 0.0 <= accuracy(model, tokenizer, generate("topic", 1, 8, seed=0).test) <= 1.0


def test_bfloat16_weights_are_read_as_float32(tmp_path: Path) -> None:
    config = Qwen2Config(
        vocab_size=512,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=48,
    )
    _save(Qwen2ForCausalLM(config).to(torch.bfloat16), tmp_path)
    model, _ = load(str(tmp_path))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_folders_without_the_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold config\.json"):
        load(str(tmp_path))
    shutil.copy(TINY / "config.json", tmp_path)
    with pytest.raises(ValueError, match=r"must hold its weights, \*\.safetensors"):
        load(str(tmp_path))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"safetensors format, found only pytorch_model\.bin"):
        load(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="must hold a tokenizer"):
        load(str(tmp_path))
    shutil.copy(TINY / "tokenizer.json", tmp_path)
    with pytest.raises(ValueError, match="the weights cannot be read: "):
        load(str(tmp_path))


def _alter(folder: Path, config: dict[str, Any], weights: Callable[[dict[str, Any]], None]) -> None:
    """Copy the shipped model with another configuration and other weights."""
    shutil.copytree(TINY, folder)
    values = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(values))
    tensors = load_file(folder / "model.safetensors")
    weights(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_hidden_layers": 5}, r"lack the weights model\.layers\.4\.\S+ and 8 more"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers must be at most the number of tensors"),
        ({"intermediate_size": 10**9}, "other shapes than its config"),
        ({"vocab_size": "many"}, "cannot be loaded: "),
        ({"hidden_act": "os.system"}, "cannot be loaded: "),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    """Missing weights are not initialised at random, and nothing large is allocated."""
    _alter(tmp_path / "m", config, lambda tensors: None)
    with pytest.raises(ValueError, match=message):
        load(str(tmp_path / "m"))


def test_an_adapter_in_the_folder_of_a_model_is_refused(tmp_path: Path) -> None:
    """The library would add it to the model without a word."""
    _alter(tmp_path / "m", {}, lambda tensors: None)
    (tmp_path / "m" / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"m: a model folder must not hold adapter_config\.json"):
        load(str(tmp_path / "m"))


def test_weights_that_are_missing_or_no_numbers_are_named(tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    _alter(tmp_path / "lost", {}, lambda tensors: tensors.pop(name))
    with pytest.raises(ValueError, match=f"lack the weights {re.escape(name)}$"):
        load(str(tmp_path / "lost"))
    _alter(tmp_path / "nan", {}, lambda tensors: tensors[name][3, 5].fill_(math.nan))
    with pytest.raises(ValueError, match=f"{re.escape(name)} must be finite"):
        load(str(tmp_path / "nan"))
    _alter(tmp_path / "less", {"num_hidden_layers": 3}, lambda tensors: None)
    with pytest.warns(UserWarning, match=r"9 of its weights are not used"):
        load(str(tmp_path / "less"))


def test_a_model_has_the_required_tokens_and_positions(
    tmp_path: Path, make_trainer: Callable[..., object]
) -> None:
    def cut(tensors: dict[str, Any]) -> None:
        tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:500].clone()

    _alter(tmp_path / "m", {"vocab_size": 500}, cut)
    with pytest.raises(ValueError, match="token 511 of its tokenizer must be below the 500"):
        load(str(tmp_path / "m"))
    make_trainer("gpt2", max_length=128)
    with pytest.raises(ValueError, match="at most the model's 128 positions, got 129"):
        make_trainer("gpt2", max_length=129)


@pytest.mark.parametrize("name", ["", "./none", "/none/such", "a/b/c"])
def test_a_path_to_nowhere_is_no_hub_name(name: str) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        load(name)


def test_no_hub_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*arguments: object, **options: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", offline)
    with pytest.raises(ValueError, match="'nobody/nothing' is no folder and cannot be loaded"):
        load("nobody/nothing")
    with pytest.raises(
        ValueError, match="must be 'tiny', a folder, a GGUF file or a hub name, got 'a b'"
    ):
        load("a b")
    broken = tmp_path / "config.json"
    broken.write_text("{")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(broken))
    with pytest.raises(ValueError, match=r"no network; of the copy in the cache: .* be loaded"):
        load("nobody/nothing")


def test_learned_positions_may_begin_after_that_of_padding() -> None:
    config = RobertaConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8, max_position_embeddings=18,
    )  # fmt: skip
    model = RobertaModel(config).eval()
    check_length(model, 16)
    model(input_ids=torch.full((1, 16), 3))
    with pytest.raises(ValueError, match="at most the model's 16 positions, got 17"):
        check_length(model, 17)


def test_a_prompt_with_a_token_that_was_added_is_refused(
    make_lm: Callable[[], Any], tokenizer: Any
) -> None:
    more = copy.deepcopy(tokenizer)
    more.add_tokens(["<img>"])
    examples = (Example("an <img>", "yes"),)
    with pytest.raises(ValueError, match="has token 512, which must be below the 512"):
        Evaluator(AdaptedModel(make_lm()), [Task("t", (), examples, 0.0)], more, 32)
