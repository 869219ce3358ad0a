"""What a run would refuse before it trains, `--check` refuses too, in the same words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fl.models.language_model import TINY
from wnsim.scenario.__main__ import main

SCENARIO = """
name: checked
devices: {count: 4}
mobility: {model: static, layout: grid}
fl: {tasks: [reverse], rounds: 1, local_steps: 1, train_examples: 8, test_examples: 2,
     topology: {model: ring}, MORE}
"""


@pytest.fixture
def folder(make_lm: Callable[[], Any], tmp_path: Path) -> Path:
    """A model's folder."""
    path = tmp_path / "model"
    make_lm().save_pretrained(path)
    for file in TINY.glob("tokenizer*"):
        shutil.copy(file, path)
    return path


def said(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str) -> str:
    """Return what both `--check` and the run refuse a scenario with; empty if they accept it."""
    path = tmp_path / "checked.yaml"
    path.write_text(SCENARIO.replace("MORE", more))
    code = main([str(path), "--check"])
    checked = capsys.readouterr().err
    out = tmp_path / f"out {len(list(tmp_path.glob('out*')))}"
    assert main([str(path), "--out", str(out)]) == code
    ran = capsys.readouterr().err
    assert code == (2 if checked else 0)
    reason = checked.strip().rpartition("fl: ")[2]
    assert reason in ran
    return reason


def change(folder: Path, name: str, tensor: torch.Tensor | None) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop(name)
    save_file(
        weights if tensor is None else weights | {name: tensor}, folder / "model.safetensors",
        metadata={"format": "pt"},
    )  # fmt: skip


WEIGHT = "model.layers.0.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: None, ""),
        (lambda path: change(path, WEIGHT, None), "its files lack the weights"),
        (lambda path: change(path, WEIGHT, torch.full((48, 32), torch.nan)), "must be finite"),
        (lambda path: change(path, WEIGHT, torch.ones(8, 32)), "other shapes than its config"),
        (lambda path: (path / "model.safetensors").write_bytes(b"x"), "cannot be read"),
        (lambda path: (path / "tokenizer.json").write_text("{"), "cannot be loaded"),
        (lambda path: (path / "config.json").write_text('{"model_type": "new"}'), "cannot be load"),
    ],
    ids=["whole", "missing", "nan", "shape", "weights", "tokenizer", "config"],
)
def test_model_folders(
    tmp_path: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], object],
    message: str,
) -> None:
    damage(folder)
    found = said(tmp_path, capsys, f"model: {folder}")
    assert message in found
    assert bool(found) == bool(message)


def test_initial_adapters_of_other_ranks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fl.adapters import AdaptedModel, Adapter
    from fl.adapters.adapter import draw_a, zero_b
    from fl.adapters.peft_format import files
    from fl.models.language_model import load

    model = AdaptedModel(load("tiny")[0])
    adapter = Adapter(draw_a(model.layers, 4, "kaiming", 0), zero_b(model.layers, 4), 2.0)
    (tmp_path / "start").mkdir()
    for name, data in files(adapter, model.layers, "tiny", model.transposed).items():
        (tmp_path / "start" / name).write_bytes(data)
    more = "initial_adapter: start, method: {model: lora, rank: RANK}"
    assert said(tmp_path, capsys, more.replace("RANK", "4")) == ""
    found = said(tmp_path, capsys, more.replace("RANK", "2"))
    assert found.startswith("initial_adapter must be an adapter of rank 2")
    config = tmp_path / "start" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    assert "use_dora must not be set" in said(tmp_path, capsys, more.replace("RANK", "4"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("model: no-such-model", "model 'no-such-model' is no folder and cannot be loaded"),
        ("target_modules: [nope]", "the model has no linear module named nope"),
        ("method: {model: lora, rank: 200}", "rank must be at most the inputs"),
        ("max_length: 300", "max_length must be at most the model's 256 positions"),
    ],
)
def test_other_settings(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: str,
    message: str,
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", no_network)
    found = said(tmp_path, capsys, more)
    assert found.startswith(message)
