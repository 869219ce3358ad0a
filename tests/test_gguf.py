"""GGUF files: the same model as the folder it was made from, and what is wrong in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import pre_tokenizers

from fl.models.gguf import PRE_TOKENIZERS, converted
from fl.models.gguf_files import gguf_file
from fl.models.language_model import TINY, load
from wnsim.scenario import load as load_scenario
from wnsim.scenario.errors import ScenarioError

gguf = pytest.importorskip("gguf")

# A vocabulary of bytes and a few merges, as of GPT-2.
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ hello", "1 2", "3 4", "Ġ Ġ"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WNSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def vocabulary() -> list[str]:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return ["<|end|>", *letters, *(merge.replace(" ", "") for merge in MERGES)]


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Return rows in the order of llama.cpp, pairs of a rotation side by side."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def write(path: Path, *, kind: Any = None, pre: str = "smollm", arch: str = "llama") -> None:
    """Write the bundled model's weights, with a vocabulary of bytes, as a GGUF file."""
    config = json.loads((TINY / "config.json").read_text("utf-8"))
    weights = {name: w.float().numpy() for name, w in load_file(TINY / "model.safetensors").items()}
    tokens = vocabulary()
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name("small")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(float(config["rope_parameters"]["rope_theta"]))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    filler = [f"<unused{n}>" for n in range(config["vocab_size"] - len(tokens))]
    writer.add_token_list([*tokens, *filler])
    writer.add_token_types([3, *[1] * (len(tokens) + len(filler) - 1)])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, weight in weights.items():
        heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
        for part, key in heads.items():
            if part in name:
                weight = permuted(weight, config[key])
        short = names.get_name(name, try_suffixes=(".weight",))
        matrix = kind is not None and weight.ndim == 2
        data = gguf.quants.quantize(weight, kind) if matrix else weight
        writer.add_tensor(short, data, raw_dtype=kind if matrix else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("kind", [None, "Q8_0", "Q4_1"])
def test_weights_are_those_of_the_file(tmp_path: Path, kind: str | None) -> None:
    wanted = None if kind is None else gguf.GGMLQuantizationType[kind]
    write(tmp_path / "small.gguf", kind=wanted)
    model, _ = load(str(tmp_path / "small.gguf"))
    reference, _ = load("tiny")
    if wanted is not None:
        # The library's own quantization, there and back, of the original weights.
        with torch.no_grad():
            for weight in reference.parameters():
                if weight.ndim == 2:
                    there = gguf.quants.quantize(weight.numpy(), wanted)
                    weight.copy_(torch.from_numpy(gguf.quants.dequantize(there, wanted)))
    ids = torch.arange(1, 41).reshape(2, 20)
    with torch.inference_mode():
        found, expected = model(input_ids=ids).logits, reference(input_ids=ids).logits
    assert found == pytest.approx(expected, abs=2e-4)
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert tied == reference.config.tie_word_embeddings
    assert getattr(model.config, "quantization_config", None) is None


def test_tokens_follow_the_files_own_rule(tmp_path: Path) -> None:
    """Digits one by one in SmolLM, up to three in Llama 3, with the space in GPT-2."""
    text = "hello 1234  hello"
    expected = {
        "smollm": ["hello", "Ġ", "1", "2", "3", "4", "Ġ", "Ġhello"],
        "llama-bpe": ["hello", "Ġ", "12", "3", "4", "Ġ", "Ġhello"],
        "qwen2": ["hello", "Ġ", "1", "2", "3", "4", "Ġ", "Ġhello"],
        "gpt-2": ["hello", "Ġ", "12", "34", "Ġ", "Ġhello"],
    }
    assert set(expected) < set(PRE_TOKENIZERS)
    for pre, tokens in expected.items():
        write(tmp_path / f"{pre}.gguf", pre=pre)
        _, tokenizer = load(str(tmp_path / f"{pre}.gguf"))
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.convert_ids_to_tokens(ids) == tokens, pre
        assert tokenizer.decode(ids) == text


def test_a_file_is_converted_once(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "small.gguf")
    folder = converted(tmp_path / "small.gguf")
    assert folder.parent == cache / "models"
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (tmp_path / "copy.gguf").write_bytes((tmp_path / "small.gguf").read_bytes())
    assert converted(tmp_path / "copy.gguf") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    assert [path.name for path in (cache / "models").iterdir()] == [folder.name]


def test_names_of_files_folders_and_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "small.gguf")
    assert gguf_file("tiny") is None
    assert gguf_file("organization/model") is None
    assert gguf_file(str(TINY)) is None
    assert gguf_file(str(tmp_path)) == tmp_path / "small.gguf"
    package = tmp_path / "packages" / "carries_one"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be run')", "utf-8")
    (package / "model.gguf").write_bytes((tmp_path / "small.gguf").read_bytes())
    monkeypatch.syspath_prepend(tmp_path / "packages")
    assert gguf_file("package:carries_one") == package / "model.gguf"
    load("package:carries_one")
    (tmp_path / "other.gguf").write_bytes(b"")
    with pytest.raises(ValueError, match=r"one file \*.gguf, got other.gguf, small.gguf"):
        gguf_file(str(tmp_path))
    for name in ("package:no_such_package", "package:os.path", "package:"):
        with pytest.raises(ValueError, match="no such package is installed"):
            gguf_file(name)
    for name in ("missing.gguf", "package:no_such_package"):
        with pytest.raises(ScenarioError, match=r"fl\.model"):
            load_scenario("urban.yaml", settings={"fl.model": name})


def test_wrong_files_are_said_in_a_sentence(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "small.gguf")
    whole = (tmp_path / "small.gguf").read_bytes()
    cases: dict[str, bytes] = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "head": whole[:200],
        "text": b"this is not a model\n" * 100,
    }
    for name, data in cases.items():
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name}\.gguf: cannot be read as a causal language"):
            load(str(path))
    write(tmp_path / "vision.gguf", arch="clip")
    with pytest.raises(ValueError, match="clip"):
        load(str(tmp_path / "vision.gguf"))
    write(tmp_path / "pre.gguf", pre="of-my-own")
    with pytest.raises(ValueError, match=r"tokenizer.ggml.pre must be one of .*'of-my-own'"):
        load(str(tmp_path / "pre.gguf"))
    # Nothing is left behind.
    assert list((cache / "models").iterdir()) == []


def test_a_missing_library_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "small.gguf")
    find_spec = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "gguf" else find_spec(name)
    )
    with pytest.raises(ValueError, match=r"pip install 'wnsim\[gguf\]'"):
        load(str(tmp_path / "small.gguf"))
