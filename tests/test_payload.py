"""Sizes of messages: shapes of public architectures, and the ratios that the paper is about."""

from __future__ import annotations

import pytest

from fl.config import Emulate, Lora, SoLora
from fl.methods import METHODS
from fl.payload import Payload, architecture
from fl.update import HEADER_BYTES, encode


@pytest.mark.parametrize(
    ("name", "rank_32_millions", "billions"),
    [
        # LoRA of rank 32 on all linears and parameters of the public checkpoints.
        ("qwen2.5-1.5b", 36.93, 1.54),
        ("qwen2.5-7b", 80.74, 7.62),
        ("qwen2.5-0.5b", None, 0.494),
        ("llama-3.2-1b", None, 1.236),
        ("llama-3.2-3b", None, 3.213),
    ],
)
def test_shapes_of_public_architectures(
    name: str, rank_32_millions: float | None, billions: float
) -> None:
    layers, parameters = architecture(name)
    assert parameters / 1e9 == pytest.approx(billions, rel=3e-3)
    if rank_32_millions is not None:
        adapter = sum(32 * (layer.inputs + layer.outputs) for layer in layers)
        assert adapter / 1e6 == pytest.approx(rank_32_millions, abs=0.01)


def test_unknown_architectures_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown architecture 'gpt-5'"):
        architecture("gpt-5")


@pytest.mark.parametrize("density", [0.1, 0.25, 0.54])
def test_emulated_message_ratio_is_beta_times_density(make_lm, density: float) -> None:  # type: ignore[no-untyped-def]
    """Law: once A and mask are known, bytes fall to beta times density (header apart)."""
    from fl.adapters import AdaptedModel

    model = AdaptedModel(make_lm())
    layers, _ = architecture("qwen2.5-1.5b")
    emulate = Emulate(emulate="qwen2.5-1.5b")
    dense = Payload(emulate, METHODS[Lora](Lora(rank=8)), model)
    sparse = Payload(emulate, METHODS[SoLora](SoLora(rank=8, density=density)), model)
    ratio = (sparse.size_bytes(False) - HEADER_BYTES) / (dense.size_bytes(False) - HEADER_BYTES)
    beta = sum(layer.outputs for layer in layers) / sum(
        layer.inputs + layer.outputs for layer in layers
    )
    assert beta == pytest.approx(0.559, abs=5e-4)
    assert ratio == pytest.approx(beta * density, rel=1e-5)
    b_entries = 8 * sum(layer.outputs for layer in layers)
    a_entries = 8 * sum(layer.inputs for layer in layers)
    first = sparse.size_bytes(True) - sparse.size_bytes(False)
    assert first == b_entries // 8 + 2 * a_entries


@pytest.mark.parametrize("density", [0.1, 0.25, 0.54])
def test_actual_message_ratio_is_beta_times_density(make_trainer, density: float) -> None:  # type: ignore[no-untyped-def]
    dense = make_trainer(method=Lora(rank=8))
    sparse = make_trainer(method=SoLora(rank=8, density=density, calibration_prompts=8))
    sizes = []
    for trainer in (dense, sparse):
        adapter = trainer.train(0, 1, None).value().adapter
        for first in (True, False):
            size = len(encode(trainer.method.update(adapter, 0, 1, first)))
            # What is charged before anything is computed is what comes out.
            assert trainer.payload.size_bytes(first) == size
        sizes.append(size)
    layers = dense.model.layers
    beta = sum(layer.outputs for layer in layers) / sum(
        layer.inputs + layer.outputs for layer in layers
    )
    ratio = (sizes[1] - HEADER_BYTES) / (sizes[0] - HEADER_BYTES)
    # The budget is a whole number of entries, of values of two bytes.
    rounding = 0.5 * 2 / (sizes[0] - HEADER_BYTES)
    assert ratio == pytest.approx(beta * density, abs=rounding)


def test_operations_are_charged_for_the_emulated_model(make_trainer) -> None:  # type: ignore[no-untyped-def]
    emulate = Emulate(emulate="qwen2.5-0.5b", batch=2, length=64)
    trainer = make_trainer(method=Lora(rank=8), payload=emulate, local_steps=5)
    _, parameters = architecture("qwen2.5-0.5b")
    assert trainer.flops(0, first=False) == 4 * parameters * 2 * 64 * 5
    assert trainer.flops(0, first=True) == trainer.flops(0, first=False)
