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
    {"layers_to_transform": 1, "layers_pattern": "layers"},
    {"exclude_modules": ["o_proj"]},
    {"exclude_modules": r".*\.0\..*o_proj"},
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
        ({"ensure_weight_tying": True}, "ensure_weight_tying must not be set, got True"),
        ({"target_parameters": ["x"]}, "target_parameters must not be set"),
        ({"not_yet_invented": 0.5}, "not_yet_invented must not be set, got 0.5"),
        ({"init_lora_weights": "unheard"}, "init_lora_weights must be one of true, false, gauss"),
        ({"rank_pattern": [3]}, "rank_pattern must be an object"),
        ({"target_modules": [3]}, "target_modules must be a text or a list of texts"),
        ({"layers_to_transform": ["0"]}, "layers_to_transform must be whole numbers"),
        ({"layers_to_transform": [0]}, r"selects only, got model\.layers\.1"),
        ({"exclude_modules": ["o_proj"]}, "selects only, got .*o_proj"),
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


INITIALIZATIONS = ["pissa", "olora"]


@pytest.mark.parametrize("kind", INITIALIZATIONS)
def test_factors_relative_to_changed_weights_are_refused(  # type: ignore[no-untyped-def]
    make_lm, tmp_path: Path, kind: str
) -> None:
    """Law: as the base weights changed, B A is not the change: PEFT's model is still the base."""
    from peft import LoraConfig, PeftModel, get_peft_model

    targets = ["q_proj", "o_proj"]
    config = LoraConfig(r=4, target_modules=targets, init_lora_weights=kind)
    get_peft_model(make_lm(), config).save_pretrained(tmp_path)
    # What PEFT computes with the files: the untrained adapter changes nothing.
    untrained = PeftModel.from_pretrained(make_lm(), tmp_path)
    torch.testing.assert_close(logits(untrained), logits(make_lm()), rtol=0, atol=1e-4)
    layers = AdaptedModel(make_lm()).layers
    with pytest.raises(ValueError, match=f"must leave the base weights unchanged, got {kind}"):
        read(tmp_path, layers)


# The singular vectors of `niter` are drawn, so that PEFT finds others when it loads the files.
@pytest.mark.parametrize("kind", ["pissa_niter_4", "corda", "loftq", "lora_ga"])
def test_other_initializations_of_base_weights_are_refused(  # type: ignore[no-untyped-def]
    make_lm, tmp_path: Path, kind: str
) -> None:
    make_peft(make_lm(), tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"init_lora_weights": kind}))
    with pytest.raises(ValueError, match=f"must leave the base weights unchanged, got {kind}"):
        read(tmp_path, AdaptedModel(make_lm()).layers)


@pytest.mark.filterwarnings("ignore:OLoRA changes the base weights")
def test_converted_adapters_are_read(make_lm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Contract: the way round that the message names gives the logits of PEFT's model."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, target_modules=["q_proj", "o_proj"], init_lora_weights="olora")
    peft = get_peft_model(make_lm(), config)
    peft.save_pretrained(tmp_path / "initial")
    settings = tmp_path / "initial" / "adapter_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"init_lora_weights": True}))
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            parameter.data = 1.1 * parameter.data
    theirs = logits(peft.eval())
    peft.save_pretrained(
        tmp_path / "converted", path_initial_model_for_weight_conversion=str(tmp_path / "initial")
    )
    model = AdaptedModel(make_lm())
    with model.merged(read(tmp_path / "converted", model.layers)):
        torch.testing.assert_close(logits(model.model), theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["gaussian", "orthogonal", "mica", False])
def test_other_initializations_give_the_same_logits(  # type: ignore[no-untyped-def]
    make_lm, tmp_path: Path, kind: object
) -> None:
    theirs = logits(make_peft(make_lm(), tmp_path, init_lora_weights=kind))
    model = AdaptedModel(make_lm())
    with model.merged(read(tmp_path, model.layers)):
        torch.testing.assert_close(logits(model.model), theirs, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers` to `True`")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_adapters_of_the_output_layer_are_read(  # type: ignore[no-untyped-def]
    make_lm, tmp_path: Path, dtype: torch.dtype
) -> None:
    from peft import PeftModel

    peft = make_peft(make_lm().to(dtype), tmp_path, target_modules=["lm_head", "q_proj"])
    path = tmp_path / "adapter_model.safetensors"
    copy = "base_model.model.lm_head.base_layer.weight"
    assert copy in load_file(path)
    model = AdaptedModel(make_lm().to(dtype), ["lm_head", "q_proj"])
    adapter = read(tmp_path, model.layers, model.model)
    atol = 1e-5 if dtype == torch.float32 else 0.05
    with model.merged(adapter):
        torch.testing.assert_close(logits(model.model), logits(peft), rtol=0, atol=atol)
    # A model of other precision is still the same model.
    whole = AdaptedModel(make_lm(), ["lm_head", "q_proj"])
    assert torch.equal(read(tmp_path, whole.layers, whole.model).b[0], adapter.b[0])
    # Our own files, after PEFT has loaded and saved them.
    own = tmp_path / "own"
    own.mkdir()
    for name, data in files(adapter, model.layers, "x", model.transposed).items():
        (own / name).write_bytes(data)
    PeftModel.from_pretrained(make_lm().to(dtype), own).save_pretrained(tmp_path / "again")
    again = read(tmp_path / "again", model.layers, model.model)
    assert torch.equal(again.b[0], adapter.b[0])
    tensors = load_file(path)
    tensors[copy][3, 5] += 0.25
    save_file(tensors, path)
    with pytest.raises(ValueError, match=r"lm_head\.base_layer\.weight must equal the model's own"):
        read(tmp_path, model.layers, model.model)


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
