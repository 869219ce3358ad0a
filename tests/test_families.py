"""Stacked adapters on the model families of Hugging Face equal PEFT's, one at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fl.adapters import AdaptedModel
from fl.adapters.adapter import draw_a
from fl.adapters.norm import FrozenRmsNorm

_SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1,
}  # fmt: skip
_GROUPED = {**_SMALL, "num_key_value_heads": 2}
CAUSAL = {
    "llama": _GROUPED,
    "qwen2": _GROUPED,
    "qwen3": {**_GROUPED, "head_dim": 8},
    "mistral": {**_GROUPED, "sliding_window": 5},
    "gemma": {**_GROUPED, "head_dim": 8},
    "gemma2": {**_GROUPED, "head_dim": 8, "sliding_window": 5, "final_logit_softcapping": 2.0},
    "phi": _SMALL,
    "phi3": {**_GROUPED, "sliding_window": 5},
    "gpt2": {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32},
    "gpt_neox": _SMALL,
    "opt": {
        "vocab_size": 64, "hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32,
    },
}  # fmt: skip
POOLED = {
    "bert": {**_SMALL, "num_labels": 3},
    "roberta": {**_SMALL, "num_labels": 3, "max_position_embeddings": 40},
    "distilbert": {
        "vocab_size": 64, "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4,
        "num_labels": 3, "pad_token_id": 0,
    },
}  # fmt: skip
DEVICES, ROWS, LENGTH, RANK = 3, 2, 14, 3


def make(kind: str) -> Any:
    """Return a small model with random weights, always the same, frozen and without dropout."""
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
    )

    pooled = kind in POOLED
    auto = AutoModelForSequenceClassification if pooled else AutoModelForCausalLM
    settings = POOLED[kind] if pooled else CAUSAL[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = auto.from_config(AutoConfig.for_model(kind, **settings))
        for parameter in model.parameters():
            # Fresh models have zero biases and unit norms, which would hide their omission.
            parameter.data += 0.05 * torch.randn(parameter.shape)
    return model.requires_grad_(False).eval()


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens (devices * rows, length) and the mask of their padding, on the right."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(2, 64, (DEVICES * ROWS, LENGTH), generator=generator)
    lengths = torch.tensor([14, 9, 11, 14, 3, 7])
    mask = (torch.arange(LENGTH) < lengths[:, None]).long()
    return ids * mask, mask


def factors(model: AdaptedModel) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return A (devices, rank, inputs) and B^T (devices, rank, outputs) per layer."""
    generator = torch.Generator().manual_seed(2)
    each = [draw_a(model.layers, RANK, "gaussian", device) for device in range(DEVICES)]
    a = [torch.stack(of_layer).requires_grad_() for of_layer in zip(*each, strict=True)]
    b = [
        (0.1 * torch.randn(DEVICES, RANK, layer.outputs, generator=generator)).requires_grad_()
        for layer in model.layers
    ]
    return a, b


def peft_of(kind: str, model: AdaptedModel, a: Any, b: Any, device: int) -> tuple[Any, Any]:
    """Return PEFT's model with a device's factors, and its parameters per layer."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=RANK,
        lora_alpha=2 * RANK,
        target_modules=[layer.name for layer in model.layers],
        fan_in_fan_out=model.transposed,
    )
    peft = get_peft_model(make(kind), config).eval()
    named = dict(peft.named_parameters())
    pairs = []
    for index, layer in enumerate(model.layers):
        prefix = f"base_model.model.{layer.name}"
        pair = [named[f"{prefix}.lora_{factor}.default.weight"] for factor in "AB"]
        pair[0].data = a[index][device].detach().clone()
        pair[1].data = b[index][device].detach().T.clone()
        pairs.append(pair)
    return peft, pairs


def assert_equal_to_peft(kind: str, model: AdaptedModel, masked: bool) -> None:
    """Compare logits, and gradients of a weighted sum of them, device by device."""
    ids, mask = data()
    a, b = factors(model)
    options = {"attention_mask": mask} if masked else {}
    with model.stacked(a, b, 2.0):
        logits = model.model(input_ids=ids, **options).logits
        valid = mask[:, :, None] if logits.ndim == 3 else torch.ones(1)
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(4)) * valid
        (logits * weights).sum().backward()
    for device in range(DEVICES):
        peft, pairs = peft_of(kind, model, a, b, device)
        own = slice(device * ROWS, (device + 1) * ROWS)
        theirs = peft(input_ids=ids[own], attention_mask=mask[own]).logits
        (theirs * weights[own]).sum().backward()
        shown = valid[own] if logits.ndim == 3 else valid
        torch.testing.assert_close(logits[own] * shown, theirs * shown, rtol=0, atol=1e-5)
        for index, (one_a, one_b) in enumerate(pairs):
            for mine, their in (
                (a[index].grad[device], one_a.grad),
                (b[index].grad[device].T, one_b.grad),
            ):
                scale = float(their.abs().max()) + 1e-3
                torch.testing.assert_close(mine / scale, their / scale, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", CAUSAL)
def test_causal_models_need_no_mask_and_equal_peft(kind: str) -> None:
    """Law: padding on the right changes nothing before it, sliding windows included."""
    model = AdaptedModel(make(kind))
    assert len(model.layers) >= 8
    assert_equal_to_peft(kind, model, masked=False)


@pytest.mark.parametrize("kind", POOLED)
@pytest.mark.parametrize("head", [False, True], ids=["frozen-head", "adapted-head"])
def test_encoders_with_a_pooled_head_equal_peft(kind: str, head: bool) -> None:
    targets = {
        "bert": ("query", "value", "dense", "classifier"),
        "roberta": ("query", "value", "dense", "out_proj"),
        "distilbert": ("q_lin", "v_lin", "pre_classifier", "classifier"),
    }
    model = AdaptedModel(make(kind), targets[kind] if head else ())
    if kind != "roberta":
        assert any(layer.name == "classifier" for layer in model.layers) == head
    assert_equal_to_peft(kind, model, masked=True)


@pytest.mark.parametrize("kind", CAUSAL)
def test_logits_at_chosen_tokens_are_the_models_own(kind: str) -> None:
    """Contract: caps and scales after the output layer included."""
    model = AdaptedModel(make(kind))
    ids, _ = data()
    where = torch.tensor([0, 5, 17, 83])
    with torch.no_grad():
        logits = model.model(input_ids=ids).logits.flatten(0, 1)[where]
        torch.testing.assert_close(model.logits_at(ids, where), logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", CAUSAL)
def test_norms_and_rotations_in_fewer_passes_compute_the_same(kind: str) -> None:
    """Law: with no adapter on it, a wrapped model's logits are those of the model as it was."""
    model = AdaptedModel(make(kind)).model
    quick = [module for module in model.modules() if isinstance(module, FrozenRmsNorm)]
    norms = [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")]
    assert bool(quick) == (
        kind in ("llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "phi3")
    )
    assert not norms
    rotations = [module for module in model.modules() if "forward" in vars(module)]
    assert bool(rotations) == (kind not in ("gpt2", "opt"))
    ids, mask = data()
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits
        expected = make(kind)(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(logits * mask[:, :, None], expected * mask[:, :, None])
