"""Adapters in PEFT's format, read and written: every kind of scaling, and a sentence for each
refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fl.adapters import AdaptedModel
from fl.adapters.peft_format import files, read

SETTINGS: list[dict[str, Any]] = [
    {},
    {"rank_pattern": {"layers.1.self_attn.q_proj": 2, "down_proj": 5}},
    {"alpha_pattern": {"o_proj": 3, r"^model.layers.0.self_attn.q_proj": 11}},
    {"use_rslora": True},
    {"use_rslora": True, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 7}},
    {"target_modules": r"model\.layers\.1\..*(q|down)_proj"},
    {"layers_to_transform": [0]},
    {"exclude_modules": ["o_proj"]},
    {"target_modules": "all-linear"},
]


def make_peft(lm: Any, folder: Path, **settings: Any) -> Any:
    """Return PEFT's model with random factors, saved to a folder."""
    from peft import LoraConfig, get_peft_model

    named = {"target_modules": ["q_proj", "o_proj", "down_proj"], "r": 4, "lora_alpha": 6}
    peft = get_peft_model(lm, LoraConfig(task_type="CAUSAL_LM", **(named | settings)))
    generator = torch.Generator().manual_seed(5)
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    peft.save_pretrained(folder)
    return peft.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.arange(20).reshape(2, 10)).logits
    return found


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_adapters_of_peft_give_the_same_logits_after_a_round_trip(  # type: ignore[no-untyped-def]
    make_lm, tmp_path: Path, settings: dict[str, Any]
) -> None:
    from peft import PeftModel

    theirs = logits(make_peft(make_lm(), tmp_path, **settings))
    model = AdaptedModel(make_lm())
    adapter = read(tmp_path, model.layers)
    with model.merged(adapter):
        torch.testing.assert_close(logits(model.model), theirs, rtol=0, atol=1e-5)
    back = tmp_path / "back"
    back.mkdir()
    for name, data in files(adapter, model.layers, "x", model.transposed).items():
        (back / name).write_bytes(data)
    again = PeftModel.from_pretrained(make_lm(), back)
    torch.testing.assert_close(logits(again), theirs, rtol=0, atol=1e-5)
    assert not torch.allclose(logits(make_lm()), theirs, atol=1e-3)
    second = read(back, model.layers)
    for one, other in zip((*adapter.a, *adapter.b), (*second.a, *second.b), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("fan_in_fan_out", [False, True])
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")
def test_transposed_models_are_read_as_well(  # type: ignore[no-untyped-def]
    make_lm, tmp_path: Path, fan_in_fan_out: bool
) -> None:
    peft = make_peft(
        make_lm("gpt2"), tmp_path, target_modules=["c_attn", "c_fc"], fan_in_fan_out=fan_in_fan_out
    )
    model = AdaptedModel(make_lm("gpt2"), ["c_attn", "c_fc"])
    with model.merged(read(tmp_path, model.layers)):
        torch.testing.assert_close(logits(model.model), logits(peft), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type must be LORA, got IA3"),
        ({"use_dora": True}, "use_dora must not be set"),
        ({"bias": "all"}, "bias must be none, got all"),
        ({"lora_bias": True}, "lora_bias must not be set"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save must not be set"),
        ({"r": 0}, "r must be a positive number, got 0"),
        ({"r": 3}, "lora_A of .*q_proj must be 3 by 32, got 4 by 32"),
        ({"lora_alpha": "8"}, "lora_alpha must be a positive number, got 8"),
        ({"alpha_pattern": {"q_proj": -1}}, "alpha_pattern of q_proj must be a positive number"),
        ({"target_modules": []}, "target_modules must name modules"),
        ({"target_modules": ["q_proj", "o_proj", "down_proj", "v_proj"]},
         "must hold the factors of .*v_proj"),
        ({"rank_pattern": {"(": 2}}, "not a regular expression"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_unsupported_adapters_have_clear_messages(  # type: ignore[no-untyped-def]
    make_lm, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    make_peft(make_lm(), tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        read(tmp_path, AdaptedModel(make_lm()).layers)


def test_broken_and_missing_files_are_named(make_lm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    layers = AdaptedModel(make_lm()).layers
    with pytest.raises(ValueError, match=r"must hold adapter_config\.json"):
        read(tmp_path, layers)
    make_peft(make_lm(), tmp_path)
    config, tensors = tmp_path / "adapter_config.json", tmp_path / "adapter_model.safetensors"
    whole, factors = config.read_bytes(), load_file(tensors)
    with pytest.raises(ValueError, match=r"one of the model's adapted layers, got .*o_proj"):
        read(tmp_path, AdaptedModel(make_lm(), ["q_proj", "down_proj"]).layers)
    config.write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        read(tmp_path, layers)
    config.write_bytes(whole)
    key = next(iter(factors))
    save_file({name: tensor for name, tensor in factors.items() if name != key}, tensors)
    with pytest.raises(ValueError, match="must have lora_A and lora_B, got B alone"):
        read(tmp_path, layers)
    save_file(factors | {"base_model.model.lm_head.weight": torch.ones(1)}, tensors)
    with pytest.raises(ValueError, match="must be factors of linear layers, got base_model"):
        read(tmp_path, layers)
    tensors.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not safetensors"):
        read(tmp_path, layers)
    tensors.rename(tmp_path / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"found only adapter_model\.bin \(pickle files can run"):
        read(tmp_path, layers)
    (tmp_path / "adapter_model.bin").unlink()
    with pytest.raises(ValueError, match=r"must hold adapter_model\.safetensors"):
        read(tmp_path, layers)


def test_layers_of_rank_zero_are_trained_past(make_lm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Contract: an adapter of some layers may be trained on a model that adapts more."""
    from fl.config import AdamW
    from fl.models.language_model import Encoded
    from fl.training.local_steps import LocalTraining, train

    make_peft(make_lm(), tmp_path)
    model = AdaptedModel(make_lm())
    ids = torch.randint(2, 512, (2, 8), generator=torch.Generator().manual_seed(0))
    batch = Encoded(ids, torch.ones_like(ids), ids)
    adapter = read(tmp_path, model.layers)
    done = train(model, [LocalTraining(adapter, None, [batch] * 3, 1e-2)], AdamW(), 1.0)[0].adapter
    for before, after in zip(adapter.b, done.b, strict=True):
        assert before.shape == after.shape
        assert torch.equal(before, after) == (before.shape[1] == 0)
