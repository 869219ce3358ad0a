"""The dry run's predictions, against closed forms and against the run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wnsim.scenario.__main__ import main
from wnsim.scenario.simulation.dry_run import forecast, warnings
from wnsim.scenario.spec.plan import plan

PAIR = """
name: pair
devices: {count: 2, tx_power_dbm: 20}
mobility: {model: static, layout: given, positions_m: [[0, 0], [100, 0]]}
channel: {path_loss: {model: free-space}, shadowing: {sigma_db: 0}, fading: {model: none}}
radio: {phy: {model: shannon}, bandwidth_hz: 1.0e+6}
mac: {model: ideal}
transport: {packet_header_bytes: 0}
traffic: {size_bytes: 1000000, neighbors: 1}
"""

LEARNING = """
name: learning
devices: {count: 4}
mobility: {model: static, layout: grid}
fl:
  tasks: [reverse, total]
  method: {model: so-lora, rank: 2, density: 0.5, calibration_prompts: 4, calibration_batches: 1}
  topology: {model: full}
  rounds: 2
  local_steps: 1
  batch_size: 2
  train_examples: 8
  test_examples: 2
"""


def scenario(tmp_path: Path, text: str, *settings: str) -> Any:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    (run,) = plan(str(path), settings)
    return run.scenario


def test_a_message_takes_what_shannon_says(tmp_path: Path) -> None:
    """Law: bits over W log2(1 + SNR), free space at 100 m and 3.5 GHz, 9 dB noise figure."""
    found = forecast(scenario(tmp_path, PAIR))
    loss_db = 20 * math.log10(4 * math.pi * 100 * 3.5e9 / 299_792_458)
    noise_dbm = 10 * math.log10(1.380649e-23 * 290 * 1e6) + 30 + 9
    rate_bps = 1e6 * math.log2(1 + 10 ** ((20 - loss_db - noise_dbm) / 10))
    assert found.messages == 2
    assert found.arrived_s == pytest.approx([8e6 / rate_bps] * 2, rel=1e-3)
    assert found.contact_s is None
    assert found.range_m == pytest.approx(100)
    assert warnings(found) == []


def test_a_broadcast_is_sent_once(tmp_path: Path) -> None:
    """Law: the rate is that of the farther of two receivers."""
    places = "mobility.positions_m=[[0, 0], [100, 0], [300, 0]]"
    found = forecast(
        scenario(tmp_path, PAIR, places, "devices.count=3", "traffic.neighbors=2",
                 "traffic.broadcast=true")
    )  # fmt: skip
    expected_s = []
    for far_m in (300, 300, 200, 200, 300, 300):
        loss_db = 20 * math.log10(4 * math.pi * far_m * 3.5e9 / 299_792_458)
        noise_dbm = 10 * math.log10(1.380649e-23 * 290 * 1e6) + 30 + 9
        expected_s.append(8e6 / (1e6 * math.log2(1 + 10 ** ((20 - loss_db - noise_dbm) / 10))))
    assert sorted(found.arrived_s) == pytest.approx(sorted(expected_s), rel=1e-3)


def test_what_cannot_work_is_said(tmp_path: Path) -> None:
    found = forecast(scenario(tmp_path, PAIR, "traffic.lifetime_s=0.1"))
    assert found.range_m is None
    (warning,) = warnings(found)
    assert warning.startswith("2 of 2 messages of a round do not arrive within 0.1 s")
    brief = replace(found, messages=3, arrived_s=np.array([13.0] * 3), contact_s=np.array([7.0]))
    assert warnings(brief) == ["the median message takes 13 s, the median contact 7 s"]


def test_contacts_are_those_within_the_range_of_a_message(tmp_path: Path) -> None:
    """Law: two that pass 1 m apart at 60 m/s are within r of each other for 2 r / 60 s."""
    trace = tmp_path / "t.csv"
    trace.write_text("t_s,id,x_m,y_m\n0,a,-3000,0\n0,b,3000,1\n200,a,3000,0\n200,b,-3000,1\n")
    found = forecast(
        scenario(tmp_path, PAIR, f"mobility={{model: trace, file: {trace}}}",
                 "traffic.size_bytes=800000", "traffic.lifetime_s=1.8")
    )  # fmt: skip
    assert found.range_m is not None
    assert found.contact_s == pytest.approx([2 * found.range_m / 60], rel=1e-3)


def test_sizes_are_those_of_the_run_and_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fl.trainer.kernels import Kernels

    path = tmp_path / "s.yaml"
    path.write_text(LEARNING)

    def refuse(*_: object) -> None:
        raise AssertionError("something is computed")

    with monkeypatch.context() as patched:
        patched.setattr(Kernels, "compute", refuse)
        found = forecast(scenario(tmp_path, LEARNING))
        assert main([str(path), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("# seed=1\nmessage: ")
    assert not (tmp_path / "results").exists()
    assert main([str(path), "--out", str(tmp_path / "out")]) == 0
    transfers = pd.read_csv(tmp_path / "out" / "seed=1" / "transfers.csv")
    first, later = (transfers[transfers["round"] == number]["size_bytes"] for number in (1, 2))
    assert set(first) == {found.first_bytes}
    assert set(later) == {found.size_bytes}
    assert found.messages == len(later) == 12
    rounds = pd.read_csv(tmp_path / "out" / "seed=1" / "rounds.csv")
    second = rounds[rounds["round"] == 2].sort_values("device")
    took_s = (second["trained_s"] - second["start_s"]).to_numpy()
    assert took_s == pytest.approx(found.compute_s, abs=1e-8)


def test_first_messages_carry_prompt_centroids_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{LEARNING}  inference: {{}}\n"
    found = forecast(scenario(tmp_path, text))
    assert main([str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out")]) == 0
    transfers = pd.read_csv(tmp_path / "out" / "seed=1" / "transfers.csv")
    transfers = transfers[transfers["kind"] == "update"]
    first, later = (transfers[transfers["round"] == number]["size_bytes"] for number in (1, 2))
    assert set(first) == {found.first_bytes}
    assert set(later) == {found.size_bytes}
    # Two bytes for each input of the seven layers of each of the bundled model's four blocks.
    without = forecast(scenario(tmp_path, LEARNING))
    assert found.first_bytes - without.first_bytes == 2 * 4 * (6 * 128 + 352)
    assert found.size_bytes == without.size_bytes
