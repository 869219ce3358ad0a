"""Micro-batches of devices: memory, checkpointing, half precision, and quantized weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from fl.adapters import AdaptedModel, Adapter
from fl.adapters.adapter import draw_a
from fl.adapters.memory import MemoryEstimate
from fl.config import AdamW
from fl.models.language_model import Encoded, load
from fl.training.local_steps import LocalTraining, TrainingResult, train


def works(
    model: AdaptedModel, devices: int, rows: int, width: int, train_a: bool = True
) -> list[LocalTraining]:
    made = []
    for device in range(devices):
        generator = torch.Generator().manual_seed(device)
        b = tuple(
            0.05 * torch.randn(layer.outputs, 4, generator=generator) for layer in model.layers
        )
        a = draw_a(model.layers, 4, "kaiming", device)
        ids = torch.randint(2, 512, (2, rows, width), generator=generator)
        batches = [Encoded(one, torch.ones_like(one), one) for one in ids]
        made.append(LocalTraining(Adapter(a, b, 2.0, train_a=train_a), None, batches, 1e-3))
    return made


def run(model: AdaptedModel) -> list[TrainingResult]:
    return train(model, works(model, 3, 2, 10), AdamW(), 1.0)


def assert_close(
    first: list[TrainingResult], second: list[TrainingResult], tolerance: float
) -> None:
    for one, other in zip(first, second, strict=True):
        assert one.loss == pytest.approx(other.loss, abs=tolerance)
        for x, y in zip(one.adapter.b, other.adapter.b, strict=True):
            torch.testing.assert_close(x, y, rtol=0, atol=tolerance)


def peak_bytes(folder: Path, compute: Callable[[], object]) -> int:
    """Return the most memory that torch's tensors took beyond those from before [byte]."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        compute()
    trace = folder / "trace.json"
    seen.export_chrome_trace(str(trace))
    events = json.loads(trace.read_bytes())["traceEvents"]
    events_of_memory = [event["args"] for event in events if event.get("name") == "[memory]"]
    before = int(events_of_memory[0]["Total Allocated"]) - int(events_of_memory[0]["Bytes"])
    return max(int(one["Total Allocated"]) for one in events_of_memory) - before


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("train_a", [True, False])
@pytest.mark.parametrize(("devices", "rows", "width"), [(12, 1, 16), (4, 8, 16), (2, 4, 64)])
def test_memory_is_estimated_within_a_factor_of_two(  # type: ignore[no-untyped-def]
    make_lm, kind, checkpointing, train_a, devices, rows, width, tmp_path: Path
) -> None:
    model = AdaptedModel(make_lm(kind), checkpointing=checkpointing)
    jobs = works(model, devices, rows, width, train_a)
    estimate = MemoryEstimate(model).peak_bytes(rows * width, devices, 4, training=True)
    peak = peak_bytes(tmp_path, lambda: train(model, jobs, AdamW(), 1.0))
    # Too little is worse than too much: a planner relies on it.
    assert 0.8 * peak <= estimate <= 2 * peak


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_memory_without_training_is_estimated_within_a_factor_of_two(  # type: ignore[no-untyped-def]
    make_lm, kind, tmp_path: Path
) -> None:
    model = AdaptedModel(make_lm(kind))
    devices, rows, width = 4, 8, 32
    ids = torch.zeros(devices * rows, width, dtype=torch.int64)
    where = torch.arange(ids.numel())

    def forward() -> None:
        a = [torch.zeros(devices, 4, layer.inputs) for layer in model.layers]
        b = [torch.zeros(devices, 4, layer.outputs) for layer in model.layers]
        with torch.inference_mode(), model.stacked(a, b, 1.0):
            torch.log_softmax(model.logits_at(ids, where), -1)

    estimate = MemoryEstimate(model).peak_bytes(rows * width, devices, 4, training=False)
    peak = peak_bytes(tmp_path, forward)
    assert 0.8 * peak <= estimate <= 2 * peak


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_checkpointing_changes_nothing_but_memory(make_lm, kind, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    plain, checkpointed = AdaptedModel(make_lm(kind)), AdaptedModel(make_lm(kind), (), True)
    assert_close(run(plain), run(checkpointed), 1e-6)
    peaks = [
        peak_bytes(tmp_path, lambda model=model: train(model, works(model, 2, 8, 32), AdamW(), 1.0))
        for model in (plain, checkpointed)
    ]
    assert peaks[1] < 0.8 * peaks[0]


def test_the_librarys_own_checkpointing_works_with_wrapped_layers(make_lm) -> None:  # type: ignore[no-untyped-def]
    expected = run(AdaptedModel(make_lm()))
    model = AdaptedModel(make_lm())
    # The first name is that of newer versions.
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    enable = next(getattr(model.model, name) for name in names if hasattr(model.model, name))
    enable({"use_reentrant": False})
    # It works in training mode only; this model has no dropout.
    model.model.train()
    assert_close(run(model), expected, 1e-6)


def test_models_without_blocks_cannot_be_checkpointed() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)
            self.config: Any = type("Config", (), {"vocab_size": 2, "num_labels": 2})

        def get_output_embeddings(self) -> None:
            return None

    with pytest.raises(ValueError, match="Bare has no blocks that can be checkpointed"):
        AdaptedModel(Bare(), checkpointing=True)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_half_precision_models_train_adapters_in_full_precision(make_lm, kind) -> None:  # type: ignore[no-untyped-def]
    full = run(AdaptedModel(make_lm(kind)))
    half = run(AdaptedModel(make_lm(kind).bfloat16()))
    for one, other in zip(full, half, strict=True):
        assert one.moments is not None
        assert other.moments is not None
        assert {x.dtype for x in (*other.adapter.a, *other.adapter.b)} == {torch.float32}
        assert {x.dtype for x in (*other.moments.first, *other.moments.second)} == {torch.float32}
        # Three significant digits of 6.2.
        assert one.loss == pytest.approx(other.loss, abs=0.03)
        gradient, rough = one.moments.first[0], other.moments.first[0]
        assert float(torch.nn.functional.cosine_similarity(gradient, rough, dim=0)) > 0.97


class Packed(nn.Linear):
    """A linear layer with a packed weight, like 4-bit layers."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None)
        self.load_state_dict(linear.state_dict())
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight.clone(), self.bias)


def packed(model: nn.Module) -> nn.Module:
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and name != "lm_head":
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, Packed(module))
    return model


def test_layers_with_other_products_take_adapters(make_lm) -> None:  # type: ignore[no-untyped-def]
    plain, other = AdaptedModel(make_lm()), AdaptedModel(packed(make_lm()))
    assert not any(module.is_plain for module in other.modules)
    assert_close(run(plain), run(other), 1e-6)
    adapter = works(plain, 1, 1, 4)[0].adapter
    ids = torch.arange(10)[None]
    with torch.no_grad(), plain.merged(adapter), other.merged(adapter):
        torch.testing.assert_close(plain.model(ids).logits, other.model(ids).logits)


def test_batches_must_be_device_major(make_lm) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    a = [torch.zeros(2, 4, layer.inputs) for layer in model.layers]
    b = [torch.zeros(2, 4, layer.outputs) for layer in model.layers]
    with model.stacked(a, b, 1.0), pytest.raises(ValueError, match="got 3 for 2 devices"):
        model.model(torch.zeros(3, 5, dtype=torch.int64))


def test_quantization_without_its_library_is_one_clear_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fl.models.loading.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs accelerate and bitsandbytes: pip install"):
        load("tiny", quantization="4bit")


def test_models_are_loaded_in_the_requested_dtype() -> None:
    model, _ = load("tiny", torch.bfloat16, "cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
