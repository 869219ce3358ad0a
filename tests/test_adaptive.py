"""Adaptive sparsity: sizes that links carry, the entries that are sent, and their averages."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fl.adapters import Layer
from fl.config import SoLora
from fl.methods import method_of
from fl.methods.frozen_a.adaptive import best_size
from fl.updates.codec import decode, encode, encoded_bytes
from wnsim import load, run
from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan

LAYERS = (Layer("q", 24, 18), Layer("down", 30, 20))
NARROW = """
name: narrow
area_m: [200, 200]
devices: {count: 5, tx_power_dbm: 23}
mobility: {model: static, layout: uniform}
channel: {path_loss: {model: umi}, fading: {model: rayleigh}}
radio: {bandwidth_hz: 5.0e+5}
mac: {model: ofdma}
compute: {flops_per_s: 1.0e+15}
fl:
  tasks: [home, topic]
  topology: {model: full}
  payload: {emulate: qwen2.5-0.5b}
  rounds: 5
  local_steps: 1
  batch_size: 2
  train_examples: 12
  test_examples: 2
  evaluate_every: 5
  deadline_s: 10
"""


def test_the_size_is_that_with_which_links_carry_most() -> None:
    """Law: no other size carries more to links that carry it, by trying many."""
    generator = np.random.default_rng(1)
    for links in (1, 2, 5):
        capacities, whole = generator.uniform(0, 100, links), 60.0
        found = best_size(capacities, whole)

        def carried(size: float, capacities: Any = capacities) -> float:
            return size * float((capacities >= size).sum())

        assert 0 <= found <= whole
        assert carried(found) >= max(map(carried, np.linspace(0.0, whole, 2001))) - 1e-9


@pytest.fixture
def sent() -> tuple[Any, Any, Any]:
    """Return a method, an adapter with a mask, and the update that carries half of it."""
    method: Any = method_of(SoLora(rank=3, density=0.5, shared_a=True, adaptive=True))
    start = method.initial(LAYERS, 1, 0, 2)
    generator = torch.Generator().manual_seed(3)
    mask = tuple(torch.rand(b.shape, generator=generator) < 0.5 for b in start.b)
    b = tuple(
        torch.randn(x.shape, generator=generator) * kept
        for x, kept in zip(start.b, mask, strict=True)
    )
    adapter = replace(start, b=b, mask=mask)
    method.adapt(0, 2, 0.5)
    return method, adapter, method.update(adapter, 0, 2, False)


def test_the_share_is_that_of_the_size_by_a_rule_or_of_the_whole(
    make_trainer: Callable[..., Any],
) -> None:
    """Law: sizes grow in proportion from that of no entries; without a rule from zero."""
    trainer = make_trainer(method=SoLora(rank=2, density=0.5, shared_a=True, adaptive=True))
    cost, method = trainer.cost_model, trainer.method
    whole = cost.size_bytes(False)
    method.adapt(0, 1, 0.0)
    least = cost.size_bytes_in(False, 0, 1)
    for size, share in ((whole, 1.0), ((whole + least) / 2, 0.5), (least, 0.0), (1.0, 0.0)):
        trainer.adapt(0, 1, np.array([size]))
        assert method.planned(0, 1) == pytest.approx(share)
    cost.is_by_rule = False  # as for a method of the user's
    trainer.adapt(0, 2, np.array([whole / 4]))
    assert method.planned(0, 2) == pytest.approx(0.25)


def flat(parts: Any) -> Any:
    return np.concatenate([part.double().numpy().ravel() for part in parts])


def test_the_largest_active_entries_are_sent(sent: tuple[Any, Any, Any]) -> None:
    method, adapter, update = sent
    active, values = flat(adapter.mask) > 0, np.abs(flat(adapter.b))
    chosen = flat(update.mask) > 0
    assert chosen.sum() == round(0.5 * active.sum())
    assert not (chosen & ~active).any()
    assert values[chosen].min() >= values[active & ~chosen].max()
    assert flat(update.b) == pytest.approx(np.where(chosen, flat(adapter.b), 0.0))
    # The message carries its mask, and needs no other one to be read.
    found = decode(encode(update), LAYERS, [3, 3])
    assert (flat(found.mask) == flat(update.mask)).all()
    assert len(encode(update)) == encoded_bytes(update)
    # Outside of a round, and without a plan, everything is sent.
    for round_ in (0, 3):
        assert (flat(method.update(adapter, 0, round_, False).mask) == flat(adapter.mask)).all()
    # Active entries that are zero go before those that are not active.
    method.adapt(0, 4, 1.0 - 1e-9)
    zero = replace(adapter, b=tuple(torch.zeros_like(b) for b in adapter.b))
    assert (flat(method.update(zero, 0, 4, False).mask) <= flat(adapter.mask)).all()


def test_own_entries_count_whether_sent_or_not(sent: tuple[Any, Any, Any]) -> None:
    """Law: entry by entry, over the device itself and the senders of the entry."""
    method, adapter, local = sent
    generator = torch.Generator().manual_seed(9)
    others = [
        replace(
            local, device=device,
            mask=tuple(torch.rand(b.shape, generator=generator) < 0.3 for b in local.b),
            b=tuple(torch.randn(b.shape, generator=generator) for b in local.b),
        )
        for device in (1, 2)
    ]  # fmt: skip
    weights = [1.0, 2.0, 3.0]
    found = flat(method.combine(adapter, local, others, weights).b)
    parts = [(flat(adapter.b), flat(adapter.mask)), *((flat(o.b), flat(o.mask)) for o in others)]
    for entry in range(found.size):
        shares = [weight * mask[entry] for weight, (_, mask) in zip(weights, parts, strict=True)]
        expected = 0.0
        if sum(shares):
            expected = sum(s * b[entry] for s, (b, _) in zip(shares, parts, strict=True)) / sum(
                shares
            )
        assert found[entry] == pytest.approx(expected, abs=1e-6)


def test_messages_fit_after_the_first_round(tmp_path: Path) -> None:
    """Law: with the last rates of its links known, more of a device's messages arrive."""
    path = tmp_path / "s.yaml"
    method = "{model: so-lora, rank: 8, density: 0.5, shared_a: true, adaptive: %s}"
    path.write_text(
        f"{NARROW}variants:\n"
        f"  - {{label: fixed, fl: {{method: {method % 'false'}}}}}\n"
        f"  - {{label: adaptive, fl: {{method: {method % 'true'}}}}}\n"
    )
    assert main([str(path), "--out", str(tmp_path / "out"), "--no-figures"]) == 0
    arrived, size = {}, {}
    for name in ("fixed", "adaptive"):
        rows = pd.read_csv(tmp_path / "out" / f"{name},seed=1" / "transfers.csv")
        rows = rows[rows["kind"] == "update"]
        arrived[name] = rows[rows["round"] > 1]["delivered"].mean()
        size[name] = rows.groupby("round")["size_bytes"].max()
    assert size["adaptive"][1] >= size["fixed"][1]  # nothing is known yet, and masks are sent
    assert size["adaptive"][5] < size["adaptive"][1]
    assert arrived["fixed"] < 0.5
    assert arrived["adaptive"] > arrived["fixed"] + 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("fl.robust={model: median}", "adaptive sends a part of each adapter, got robust median"),
        ("fl.protocol={model: server}", "adaptive is for devices without a server"),
    ],
)
def test_what_adaptive_excludes(settings: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(NARROW)
    method = "fl.method={model: so-lora, adaptive: true}"
    with pytest.raises(ScenarioError, match=message):
        plan(str(path), tuple(itertools.chain([method], [settings])))


def test_runs_that_send_different_entries_share_no_training(tmp_path: Path) -> None:
    """Law: a run with the training cache of another deadline equals one with a cache of its own."""
    path = tmp_path / "s.yaml"
    path.write_text(NARROW)
    settings = {
        "devices.count": 2,
        "fl.payload": "actual",
        "fl.rounds": 3,
        "fl.deadline_s": 60.0,
        "fl.method": {"model": "so-lora", "shared_a": True, "adaptive": True, "mask": "random"},
    }

    def rows(out: str, store: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        found = run(load(path, settings=settings), tmp_path / out, store=tmp_path / store,
                    figures=False)  # fmt: skip
        return found.table("transfers"), found.table("rounds")

    loose, _ = rows("loose", "shared")
    settings["fl.deadline_s"] = 1.1 * float(loose[loose["round"] == 1]["latency_s"].max())
    shared, rounds = rows("tight", "shared")
    assert shared[shared["round"] == 2]["size_bytes"].min() < loose["size_bytes"].max()
    _, alone = rows("alone", "own")
    assert rounds["loss"].tolist() == alone["loss"].tolist()
