"""Plans of a server: shares of an adapter by rates, against brute force and in a run."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fl.adapters import Layer
from fl.config import FedLoDrop, Jcpba
from fl.methods import method_of
from fl.methods.sparse.planning import shares_in_time, shares_of_mean
from fl.updates.codec import encoded_bytes
from wnsim import load, run
from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan

LAYERS = (Layer("q", 24, 18), Layer("down", 30, 20))
CELL = """
name: planned
area_m: [300, 300]
devices: {count: 5, tx_power_dbm: 23}
mobility: {model: static, layout: uniform}
channel: {path_loss: {model: umi}, fading: {model: rayleigh}}
radio: {bandwidth_hz: 5.0e+6}
mac: {model: cell}
base_stations: {count: 1, height_m: 10}
compute: {flops_per_s: 5.0e+14}
fl:
  tasks: [home, topic]
  protocol: {model: server}
  payload: {emulate: qwen2.5-0.5b}
  rounds: 3
  local_steps: 1
  batch_size: 2
  train_examples: 12
  test_examples: 2
  evaluate_every: 3
  deadline_s: 300
"""


def ends_s(shares: Any, fixed_s: Any, whole_s: Any) -> Any:
    return fixed_s + shares * whole_s


def test_shares_of_a_mean_minimise_the_end_of_the_slowest() -> None:
    """Law: no shares of the same mean, on a grid, end earlier; those in between end together."""
    fixed_s, whole_s = np.array([1.0, 2.0, 0.5]), np.array([10.0, 3.0, 6.0])
    found = shares_of_mean(0.6, fixed_s, whole_s, 0.2)
    assert found.mean() == pytest.approx(0.6, abs=1e-9)
    end_s = ends_s(found, fixed_s, whole_s).max()
    inside = (found > 0.2) & (found < 1.0)
    assert ends_s(found, fixed_s, whole_s)[inside] == pytest.approx(end_s, abs=1e-9)
    grid = np.linspace(0.2, 1.0, 81)
    best_s = min(
        ends_s(np.array(each), fixed_s, whole_s).max()
        for each in itertools.product(grid, repeat=3)
        if abs(sum(each) / 3 - 0.6) < 1e-9
    )
    assert end_s <= best_s + 1e-9
    assert end_s == pytest.approx(best_s, abs=0.1)


def test_shares_at_their_limits() -> None:
    dead = np.array([4.0, np.inf])
    assert shares_in_time(3.0, np.ones(2), dead, 0.1).tolist() == [0.5, 0.1]
    assert shares_in_time(0.5, np.ones(2), dead, 0.1).tolist() == [0.1, 0.1]
    assert shares_in_time(99.0, np.ones(2), dead, 0.1).tolist() == [1.0, 0.1]
    # A link that carries nothing is pruned most; the other one makes up for it as far as it can.
    assert shares_of_mean(0.9, np.ones(2), dead, 0.1) == pytest.approx([1.0, 0.1])
    assert shares_of_mean(1.0, np.ones(2), np.array([4.0, 9.0]), 0.1) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("up_s", [4.0, np.inf])
def test_a_downlink_that_carries_nothing_leaves_the_other_shares(up_s: float) -> None:
    fixed_s, whole_s = np.array([np.inf, 1.0, 1.0]), np.array([up_s, 2.0, 4.0])
    assert shares_in_time(3.0, fixed_s, whole_s, 0.1).tolist() == [0.1, 1.0, 0.5]
    found = shares_of_mean(0.5, fixed_s, whole_s, 0.1)
    assert found.mean() == pytest.approx(0.5, abs=1e-9)
    assert found[0] == 0.1
    assert found[1] * 2.0 == pytest.approx(found[2] * 4.0)
    dead = np.full(2, np.inf)
    assert shares_of_mean(0.5, dead, dead, 0.1).tolist() == [0.1, 0.1]


def test_a_round_of_no_clients_needs_no_plan(tmp_path: Path) -> None:
    settings = {
        "fl.method": {"model": "jcpba"},
        "fl.protocol.selection": {"model": "deadline-greedy", "round_s": 1e-6},
        "fl.payload": "actual",
        "fl.rounds": 1,
    }
    scenario = tmp_path / "empty.yaml"
    scenario.write_text(CELL)
    found = run(load(scenario, settings=settings), tmp_path / "out", figures=False)
    assert found.table("rounds").empty


def test_gamma_by_latency_ends_in_time_with_the_largest_share() -> None:
    """Law: (1 - gamma) (|A| + |B|) over both directions, with the computation, takes the time."""
    method: Any = method_of(FedLoDrop(rank=3, gamma="latency", latency_s=10.0))
    assert method.plans
    method.start_run(1, 3)
    compute_s, way_s = np.array([1.0, 2.0, 9.99]), np.array([3.0, 8.0, 8.0])
    method.plan(4, [0, 2, 5], compute_s, way_s, way_s)
    shares = [method.planned(device, 4) / 65535 for device in (0, 2, 5)]
    assert shares == pytest.approx([1.0, 0.5, 0.01], abs=2e-5)
    assert method.planned(0, 5) == 65535  # not planned
    sub = method.shapes_update_in(LAYERS, False, 2, 4)
    columns = [float(mask[0].float().mean()) for mask in sub.mask_a]
    assert columns == pytest.approx([0.5, 0.5], abs=0.35)
    assert method.shapes_update_in(LAYERS, False, 0, 4).mask is None


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.8])
@pytest.mark.parametrize("bits", [16, 8])
def test_size_of_a_pruned_message_is_that_of_random_places(share: float, bits: int) -> None:
    """Law: within a thousandth of the message that is made of entries at random places."""
    layers = [Layer("q", 2048, 1024), Layer("k", 1024, 4096)]
    method: Any = method_of(Jcpba(rank=8, mean_pruning=1.0 - share, most_pruning=0.995))
    drawn = replace(method.estimate(layers, share), bits=bits)
    assert method.bytes_in(layers, 0, 1, bits) == pytest.approx(
        encoded_bytes(drawn), rel=1e-3, abs=8
    )


@pytest.mark.parametrize(
    ("compute_s", "down_s"), [([1.0, 1.0], [0.0, 2.0]), ([0.5, 2.5], [0.5, 0.5])]
)
def test_pruning_evens_out_downloads_and_computation(
    compute_s: list[float], down_s: list[float]
) -> None:
    """Law: 1 + 4 x 0.75 = 3 + 4 x 0.25, whatever the two seconds are for."""
    method: Any = method_of(Jcpba(rank=3, mean_pruning=0.5, most_pruning=0.9))
    method.plan(2, [0, 1], np.array(compute_s), np.array(down_s), np.array([4.0, 4.0]))
    assert [method.planned(each, 2) for each in (0, 1)] == pytest.approx([0.75, 0.25])


def test_pruned_changes_are_the_largest_and_are_averaged_whole() -> None:
    """Law: dense NumPy: the largest entries of the change by one threshold, and their mean."""
    method: Any = method_of(Jcpba(rank=3, mean_pruning=0.5, most_pruning=0.9))
    method.plan(2, [0, 1], np.zeros(2), np.zeros(2), np.array([1.0, 4.0]))
    assert [method.planned(each, 2) for each in (0, 1)] == pytest.approx([0.8, 0.2])
    start = method.initial(LAYERS, 1, 0, 2)
    updates, dense = [], []
    for device, share in ((0, 0.8), (1, 0.2)):
        generator = torch.Generator().manual_seed(device)
        b, a = (
            tuple(x + torch.randn(x.shape, generator=generator) for x in each)
            for each in (start.b, start.a)
        )
        after = method.trained(start, type(start)(a, b, start.scale, kept=start.kept), 1, 0.1, 1.0)
        updates.append(method.update(after, device, 2, False))
        change = np.concatenate(
            [(x - y).flatten().numpy() for x, y in zip((*b, *a), (*start.b, *start.a), strict=True)]
        )
        kept = np.sort(np.abs(change))[-round(share * change.size)]
        dense.append(np.where(np.abs(change) >= kept, change, 0.0))
    before = method.update(start, 0, 0, True)
    found = method.aggregate_clients(before, updates, [1.0, 3.0])
    flat = np.concatenate([each.flatten().numpy() for each in (*found.b, *found.a)])
    base = np.concatenate([each.flatten().numpy() for each in (*before.b, *before.a)])
    assert flat == pytest.approx(base + np.average(dense, axis=0, weights=[1, 3]), abs=1e-6)


def test_a_plan_shortens_the_rounds_of_a_run(tmp_path: Path) -> None:
    """Law: rounds end when wanted, slower links carry less, and pruned clients end together."""
    path = tmp_path / "s.yaml"
    path.write_text(
        f"{CELL}variants:\n"
        "  - {label: whole, fl: {method: {model: lora}}}\n"
        "  - {label: planned, fl: {method: {model: fed-lo-drop, gamma: latency, latency_s: 4}}}\n"
        "  - {label: pruned, mac: {allocation: {model: min-max}}, fl: {method: {model: jcpba}}}\n"
    )
    assert main([str(path), "--out", str(tmp_path / "out"), "--no-figures"]) == 0
    up, slowest_s = {}, {}
    for name in ("whole", "planned", "pruned"):
        rows = pd.read_csv(tmp_path / "out" / f"{name},seed=1" / "transfers.csv")
        rows = rows[(rows["kind"] == "update") & (rows["round"] == 3)]
        up[name] = rows[rows["target"] == "server"].set_index("source")["size_bytes"]
        rounds = pd.read_csv(tmp_path / "out" / f"{name},seed=1" / "rounds.csv")
        last = rounds[rounds["round"] == 3]
        slowest_s[name] = (last["end_s"] - last["start_s"]).max()
    assert up["whole"].nunique() == 1
    assert slowest_s["whole"] > 4.0
    assert slowest_s["planned"] < 5.0 < slowest_s["whole"]
    assert up["planned"].min() < 0.9 * up["whole"].iloc[0]
    assert up["pruned"].mean() < 0.75 * up["whole"].iloc[0]
    assert up["pruned"].max() > 1.2 * up["pruned"].min()
    assert slowest_s["pruned"] < slowest_s["whole"]
    assert last["end_s"].max() - last["end_s"].min() < 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("fl.method={model: fed-lo-drop, gamma: latency}", "gamma latency needs latency_s"),
        ("fl.method={model: fed-lo-drop, latency_s: 3}", "gamma latency needs latency_s"),
        ("fl.method={model: jcpba, mean_pruning: 0.95}", "mean_pruning must be at most most_prun"),
        ("fl={method: {model: jcpba}, protocol: {model: synchronous}}", "jcpba is for a server"),
    ],
)
def test_plans_that_make_no_sense_are_refused(settings: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(CELL)
    with pytest.raises(ScenarioError, match=message):
        plan(str(path), (settings,))
