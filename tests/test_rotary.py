"""The replaced rotary embedding: the library's numbers, also through decorated forwards."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from fl.adapters.rotary import replace_rotations


def model_of(kind: str) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, vocab_size=64, max_position_embeddings=64,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).float().eval()


def replaced(model: Any) -> int:
    return sum("forward" in vars(module) for module in model.modules())


def decorated(forward: Callable[..., Any], calls: list[str], name: str) -> Callable[..., Any]:
    """Return a forward in a decorator of the kind that libraries use."""

    @functools.wraps(forward)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        return forward(*arguments, **named)

    return wrapper


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gemma", "olmo2", "gpt_neox"])
@pytest.mark.parametrize("decorators", [0, 1, 2])
def test_the_rotation_is_replaced_and_keeps_the_library_s_numbers(
    monkeypatch: pytest.MonkeyPatch, kind: str, decorators: int
) -> None:
    """The library is the law, to the rounding of single precision."""
    model, calls = model_of(kind), []
    attention = next(each for each in model.modules() if type(each).__name__.endswith("Attention"))
    for number in range(decorators):
        forward = decorated(type(attention).forward, calls, str(number))
        monkeypatch.setattr(type(attention), "forward", forward)
    ids = torch.arange(12)[None]
    theirs = model(ids).logits.detach()
    before = len(calls)
    replace_rotations(model)
    assert replaced(model) == 2
    assert torch.allclose(model(ids).logits, theirs, atol=1e-6)
    assert len(calls) == 2 * before == 4 * decorators


def test_a_rotation_that_cannot_be_replaced_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    attention = next(each for each in model.modules() if type(each).__name__.endswith("Attention"))
    forward = type(attention).forward
    # Nothing says what this one calls.
    monkeypatch.setattr(type(attention), "forward", lambda *some, **more: forward(*some, **more))
    with pytest.warns(UserWarning, match="LlamaAttention does not call apply_rotary_pos_emb"):
        replace_rotations(model)
    assert replaced(model) == 0
