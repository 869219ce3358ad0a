"""Stacked training equals training one by one, and PEFT; masked entries never move."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fl.adapters import AdaptedModel, Adapter
from fl.config import Local, Lora, SoLora
from fl.jobs import State
from fl.peft_format import files

METHODS = [Local(rank=4), Lora(rank=4), SoLora(rank=4, density=0.3, calibration_prompts=8)]


def trained(trainer) -> list[State]:  # type: ignore[no-untyped-def]
    jobs = [trainer.submit(device, 1, None) for device in range(len(trainer.task_of))]
    return [job.result() for job in jobs]


def export(folder: Path, contents: dict[str, bytes]) -> None:
    for name, data in contents.items():
        (folder / name).write_bytes(data)


def close(first: Adapter, second: Adapter) -> bool:
    return all(
        torch.allclose(x, y, atol=1e-5)
        for x, y in zip((*first.a, *first.b), (*second.a, *second.b), strict=True)
    )


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.model)
def test_devices_trained_together_equal_devices_trained_alone(make_trainer, kind, method) -> None:  # type: ignore[no-untyped-def]
    together = trained(make_trainer(kind, method=method))
    alone = trained(make_trainer(kind, method=method, chunk_tokens=1))
    for one, other in zip(together, alone, strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-5)
        assert close(one.adapter, other.adapter)
        assert not one.adapter.is_zero()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.model)
def test_results_do_not_depend_on_the_order_of_submission(make_trainer, method) -> None:  # type: ignore[no-untyped-def]
    forward = trained(make_trainer(method=method))
    trainer = make_trainer(method=method)
    jobs = [trainer.submit(device, 1, None) for device in (2, 0, 1)]
    results = {job.device: job.result() for job in jobs}
    for device, state in enumerate(forward):
        other = results[device].adapter
        assert all(torch.equal(x, y) for x, y in zip(state.adapter.b, other.b, strict=True))


def test_submitting_computes_nothing(make_trainer, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    trainer = make_trainer(method=Lora(rank=4))
    calls = []
    monkeypatch.setattr(
        trainer,
        "_train",
        lambda jobs, starts: calls.append(len(jobs)) or list(starts),
    )
    jobs = [trainer.submit(device, 1, None) for device in range(3)]
    assert calls == []
    jobs[1].result()
    assert calls == [3]
    assert jobs[0].flops > 0


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_training_equals_a_plain_peft_loop(make_trainer, make_lm, kind, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Law: the same batches through PEFT's own LoRA and torch's AdamW give the same factors."""
    from peft import PeftModel

    trainer = make_trainer(kind, devices=2, method=Lora(rank=4, learning_rate=1e-2), clip_norm=1e9)
    start = trainer.method.initial(trainer.model.layers, 1, 1)
    # B = 0 is a special point; start away from it.
    generator = torch.Generator().manual_seed(3)
    b = tuple(0.05 * torch.randn(one.shape, generator=generator) for one in start.b)
    start = Adapter(start.a, b, start.scale)
    export(tmp_path, files(start, trainer.model.layers, "x", trainer.model.transposed))
    model = PeftModel.from_pretrained(make_lm(kind), tmp_path, is_trainable=True).eval()
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-2, weight_decay=0.0)
    losses = []
    for batch in trainer._batches(1, "batches", 1, 3):
        loss = model(input_ids=batch.ids, attention_mask=batch.mask, labels=batch.labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    state = trainer.submit(1, 1, State(start)).result()
    adapter = state.adapter
    assert state.loss == pytest.approx(sum(losses) / 3, abs=1e-5)
    for layer, a, b_ in zip(trainer.model.layers, adapter.a, adapter.b, strict=True):
        prefix = f"base_model.model.{layer.name}"
        assert torch.allclose(parameters[f"{prefix}.lora_A.default.weight"], a, atol=1e-5)
        assert torch.allclose(parameters[f"{prefix}.lora_B.default.weight"], b_, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.model)
def test_exported_adapters_give_the_same_logits_in_peft(  # type: ignore[no-untyped-def]
    make_trainer, make_lm, kind, method, tmp_path: Path
) -> None:
    from peft import PeftModel

    trainer = make_trainer(kind, method=method)
    adapter = trained(trainer)[0].adapter
    export(tmp_path, files(adapter, trainer.model.layers, "x", trainer.model.transposed))
    peft = PeftModel.from_pretrained(make_lm(kind), tmp_path)
    ids = torch.arange(20).reshape(2, 10)
    with torch.no_grad(), trainer.model.merged(adapter):
        mine = trainer.model.model(ids).logits
        bare = make_lm(kind)(ids).logits
        theirs = peft(ids).logits
    assert torch.allclose(mine, theirs, atol=1e-5)
    assert not torch.allclose(mine, bare, atol=1e-3)


@pytest.mark.parametrize("mask", ["grad", "random"])
@pytest.mark.parametrize("allocation", ["size", "paper", "uniform"])
def test_masks_have_the_asked_density_and_nothing_outside_moves(  # type: ignore[no-untyped-def]
    make_trainer, mask, allocation
) -> None:
    method = SoLora(rank=4, density=0.3, mask=mask, allocation=allocation, calibration_prompts=8)
    trainer = make_trainer(method=method)
    for device, state in enumerate(trained(trainer)):
        adapter = state.adapter
        entries = sum(one.numel() for one in adapter.b)
        assert sum(int(one.sum()) for one in adapter.mask) == round(0.3 * entries)
        # What others left outside the mask stays what it is, through momentum and all.
        b = tuple(
            torch.where(where, one, torch.full_like(one, 0.01))
            for one, where in zip(adapter.b, adapter.mask, strict=True)
        )
        start = Adapter(adapter.a, b, adapter.scale, adapter.mask, False, adapter.a_seed)
        again = State(start, state.moments)
        moved = trainer.submit(device, 2, again).result().adapter
        for before, after, where in zip(start.b, moved.b, adapter.mask, strict=True):
            assert torch.equal(before[~where], after[~where])
            assert not torch.equal(before[where], after[where])
        assert all(torch.equal(x, y) for x, y in zip(start.a, moved.a, strict=True))


def test_gradient_masks_keep_the_largest_gradients(make_trainer) -> None:  # type: ignore[no-untyped-def]
    from fl.adapters.calibration import b_gradients

    trainer = make_trainer(method=SoLora(rank=4, density=0.3, calibration_prompts=8))
    adapter = trainer._prepare(0)
    batches = trainer._batches(0, "calibration", 0, 4)
    fresh = trainer.method.initial(trainer.model.layers, 0, 1)
    for gradient, mask in zip(
        b_gradients(trainer.model, fresh, batches), adapter.mask, strict=True
    ):
        if mask.all() or not mask.any():
            continue
        assert gradient[mask].abs().min() >= gradient[~mask].abs().max()


def test_devices_have_their_own_frozen_a_and_nearly_orthogonal_ones(make_trainer) -> None:  # type: ignore[no-untyped-def]
    trainer = make_trainer(method=SoLora(rank=8))
    first, second = (trainer.method.initial(trainer.model.layers, d, 1) for d in (0, 1))
    for x, y, layer in zip(first.a, second.a, trainer.model.layers, strict=True):
        cosine = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T
        # Independent Gaussian rows: the cosine has standard deviation 1 / sqrt(k).
        assert cosine.square().mean().sqrt() < 2 / layer.inputs**0.5
    norms = torch.cat([x.square().sum(1) for x in first.a])
    assert float(norms.mean()) == pytest.approx(1.0, abs=0.1)


def test_merging_averages_both_factors(make_trainer) -> None:  # type: ignore[no-untyped-def]
    trainer = make_trainer(method=Lora(rank=4))
    own, other, _ = (state.adapter for state in trained(trainer))
    heard = [trainer.method.update(other, 1, 1, first_contact=True)]
    merged = trainer.method.merge(own, heard)
    assert torch.allclose(merged.a[0], (own.a[0] + other.a[0]) / 2)
    assert torch.allclose(merged.b[-1], (own.b[-1] + other.b[-1]) / 2)


def test_unknown_target_modules_are_refused(make_lm) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="no linear module named nope"):
        AdaptedModel(make_lm(), ("nope",))


def test_target_modules_are_found_by_name_as_in_peft(make_lm) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm(), ("q_proj", "v_proj"))
    assert [layer.name.rsplit(".", 1)[-1] for layer in model.layers] == ["q_proj", "v_proj"] * 2


def test_a_round_of_six_steps_equals_two_rounds_of_three(make_trainer, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Law: moments and step counts are carried over, so where a round ends does not matter."""
    method = Lora(rank=4)
    long, short = make_trainer(method=method, local_steps=6), make_trainer(method=method)
    batches = long._batches(0, "batches", 1, 6)
    rounds = {1: batches[:3], 2: batches[3:]}
    monkeypatch.setattr(short, "_batches", lambda device, purpose, round_, count: rounds[round_])
    whole = long.submit(0, 1, None).result()
    half = short.submit(0, 1, None).result()
    assert half.moments is not None
    assert half.moments.steps == 3
    again = short.submit(0, 2, half).result()
    assert close(whole.adapter, again.adapter)
