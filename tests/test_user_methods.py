"""User-defined methods: what their updates weigh, and when they are called."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fl.models.language_model import load
from fl.updates.codec import HEADER_BYTES
from wnsim.scenario.__main__ import main
from wnsim.scenario.contracts import violations

MODULE = '''
from dataclasses import replace
from typing import Literal

import torch

from fl.adapters.adapter import shape_only
from fl.methods.frozen_a.frozen import FrozenMethod
from fl.methods.lora import LoraMethod
from fl.updates.codec import Update
from wnsim.core.params import parameters

CALLS = []


def top(b, share):
    """Return the mask of the largest entries."""
    count = max(1, round(share * b.numel()))
    mask = torch.zeros(b.numel(), dtype=torch.bool)
    mask[b.abs().flatten().topk(count).indices] = True
    return mask.view(b.shape)


class TopMethod(LoraMethod):
    """The largest entries of B, and A."""

    def __init__(self, config):
        super().__init__(config)
        self.share = config.share

    def sparse(self, b, a, device, round_):
        mask = tuple(top(each, self.share) for each in b)
        sent = tuple(each * on for each, on in zip(b, mask, strict=True))
        return Update(device, round_, sent, mask, a=a, includes_mask=True)

    def update(self, adapter, device, round_, first_contact):
        return self.sparse(adapter.b, adapter.a, device, round_)


class ThresholdMethod(TopMethod):
    """All entries of B above a threshold: their number differs from update to update."""

    def update(self, adapter, device, round_, first_contact):
        mask = tuple(each.abs() > 1e-3 for each in adapter.b)
        sent = tuple(each * on for each, on in zip(adapter.b, mask, strict=True))
        return Update(device, round_, sent, mask, a=adapter.a, includes_mask=True)


class FeedbackMethod(TopMethod):
    """As the first one, and what was not sent is added to the next update."""

    def __init__(self, config):
        super().__init__(config)
        self.error = {}

    def update(self, adapter, device, round_, first_contact):
        CALLS.append((device, round_, first_contact))
        before = self.error.get(device, [0.0] * len(adapter.b))
        total = tuple(b + old for b, old in zip(adapter.b, before, strict=True))
        update = self.sparse(total, adapter.a, device, round_)
        self.error[device] = [x - y for x, y in zip(total, update.b, strict=True)]
        return update


class RuledMethod(TopMethod):
    def shapes_update(self, layers, first_contact):
        shapes = shape_only(layers, self.ranks(layers))
        counts = [max(1, round(self.share * b.numel())) for b in shapes.b]
        mask = tuple(
            (torch.arange(b.numel()) < count).view(b.shape)
            for b, count in zip(shapes.b, counts, strict=True)
        )
        return Update(0, 0, shapes.b, mask, a=shapes.a, includes_mask=True)


class WrongRuleMethod(RuledMethod):
    def shapes_update(self, layers, first_contact):
        return replace(super().shapes_update(layers, first_contact), a=None)


class VariableMethod(RuledMethod):
    variable_size = True


class ForgetfulMethod(FeedbackMethod):
    """One error for all devices."""

    def update(self, adapter, device, round_, first_contact):
        return super().update(adapter, 0, round_, first_contact)


class MasklessMethod(TopMethod):
    def update(self, adapter, device, round_, first_contact):
        return replace(super().update(adapter, device, round_, first_contact), includes_mask=False)


def made(name, kind):
    @parameters
    class Config:
        model: Literal[f"compressors:{name}"] = f"compressors:{name}"
        rank: int = 4
        alpha: float | None = None
        learning_rate: float = 2e-3
        share: float = 0.1

        def method(self):
            return kind(self)

    return Config


Top = made("Top", TopMethod)
Threshold = made("Threshold", ThresholdMethod)
Feedback = made("Feedback", FeedbackMethod)
Ruled = made("Ruled", RuledMethod)
WrongRule = made("WrongRule", WrongRuleMethod)
Variable = made("Variable", VariableMethod)
Forgetful = made("Forgetful", ForgetfulMethod)
Maskless = made("Maskless", MasklessMethod)
'''
SCENARIO = """
name: own
devices: {count: 4}
mobility: {model: static, layout: grid}
fl:
  tasks: [reverse, total]
  method: {model: "compressors:KIND"}
  topology: {model: full}
  rounds: 3
  local_steps: 2
  batch_size: 2
  train_examples: 8
  test_examples: 2
"""
SERVER = """
mac: {model: cell}
base_stations: {}
"""


@pytest.fixture
def compressors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "compressors.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "compressors", raising=False)
    return __import__("compressors")


def run(tmp_path: Path, text: str, out: str = "out") -> pd.DataFrame:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    command = [str(path), "--plugin", "compressors", "--out", str(tmp_path / out)]
    assert main(command) == 0
    return pd.read_csv(tmp_path / out / "seed=1" / "transfers.csv")


def factor_sizes(share: float, layers: list[tuple[int, int]], rank: int) -> int:
    """Return the bytes of a mask, the largest entries of B under it, and A, in half precision."""
    entries = [rank * outputs for outputs, _ in layers]
    kept = sum(max(1, round(share * each)) for each in entries)
    return -(-sum(entries) // 8) + 2 * kept + 2 * sum(rank * inputs for _, inputs in layers)


def tiny_layers() -> list[tuple[int, int]]:
    lm, _ = load("tiny")
    head = lm.get_output_embeddings()
    return [
        tuple(module.weight.shape)
        for module in lm.modules()
        if type(module).__name__ == "Linear" and module is not head
    ]


def test_an_update_is_charged_as_it_is_serialised(compressors: Any, tmp_path: Path) -> None:
    """Law: mask, a tenth of B and A; zeros would have no tenth that is largest."""
    expected = HEADER_BYTES + factor_sizes(0.1, tiny_layers(), 4)
    sizes = run(tmp_path, SCENARIO.replace("KIND", "Top"))["size_bytes"]
    assert set(sizes) == {expected}
    averages = run(
        tmp_path, SCENARIO.replace("KIND", "Top") + "  protocol: {model: server}\n" + SERVER, "b"
    )
    uplink = averages[averages["target"] == "server"]
    assert set(uplink["size_bytes"]) == {expected}
    # The mean of updates has no mask: B and A whole.
    layers = tiny_layers()
    dense = HEADER_BYTES + 8 * sum(outputs + inputs for outputs, inputs in layers)
    assert set(averages[averages["source"] == "server"]["size_bytes"]) == {dense}


def test_updates_may_differ_in_size(compressors: Any, tmp_path: Path) -> None:
    transfers = run(tmp_path, SCENARIO.replace("KIND", "Threshold"))
    by_message = transfers.groupby(["round", "source"])["size_bytes"].agg(["min", "max"])
    assert (by_message["min"] == by_message["max"]).all()
    assert by_message["min"].nunique() > 6


@pytest.mark.parametrize("more", ["", "  protocol: {model: asynchronous}\n"])
def test_a_state_per_device_sees_each_round_once(
    compressors: Any, tmp_path: Path, more: str
) -> None:
    """Contract: in the order of rounds, and nothing else, however often sizes are asked for."""
    run(tmp_path, SCENARIO.replace("KIND", "Feedback") + more)
    # Round 0 is that of estimates, made by copies, and of states outside of rounds.
    calls = [call for call in compressors.CALLS if call[1]]
    assert all(first_contact for _, _, first_contact in calls)
    made = Counter((device, number) for device, number, _ in calls)
    assert set(made.values()) == {1}
    assert len(made) == 4 * 3
    for device in range(4):
        rounds = [number for one, number, _ in calls if one == device]
        assert rounds == list(range(1, len(rounds) + 1))


def test_emulation_needs_a_rule_for_shapes(
    compressors: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fl.trainer.cost_model import architecture

    text = SCENARIO + "  payload: {emulate: qwen2.5-0.5b}\n"
    layers = [(layer.outputs, layer.inputs) for layer in architecture("qwen2.5-0.5b").layers]
    (tmp_path / "own.yaml").write_text(text.replace("KIND", "Ruled"))
    assert main([str(tmp_path / "own.yaml"), "--plugin", "compressors", "--dry-run"]) == 0
    expected = (HEADER_BYTES + factor_sizes(0.1, layers, 4)) / 1e6
    assert f"message: {expected:.3g} MB" in capsys.readouterr().out
    for kind, message in (
        ("Feedback", "FeedbackMethod must define shapes_update, as it defines update"),
        ("Variable", "those of VariableMethod vary in size"),
    ):
        (tmp_path / "own.yaml").write_text(text.replace("KIND", kind))
        for option in ("--check", "--dry-run"):
            assert main([str(tmp_path / "own.yaml"), "--plugin", "compressors", option]) == 2
            assert message in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["Top", "Threshold", "Feedback", "Ruled", "Variable"])
def test_right_compressors_satisfy_their_contract(compressors: Any, kind: str) -> None:
    assert violations(f"compressors:{kind}") == ("method", [])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("WrongRule", "shapes_update must be as large as an update is"),
        ("Forgetful", "update must not depend on updates of other devices"),
        ("Maskless", "a receiver must be able to decode an update at first contact"),
    ],
)
def test_wrong_compressors_violate_their_contract(
    compressors: Any, kind: str, message: str
) -> None:
    _, found = violations(f"compressors:{kind}")
    assert any(each.startswith(message) for each in found)
