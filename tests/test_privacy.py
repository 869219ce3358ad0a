"""Differential privacy: epsilon against an independent accountant, bounded changes, and noise."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fl.adapters import AdaptedModel
from fl.config import AdamW, Privacy
from fl.methods import method_of
from fl.models.language_model import IGNORED, Encoded, load
from fl.training.local_steps import LocalTraining, train
from fl.training.privacy import GaussianRelease, delta_of, epsilon_of
from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.advice import notes
from wnsim.scenario.spec.plan import plan

REFERENCE = Path(__file__).parent / "reference" / "gaussian_privacy.csv"
LEARNING = """
name: private
devices: {count: 4}
mobility: {model: static, layout: grid}
fl:
  tasks: [home, topic]
  topology: {model: full}
  rounds: 3
  local_steps: 2
  batch_size: 2
  train_examples: 8
  test_examples: 2
  privacy: {clip: 0.1, noise_multiplier: 2, delta: 1.0e-5}
"""


@pytest.mark.parametrize("row", pd.read_csv(REFERENCE, comment="#").to_dict("records"))
def test_epsilon_is_that_of_an_accountant(row: dict[str, Any]) -> None:
    """The accountant's own step is 1e-4."""
    # Changes of two sets of examples are twice the bound apart.
    privacy = Privacy(noise_multiplier=2 * row["noise_multiplier"], delta=row["delta"])
    assert epsilon_of(row["releases"], privacy) == pytest.approx(row["epsilon"], abs=2e-4)


def test_epsilon_at_its_limits() -> None:
    assert epsilon_of(0, Privacy()) == 0.0
    # So much noise that delta holds without any epsilon.
    assert epsilon_of(1, Privacy(clip=1e-4, noise_multiplier=1e6, delta=1e-2)) == 0.0
    epsilons = [epsilon_of(number, Privacy(noise_multiplier=0.01)) for number in (1, 2, 1000)]
    assert epsilons == sorted(epsilons)
    assert all(map(math.isfinite, epsilons))
    # Law: delta is the largest difference of the two normal tails, here by sampling a grid.
    x = np.linspace(-40.0, 40.0, 400_001)
    with_device, without = (np.exp(-((x - mean) ** 2) / 2) for mean in (1.0, 0.0))
    surplus = np.clip(with_device - math.e * without, 0.0, None)
    grid = surplus.sum() * (x[1] - x[0]) / math.sqrt(2 * math.pi)
    assert delta_of(1.0, 1.0) == pytest.approx(grid, rel=1e-6)


def test_changes_are_bounded_and_noise_has_its_deviation() -> None:
    """Law: 4 standard errors of a standard deviation over n entries, sd / sqrt(2 n)."""
    count, privacy = 200_000, Privacy(clip=2.0, noise_multiplier=0.5)
    start = torch.zeros(count)
    after = torch.full((count,), 10.0 / math.sqrt(count))  # of norm 10, and 2 after clipping
    mask = (torch.arange(count) % 2).float()
    found = GaussianRelease(privacy, 7).apply(start, after, mask)
    assert torch.allclose(found[::2], after[::2] / 5.0, rtol=1e-5)
    noise = (found - after / 5.0)[1::2].double().numpy()
    error = 1.0 / math.sqrt(len(noise))
    assert noise.std() == pytest.approx(1.0, abs=4 * error / math.sqrt(2))
    assert abs(noise.mean()) < 4 * error
    again, other = (GaussianRelease(privacy, seed).apply(start, after, mask) for seed in (7, 8))
    assert torch.equal(again, found)
    assert not torch.equal(other, found)
    # A change within the bound is kept.
    small = GaussianRelease(replace(privacy, noise_multiplier=1e-9), 7).apply(
        start, after / 20, None
    )
    assert torch.allclose(small, after / 20, atol=1e-7)


@pytest.fixture(scope="module")
def model() -> AdaptedModel:
    return AdaptedModel(load("tiny")[0])


@pytest.mark.parametrize("name", ["lora", "rolora", "so-lora", "fed-sb"])
def test_local_training_releases_bounded_changes_whatever_the_method(
    name: str, model: AdaptedModel, tmp_path: Path
) -> None:
    """Law: without noise the norm of the trained change is the bound, or what it was if smaller."""
    learning = scenario(tmp_path, f"fl.method={{model: {name}, rank: 2}}").fl
    method = method_of(learning.method)
    adapters = [method.initial(model.layers, 1, device, 2) for device in range(2)]
    batches = [texts(seed) for seed in (1, 2, 3)]
    trains = "b" if name == "rolora" else None
    quiet = Privacy(clip=1e-3, noise_multiplier=1e-12)
    loud = Privacy(clip=1e-3, noise_multiplier=3.0)

    def changes(*privacies: Privacy | None) -> list[torch.Tensor]:
        works = [
            LocalTraining(
                adapter, None, batches, 1e-2, trains,
                release=None if each is None else GaussianRelease(each, 5),
            )
            for adapter, each in zip(adapters, privacies, strict=False)
        ]  # fmt: skip
        results = train(model, works, AdamW(), 1.0)
        return [
            flat(result.adapter) - flat(adapter)
            for result, adapter in zip(results, adapters, strict=False)
        ]

    free, bounded = changes(None, quiet)
    assert float(free.norm()) > 1e-2
    assert float(bounded.norm()) == pytest.approx(1e-3, rel=1e-3)
    # The noise of a device does not depend on its batch, and leaves frozen entries alone.
    (alone,) = changes(loud)
    together, _ = changes(loud, None)
    assert torch.allclose(alone, together, atol=1e-6)
    assert torch.equal(alone == 0, free == 0) or name == "lora"
    trained = int((alone != 0).sum())
    assert float(alone.norm()) == pytest.approx(3e-3 * math.sqrt(trained), rel=0.2)


def test_the_loss_of_privacy_is_in_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(LEARNING)
    assert main([str(path), "--out", str(tmp_path / "out"), "--no-figures"]) == 0
    privacy = Privacy(clip=0.1, noise_multiplier=2.0, delta=1e-5)
    rounds = pd.read_csv(tmp_path / "out" / "seed=1" / "rounds.csv")
    expected = rounds["round"].map(lambda number: epsilon_of(number, privacy))
    assert rounds["epsilon"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-8)
    summary = pd.read_csv(tmp_path / "out" / "summary.csv").set_index("metric")["value"]
    assert summary["epsilon"] == pytest.approx(epsilon_of(3, privacy), abs=1e-6)


def test_what_it_does_not_cover_is_said(tmp_path: Path) -> None:
    def said(*settings: str) -> str:
        return " ".join(notes(scenario(tmp_path, *settings)))

    assert "epsilon" not in said()
    masks = said("fl.method={model: so-lora, rank: 2}", "fl.inference={}")
    assert "epsilon does not cover masks and prompt centroids" in masks
    assert "epsilon does not cover masks," in said("fl.method={model: lori-s, rank: 2}")
    for mask in ("random", "common, shared_a: true"):
        drawn = f"{{model: so-lora, rank: 2, allocation: uniform, mask: {mask}}}"
        assert "epsilon" not in said(f"fl.method={drawn}")
    assert "epsilon does not cover masks," in said("fl.method={model: so-lora, mask: random}")
    served = ("fl.protocol={model: server}", "base_stations={count: 1}", "mac={model: cell}")
    by_loss = said("fl.method={model: ecolora}", *served)
    assert "epsilon does not cover shares of entries by the loss" in by_loss
    with pytest.raises(ScenarioError, match=r"noise_multiplier, .* must be at most 1000"):
        scenario(tmp_path, "fl.privacy={clip: 100, noise_multiplier: 100}")
    with pytest.raises(ScenarioError, match="privacy is for what devices release"):
        scenario(tmp_path, "fl.method={model: centralised}", "fl.topology={model: isolated}")


def scenario(folder: Path, *settings: str) -> Any:
    path = folder / "s.yaml"
    path.write_text(LEARNING)
    (run,) = plan(str(path), settings)
    return run.scenario


def texts(seed: int) -> Encoded:
    """Return random sequences, of which the second half is the answer."""
    ids = torch.randint(2, 512, (2, 12), generator=torch.Generator().manual_seed(seed))
    labels = torch.where(torch.arange(12) >= 6, ids, IGNORED)
    return Encoded(ids, torch.ones_like(ids), labels)


def flat(adapter: Any) -> torch.Tensor:
    """Return what may be trained of an adapter."""
    if adapter.core is not None:
        return torch.cat([each.flatten() for each in adapter.core])
    return torch.cat([each.flatten() for each in (*adapter.b, *adapter.a)])
