"""Devices trained together equal a plain loop over PEFT's LoRA and torch's optimizers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fl.adapters import AdaptedModel, Adapter
from fl.adapters.adapter import draw_a
from fl.adapters.peft_format import files
from fl.config import AdamW, Sgd
from fl.models.language_model import IGNORED, Encoded
from fl.training.local_steps import LocalTraining, TrainingResult, train

VOCABULARY = 512


def batch(generator: torch.Generator, rows: int, width: int) -> Encoded:
    """Return random sequences of random lengths, of which the second half is the answer."""
    ids = torch.randint(2, VOCABULARY, (rows, width), generator=generator)
    lengths = torch.randint(width // 2 + 1, width + 1, (rows,), generator=generator)
    mask = (torch.arange(width) < lengths[:, None]).long()
    answer = (torch.arange(width) >= width // 2) & (mask == 1)
    return Encoded(ids * mask, mask, torch.where(answer, ids, IGNORED))


def adapter(model: AdaptedModel, rank: int, seed: int, kind: str) -> Adapter:
    """Return random factors: B = 0 is a special point."""
    generator = torch.Generator().manual_seed(seed)
    b = tuple(
        0.05 * torch.randn(layer.outputs, rank, generator=generator) for layer in model.layers
    )
    one = Adapter(draw_a(model.layers, rank, "kaiming", seed), b, scale=1.0 + seed / 2)
    if kind != "so-lora":
        return one
    mask = tuple(torch.rand(factor.shape, generator=generator) < 0.3 for factor in b)
    return replace(one, mask=mask, train_a=False)


def works(model: AdaptedModel, kind: str) -> list[LocalTraining]:
    """Return devices that differ in everything in which they may differ."""
    shapes = [(4, 5, 3, 16), (2, 3, 1, 24), (4, 5, 2, 9), (1, 1, 4, 12)]
    made = []
    for device, (rank, steps, rows, width) in enumerate(shapes):
        generator = torch.Generator().manual_seed(device)
        batches = [batch(generator, rows, width) for _ in range(steps)]
        made.append(
            LocalTraining(adapter(model, rank, device, kind), None, batches, 1e-3 * (device + 1))
        )
    return made


class Alone:
    """A device's training by PEFT and torch."""

    def __init__(
        self,
        lm: nn.Module,
        model: AdaptedModel,
        work: LocalTraining,
        optimizer: AdamW | Sgd,
        folder: Path,
    ) -> None:
        from peft import PeftModel

        folder.mkdir()
        for name, data in files(work.adapter, model.layers, "x", model.transposed).items():
            (folder / name).write_bytes(data)
        self.work = work
        self.model = PeftModel.from_pretrained(lm, folder, is_trainable=True).eval()
        named = dict(self.model.named_parameters())
        prefixes = [f"base_model.model.{layer.name}" for layer in model.layers]
        self.a = [named[f"{prefix}.lora_A.default.weight"] for prefix in prefixes]
        self.b = [named[f"{prefix}.lora_B.default.weight"] for prefix in prefixes]
        self.trained = [*self.a, *self.b] if work.adapter.train_a else self.b
        if isinstance(optimizer, AdamW):
            self.optimizer: Any = torch.optim.AdamW(
                self.trained, lr=work.learning_rate, weight_decay=optimizer.weight_decay
            )
        else:
            self.optimizer = torch.optim.SGD(
                self.trained, lr=work.learning_rate, momentum=optimizer.momentum
            )

    def loss(self, one: Encoded) -> torch.Tensor:
        loss: torch.Tensor = self.model(
            input_ids=one.ids, attention_mask=one.mask, labels=one.labels
        ).loss
        return loss

    def run(self, clip_norm: float) -> float:
        """Train, and return the mean loss."""
        losses = []
        before = [b.detach().clone() for b in self.b]
        for one in self.work.batches:
            self.model.zero_grad()
            loss = self.loss(one)
            loss.backward()
            for b, mask in zip(self.b, self.work.adapter.mask or (), strict=False):
                b.grad *= mask
            nn.utils.clip_grad_norm_(self.trained, clip_norm)
            self.optimizer.step()
            for b, old, mask in zip(self.b, before, self.work.adapter.mask or (), strict=False):
                b.data = torch.where(mask, b, old)
            losses.append(float(loss.detach()))
        return sum(losses) / len(losses)


def test_one_device_with_many_tokens_equals_peft(  # type: ignore[no-untyped-def]
    make_lm, monkeypatch, tmp_path: Path
) -> None:
    """Law: the low-rank product may be added to the weights instead of the outputs."""
    monkeypatch.setattr("fl.adapters.fused_linear._MERGED_TOKENS", 1)
    for kind in ("llama", "gpt2"):
        for method in ("lora", "so-lora"):
            model = AdaptedModel(make_lm(kind))
            job = works(model, method)[0]
            result = train(model, [job], AdamW(), 0.5)[0]
            alone = Alone(make_lm(kind), model, job, AdamW(), tmp_path / f"{kind}-{method}")
            assert result.loss == pytest.approx(alone.run(0.5), abs=1e-5)
            assert_equal(result, alone)


def assert_equal(result: TrainingResult, alone: Alone) -> None:
    for mine, theirs in zip(
        (*result.adapter.a, *result.adapter.b), (*alone.a, *alone.b), strict=True
    ):
        torch.testing.assert_close(mine, theirs.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", ["lora", "so-lora"])
@pytest.mark.parametrize(
    "optimizer",
    [AdamW(), AdamW(weight_decay=0.1), Sgd(), Sgd(momentum=0.9)],
    ids=["adamw", "adamw-decay", "sgd", "sgd-momentum"],
)
def test_devices_trained_together_equal_peft_one_by_one(  # type: ignore[no-untyped-def]
    make_lm, kind: str, method: str, optimizer: AdamW | Sgd, tmp_path: Path
) -> None:
    """Law: ranks, scales, rows, widths, steps and rates differ; losses and factors are equal."""
    model = AdaptedModel(make_lm(kind))
    jobs = works(model, method)
    clip_norm = 0.5
    for device, (job, result) in enumerate(
        zip(jobs, train(model, jobs, optimizer, clip_norm), strict=True)
    ):
        alone = Alone(make_lm(kind), model, job, optimizer, tmp_path / str(device))
        assert result.loss == pytest.approx(alone.run(clip_norm), abs=1e-5)
        assert_equal(result, alone)
        assert result.adapter.rank == job.adapter.rank
        assert not torch.equal(result.adapter.b[0], job.adapter.b[0])
        if job.adapter.mask is not None:
            for before, after, mask in zip(
                job.adapter.b, result.adapter.b, job.adapter.mask, strict=True
            ):
                assert torch.equal(before[~mask], after[~mask])
