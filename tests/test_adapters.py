"""Adapters of each method: stacked training, masks, export, and module selection."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fl.adapters import AdaptedModel, Adapter
from fl.adapters.adapter import draw_a
from fl.adapters.peft_format import files
from fl.config import AdamW, FfaLora, FullFt, Local, Lora, LoriD, LoriS, SoLora
from fl.methods import METHODS
from fl.methods.frozen_a.calibration import b_gradients
from fl.models.language_model import IGNORED, Encoded
from fl.training.local_steps import LocalTraining, TrainingResult, train

CONFIGS = [
    Local(rank=4),
    Lora(rank=4),
    FfaLora(rank=4),
    LoriD(rank=4),
    LoriS(rank=4, density=0.3),
    FullFt(),
    SoLora(rank=4, density=0.3, calibration_prompts=8),
]
STEPS, ROWS, WIDTH = 3, 4, 12


def examples(device: int, rows: int) -> Encoded:
    """Return random sequences, whose second half is the answer."""
    generator = torch.Generator().manual_seed(device)
    ids = torch.randint(2, 512, (rows, WIDTH), generator=generator)
    labels = torch.where(torch.arange(WIDTH) < WIDTH // 2, IGNORED, ids)
    return Encoded(ids, torch.ones_like(ids), labels)


def batches(device: int, count: int) -> list[Encoded]:
    data = examples(device, count * ROWS)
    return [
        Encoded(*parts)
        for parts in zip(*(x.split(ROWS) for x in (data.ids, data.mask, data.labels)), strict=True)
    ]


def calibrated(model: AdaptedModel, config: Any, device: int) -> Adapter:
    """Return a device's adapter before its first round."""
    method = METHODS[type(config)](config)
    adapter = method.initial(model.layers, 1, device, 3)
    return method.calibrate(model, adapter, examples(device, 16), batches(device, 4), device)


def trained(model: AdaptedModel, config: Any, devices: int = 3) -> list[TrainingResult]:
    return train(model, works(model, config, devices), AdamW(), 1.0)


def works(model: AdaptedModel, config: Any, devices: int = 3) -> list[LocalTraining]:
    return [
        LocalTraining(
            calibrated(model, config, device), None, batches(device, STEPS), config.learning_rate
        )
        for device in range(devices)
    ]


def export(folder: Path, adapter: Adapter, model: AdaptedModel) -> None:
    for name, data in files(adapter, model.layers, "x", model.transposed).items():
        (folder / name).write_bytes(data)


def assert_close(first: Adapter, second: Adapter) -> None:
    for x, y in zip((*first.a, *first.b), (*second.a, *second.b), strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model)
def test_devices_trained_in_one_batch_equal_devices_trained_one_by_one(
    make_lm, kind, config
) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm(kind))
    jobs = works(model, config)
    for job, result in zip(jobs, train(model, jobs, AdamW(), 1.0), strict=True):
        alone = train(model, [job], AdamW(), 1.0)[0]
        assert result.loss == pytest.approx(alone.loss, abs=1e-5)
        assert_close(result.adapter, alone.adapter)
        assert not result.adapter.is_zero()


def test_the_order_of_devices_does_not_matter(make_lm) -> None:  # type: ignore[no-untyped-def]
    """Contract: devices of all kinds, and of different numbers of steps, may stand anywhere."""
    model = AdaptedModel(make_lm())
    jobs = [works(model, config, 1)[0] for config in CONFIGS]
    jobs[1] = replace(jobs[1], batches=jobs[1].batches[:1])
    forward = train(model, jobs, AdamW(), 1.0)
    backward = train(model, jobs[::-1], AdamW(), 1.0)[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert_close(one.adapter, other.adapter)
        assert one.loss == pytest.approx(other.loss, abs=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model)
def test_a_round_of_six_steps_equals_two_rounds_of_three(make_lm, config) -> None:  # type: ignore[no-untyped-def]
    """Law: moments and step counts are carried over, so where a round ends does not matter."""
    model = AdaptedModel(make_lm())
    job = LocalTraining(calibrated(model, config, 0), None, batches(0, 6), 1e-3)
    # The rank of full fine-tuning is that of the layers.
    narrow = config if isinstance(config, FullFt) else replace(config, rank=2)
    other = LocalTraining(calibrated(model, narrow, 1), None, batches(1, 6), 1e-3)
    whole = train(model, [job, other], AdamW(), 1.0)
    half = train(
        model, [replace(one, batches=one.batches[:3]) for one in (job, other)], AdamW(), 1.0
    )
    assert [one.moments.steps for one in half] == [3, 3]  # type: ignore[union-attr]
    rest = [
        LocalTraining(done.adapter, done.moments, one.batches[3:], 1e-3)
        for one, done in zip((job, other), half, strict=True)
    ]
    for one, again in zip(whole, train(model, rest, AdamW(), 1.0), strict=True):
        assert_close(one.adapter, again.adapter)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model)
def test_exported_adapters_give_the_same_logits_in_peft(  # type: ignore[no-untyped-def]
    make_lm, kind, config, tmp_path: Path
) -> None:
    from peft import PeftModel

    model = AdaptedModel(make_lm(kind))
    adapter = trained(model, config, 1)[0].adapter
    export(tmp_path, adapter, model)
    peft = PeftModel.from_pretrained(make_lm(kind), tmp_path)
    ids = torch.arange(20).reshape(2, 10)
    with torch.no_grad(), model.merged(adapter):
        mine = model.model(ids).logits
        bare = make_lm(kind)(ids).logits
        theirs = peft(ids).logits
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    assert not torch.allclose(mine, bare, atol=1e-3)


@pytest.mark.parametrize("mask", ["grad", "random"])
@pytest.mark.parametrize("allocation", ["size", "paper", "uniform"])
def test_masks_have_the_configured_density_and_nothing_outside_moves(  # type: ignore[no-untyped-def]
    make_lm, mask, allocation
) -> None:
    config = SoLora(rank=4, density=0.3, mask=mask, allocation=allocation, calibration_prompts=8)
    model = AdaptedModel(make_lm())
    for device, done in enumerate(trained(model, config)):
        adapter = done.adapter
        assert adapter.mask is not None
        entries = sum(one.numel() for one in adapter.b)
        assert sum(int(one.sum()) for one in adapter.mask) == round(0.3 * entries)
        # Entries outside the mask stay unchanged in spite of momentum and weight decay.
        b = tuple(
            torch.where(where, one, torch.full_like(one, 0.01))
            for one, where in zip(adapter.b, adapter.mask, strict=True)
        )
        again = LocalTraining(replace(adapter, b=b), done.moments, batches(device, 2), 1e-2)
        moved = train(model, [again], AdamW(weight_decay=0.5), 1.0)[0].adapter
        for before, after, where in zip(b, moved.b, adapter.mask, strict=True):
            assert torch.equal(before[~where], after[~where])
            assert not torch.equal(before[where], after[where])
        assert all(torch.equal(x, y) for x, y in zip(adapter.a, moved.a, strict=True))


def test_gradient_masks_keep_the_largest_gradients(make_lm) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    adapter = calibrated(model, CONFIGS[-1], 0)
    unmasked = replace(adapter, mask=None)
    for gradient, mask in zip(
        b_gradients(model, unmasked, batches(0, 4)), adapter.mask or (), strict=True
    ):
        if mask.all() or not mask.any():
            continue
        assert gradient[mask].abs().min() >= gradient[~mask].abs().max()


def test_devices_have_their_own_frozen_a_and_nearly_orthogonal_ones(make_lm) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    first, second = (calibrated(model, SoLora(rank=8), device) for device in (0, 1))
    for x, y, layer in zip(first.a, second.a, model.layers, strict=True):
        cosine = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T
        # Independent Gaussian rows: the cosine has standard deviation 1 / sqrt(k).
        assert cosine.square().mean().sqrt() < 2 / layer.inputs**0.5
    norms = torch.cat([x.square().sum(1) for x in first.a])
    assert float(norms.mean()) == pytest.approx(1.0, abs=0.1)


def test_aggregation_averages_both_factors(make_lm) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    method = METHODS[Lora](Lora(rank=4))
    own, other, _ = (done.adapter for done in trained(model, Lora(rank=4)))
    updates = [method.update(one, 0, 1, first_contact=True) for one in (own, other)]
    merged = method.adopt(own, method.average(updates, [1.0, 1.0]))
    torch.testing.assert_close(merged.a[0], (own.a[0] + other.a[0]) / 2)
    torch.testing.assert_close(merged.b[-1], (own.b[-1] + other.b[-1]) / 2)


TARGETS: list[Any] = [
    ["q_proj", "v_proj"],
    ["layers.1.mlp.up_proj", "self_attn.o_proj"],
    ["model.layers.0.mlp.down_proj"],
    r".*\.1\..*(gate|up)_proj",
    "all-linear",
    ["lm_head", "k_proj"],
]


@pytest.mark.parametrize("targets", TARGETS, ids=str)
def test_target_modules_mean_what_they_mean_in_peft(make_lm, targets) -> None:  # type: ignore[no-untyped-def]
    from peft import LoraConfig, get_peft_model

    model = AdaptedModel(make_lm(), targets)
    peft = get_peft_model(make_lm(), LoraConfig(target_modules=targets))
    theirs = [name for name, module in peft.base_model.model.named_modules()
              if hasattr(module, "lora_A")]  # fmt: skip
    assert [layer.name for layer in model.layers] == theirs


# PEFT matches the patterns of experts against the names of modules, and misses them.
@pytest.mark.filterwarnings("ignore:The following rank_pattern keys did not match")
@pytest.mark.filterwarnings("ignore:The following alpha_pattern keys did not match")
def test_experts_that_stay_unadapted_are_named(make_lm) -> None:  # type: ignore[no-untyped-def]
    """Law: the note counts what PEFT adapts beyond linear modules."""
    from peft import LoraConfig, get_peft_model

    peft = get_peft_model(make_lm("mixtral"), LoraConfig(r=2, target_modules="all-linear"))
    adapted = {
        re.sub(r"(\.base_layer)*(\.lora_A\.default)?(\.weight)?$", "", name)
        for name, _ in peft.base_model.model.named_parameters()
        if "lora_A" in name
    }
    attention = {name for name in adapted if name.endswith("_proj") and "self_attn" in name}
    assert adapted - attention
    # Router, and two fused weights of the experts, in each of two blocks.
    with pytest.warns(UserWarning, match="6 weights of the model, .*stay unadapted") as caught:
        model = AdaptedModel(make_lm("mixtral"))
    assert "model.layers.0.mlp" in str(caught[0].message)
    assert {layer.name for layer in model.layers} == attention


@pytest.mark.filterwarnings("ignore:6 weights of the model")
def test_devices_share_frozen_experts(make_lm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Law: two devices trained together give PEFT's logits, each with its own attention."""
    from peft import PeftModel

    model = AdaptedModel(make_lm("mixtral"))
    ids = torch.arange(20).reshape(2, 10)
    for device, done in enumerate(trained(model, Lora(rank=4), 2)):
        folder = tmp_path / str(device)
        folder.mkdir()
        export(folder, done.adapter, model)
        peft = PeftModel.from_pretrained(make_lm("mixtral"), folder)
        with torch.no_grad(), model.merged(done.adapter):
            mine = model.model(ids).logits
            torch.testing.assert_close(mine, peft(ids).logits, rtol=0, atol=1e-5)
        assert not torch.allclose(mine, make_lm("mixtral")(ids).logits, atol=1e-4)


@pytest.mark.filterwarnings("ignore:6 weights of the model")
@pytest.mark.parametrize("targets", [["gate"], ["q_proj", "down_proj"], r".*(q_proj|experts\..*)"])
def test_experts_are_refused_as_targets(make_lm, targets) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        ValueError, match=r"must match linear modules only, but match model\.layers"
    ):
        AdaptedModel(make_lm("mixtral"), targets)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_an_adapted_output_layer_is_trained_too(make_lm, kind) -> None:  # type: ignore[no-untyped-def]
    """Law: the loss with chosen logits equals that of all logits."""
    model = AdaptedModel(make_lm(kind), ["lm_head"])
    adapter = Adapter(
        draw_a(model.layers, 2, "kaiming", 0), (torch.full((512, 2), 0.1),), scale=1.0
    )
    data = examples(0, 3)
    with torch.no_grad(), model.merged(adapter):
        logits = model.model(data.ids).logits[:, :-1][data.labels[:, 1:] != IGNORED]
        torch.testing.assert_close(model.answer_logits(data.ids, data.labels), logits)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (("nope",), "no linear module named nope"),
        (("q_proj", "nope"), "no linear module named nope"),
        ("nope", "whose name matches 'nope'"),
        ("(", "not a regular expression"),
    ],
)
def test_unknown_target_modules_are_refused(make_lm, targets, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        AdaptedModel(make_lm(), targets)
