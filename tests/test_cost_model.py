"""Sizes of messages: shapes of public architectures, and the ratios stated in the paper."""

from __future__ import annotations

import resource
from dataclasses import replace

import pytest

from fl.adapters import AdaptedModel, Layer
from fl.config import Emulate, FullFt, Lora, SoLora
from fl.methods import METHODS
from fl.methods.frozen_a.density import density_of_ratio
from fl.trainer.cost_model import CostModel, architecture
from fl.updates.codec import HEADER_BYTES, encode, encoded_bytes


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
    model = architecture(name)
    layers, parameters = model.layers, model.parameter_count
    assert parameters / 1e9 == pytest.approx(billions, rel=3e-3)
    if rank_32_millions is not None:
        adapter = sum(32 * (layer.inputs + layer.outputs) for layer in layers)
        assert adapter / 1e6 == pytest.approx(rank_32_millions, abs=0.01)


def test_unknown_architectures_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown architecture 'gpt-5'"):
        architecture("gpt-5")


@pytest.mark.parametrize("density", [0.1, 0.25, 0.54])
def test_emulated_message_ratio_is_beta_times_density(make_lm, density: float) -> None:  # type: ignore[no-untyped-def]
    """Law: once A and mask are known, bytes fall to beta times density (headers excluded)."""
    model = AdaptedModel(make_lm())
    layers = architecture("qwen2.5-1.5b").layers
    emulate = Emulate(emulate="qwen2.5-1.5b")
    dense = CostModel(emulate, METHODS[Lora](Lora(rank=8)), model)
    sparse = CostModel(emulate, METHODS[SoLora](SoLora(rank=8, density=density)), model)
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
            # The size charged in advance is the size of the encoded update.
            assert trainer.cost_model.size_bytes(first) == size
        sizes.append(size)
    layers = dense.model.layers
    beta = sum(layer.outputs for layer in layers) / sum(
        layer.inputs + layer.outputs for layer in layers
    )
    ratio = (sizes[1] - HEADER_BYTES) / (sizes[0] - HEADER_BYTES)
    # The budget is an integer number of entries of two bytes.
    rounding = 0.5 * 2 / (sizes[0] - HEADER_BYTES)
    assert ratio == pytest.approx(beta * density, abs=rounding)


@pytest.mark.parametrize(("preset", "ratio"), [("paper-73", 0.27), ("paper-86", 0.27 / 2.01)])
def test_presets_have_the_ratios_of_the_paper(make_lm, preset: str, ratio: float) -> None:  # type: ignore[no-untyped-def]
    """Law: values over those of lora are the ratio, at a density of ratio / beta of the layers."""
    model = AdaptedModel(make_lm())
    for emulate in (None, Emulate(emulate="qwen2.5-1.5b")):
        dense = CostModel(emulate, METHODS[Lora](Lora(rank=8)), model)
        sparse = CostModel(emulate, METHODS[SoLora](SoLora(rank=8, preset=preset)), model)
        whole = dense.size_bytes(False) - HEADER_BYTES
        # An integer number of values of two bytes.
        found = (sparse.size_bytes(False) - HEADER_BYTES) / whole
        assert found == pytest.approx(ratio, abs=0.5 * 2 / whole)


def test_densities_of_the_presets() -> None:
    """Law: 0.27 / 0.559 = 0.483 on all linear layers of the 1.5 B model, 0.54 where beta is 1/2."""
    layers = architecture("qwen2.5-1.5b").layers
    shapes = [(layer.outputs, layer.inputs) for layer in layers]
    assert density_of_ratio(0.27, shapes, [8] * len(shapes)) == pytest.approx(0.483, abs=5e-4)
    assert density_of_ratio(0.27, [(64, 64), (256, 64), (64, 256)], [8, 8, 8]) == pytest.approx(
        0.54
    )
    # Layers count by their ranks: beta = (10 * 2 + 30 * 1) / (20 * 2 + 40 * 1).
    assert density_of_ratio(0.27, [(10, 10), (30, 10)], [2, 1]) == pytest.approx(0.27 / 0.625)
    with pytest.raises(
        ValueError, match=r"0.27 of both factors' parameters must fit B, which has 0.2"
    ):
        density_of_ratio(0.27, [(10, 40)], [4])


def test_density_and_preset_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="density and preset exclude each other, got 0"):
        SoLora(density=0.3, preset="paper-73")
    assert encoded_values(SoLora(rank=8)) == encoded_values(SoLora(rank=8, density=0.54))


def encoded_values(config: SoLora) -> int:
    """Return the size of a later message for two small layers [byte]."""
    layers = (Layer("q", 128, 96), Layer("down", 352, 128))
    return encoded_bytes(METHODS[SoLora](config).shapes_update(layers, False))


@pytest.mark.parametrize("rounds", [1, 20, 100])
@pytest.mark.parametrize("density", [None, 0.25])
def test_ratio_over_many_rounds(make_lm, density: float | None, rounds: int) -> None:  # type: ignore[no-untyped-def]
    """Law: R = beta s + beta / (16 T) + (1 - beta) / T with mask and dense A at first contact,
    within 1 % of the serialiser, headers excluded."""
    emulate = Emulate(emulate="qwen2.5-1.5b")
    model = AdaptedModel(make_lm())
    preset = "paper-73" if density is None else None
    method = METHODS[SoLora](SoLora(rank=8, density=density, preset=preset))
    dense = CostModel(emulate, METHODS[Lora](Lora(rank=8)), model)
    sparse = CostModel(emulate, method, model)
    sent = sparse.size_bytes(True) + (rounds - 1) * sparse.size_bytes(False)
    found = (sent - rounds * HEADER_BYTES) / (rounds * (dense.size_bytes(False) - HEADER_BYTES))
    beta, s = 0.559, density or 0.483
    formula = beta * s + beta / (16 * rounds) + (1 - beta) / rounds
    assert found == pytest.approx(formula, rel=0.01)


def test_a_preset_trains_as_many_entries_as_it_sends(make_trainer) -> None:  # type: ignore[no-untyped-def]
    for mask in ("grad", "lori", "random"):
        method = SoLora(
            rank=8, preset="paper-73", mask=mask, calibration_prompts=8, calibration_batches=2
        )
        trainer = make_trainer(method=method)
        adapter = trainer.train(0, 1, None).value().adapter
        size = len(encode(trainer.method.update(adapter, 0, 1, True)))
        assert trainer.cost_model.size_bytes(True) == size
        layers = trainer.model.layers
        ratio = sum(int(part.sum()) for part in adapter.mask) / sum(
            8 * (layer.inputs + layer.outputs) for layer in layers
        )
        assert ratio == pytest.approx(0.27, abs=1e-4)


@pytest.mark.parametrize(
    ("method", "experts_a"),
    [(Lora(rank=4), 2), (SoLora(rank=4), 5), (SoLora(rank=4, shared_a=True), 1)],
    ids=["trained", "own", "shared"],
)
def test_stored_bytes_are_those_of_the_shapes(make_lm, method, experts_a: int) -> None:  # type: ignore[no-untyped-def]
    """Law: of two states of five devices: two B's; A's by state, by device or one; five means."""
    payload = CostModel(None, METHODS[type(method)](method), AdaptedModel(make_lm()))
    layers = AdaptedModel(make_lm()).layers
    outputs = sum(layer.outputs for layer in layers)
    inputs = sum(layer.inputs for layer in layers)
    expected = 2 * (2 * 4 * outputs + experts_a * 4 * inputs + 5 * inputs)
    assert payload.stored_bytes(2, 5, 5) == expected
    assert payload.stored_bytes(0, 0, 0) == 0


def test_of_full_fine_tuning_only_the_change_is_stored(make_lm) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    payload = CostModel(None, METHODS[FullFt](FullFt()), model)
    entries = sum(layer.outputs * layer.inputs for layer in model.layers)
    assert payload.stored_bytes(1, 1, 0) == 2 * entries


def test_operations_are_those_of_the_emulated_model(make_trainer) -> None:  # type: ignore[no-untyped-def]
    emulate = Emulate(emulate="qwen2.5-0.5b", batch=2, length=64)
    trainer = make_trainer(method=Lora(rank=8), payload=emulate, local_steps=5)
    parameters = architecture("qwen2.5-0.5b").parameter_count
    assert trainer.flops(0, 0) == 4 * parameters * 2 * 64 * 5
    assert trainer.flops(0, 1) == trainer.flops(0, 0)


@pytest.mark.parametrize("bits", [8, 4])
def test_sizes_of_few_bits_are_those_of_the_bytes(make_lm, bits: int) -> None:  # type: ignore[no-untyped-def]
    """Law: values of so many bits and a scale of four bytes for each layer and factor."""
    emulate = Emulate(emulate="qwen2.5-1.5b")
    model = AdaptedModel(make_lm())
    layers = architecture("qwen2.5-1.5b").layers
    dense = CostModel(emulate, METHODS[Lora](Lora(rank=8)), model, bits_per_parameter=bits)
    values = 8 * sum(layer.inputs + layer.outputs for layer in layers)
    expected = HEADER_BYTES + values * bits // 8 + 2 * 4 * len(layers)
    assert dense.size_bytes(True) == dense.size_bytes(False) == expected
    assert dense.cluster_update_bytes(1.0, includes_mask=False, newcomers=0) == expected
    sparse = CostModel(
        emulate, METHODS[SoLora](SoLora(rank=8, density=0.1)), model, bits_per_parameter=bits
    )
    b_entries = 8 * sum(layer.outputs for layer in layers)
    later = HEADER_BYTES + -(-round(0.1 * b_entries) * bits // 8) + 4 * len(layers)
    assert sparse.size_bytes(False) == later
    assert sparse.cluster_update_bytes(0.1, includes_mask=False, newcomers=0) == later
    # A frozen A is sent once, in half precision.
    a_entries = 8 * sum(layer.inputs for layer in layers)
    assert sparse.size_bytes(True) - later == b_entries // 8 + 2 * a_entries


def test_the_size_of_a_whole_model_takes_no_memory_of_its_size(make_lm) -> None:  # type: ignore[no-untyped-def]
    """Law: full fine-tuning of 7 billion parameters sends two bytes for each adapted one."""
    method = METHODS[FullFt](FullFt())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    payload = CostModel(Emulate(emulate="qwen2.5-7b"), method, AdaptedModel(make_lm()))
    layers = architecture("qwen2.5-7b").layers
    entries = sum(layer.inputs * layer.outputs for layer in layers)
    assert entries > 6e9
    assert payload.size_bytes(True) == payload.average_bytes == HEADER_BYTES + 2 * entries
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 1024


@pytest.mark.parametrize("bits", [16, 8, 4])
@pytest.mark.parametrize("config", [Lora(rank=3), SoLora(rank=3, density=0.3), FullFt()])
def test_an_average_counted_by_layers_is_as_large_as_the_whole(make_lm, config, bits: int) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    method = METHODS[type(config)](config)
    whole = method.average([method.shapes_update(model.layers, True)], [1.0])
    payload = CostModel(None, method, model, bits_per_parameter=bits)
    assert payload.average_bytes == len(encode(replace(whole, bits=bits)))
