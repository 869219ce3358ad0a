"""Environments of agents: their interface, and runs that they must equal."""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from wnsim import load, run
from wnsim.mac.allocation import EqualShares, MinMax
from wnsim.scenario.agents import BandAllocation, ClientSelection, Price
from wnsim.scenario.agents.selection import FEATURES
from wnsim.scenario.errors import ScenarioError

SMALL = {
    "devices.count": 4, "fl.rounds": 3, "fl.local_steps": 1, "fl.train_examples": 32,
    "fl.test_examples": 2, "fl.tasks": ["home"], "fl.protocol.share": 0.5,
    "fl.partition": {"model": "one-task"},
    "fl.payload": {"emulate": "qwen2.5-0.5b", "batch": 1, "length": 8},
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (ClientSelection, {"fl.protocol.share": 0.5}),
        (BandAllocation, {"fl.protocol.share": 0.5}),
        (BandAllocation, {"fl.protocol.share": 1.0}),
    ],
)
def test_the_interface_is_that_of_gymnasium(kind: Any, settings: Any) -> None:
    env = kind("scheduling.yaml", {**SMALL, "fl.rounds": 1, "devices.count": 2, **settings})
    with warnings.catch_warnings():
        # Environments that are not registered have no other render modes to try.
        warnings.simplefilter("ignore")
        check_env(env)
    env.close()


@pytest.mark.parametrize(("rule", "every_s"), [(EqualShares(), None), (MinMax(every_s=0.5), 0.5)])
def test_an_agent_that_acts_as_an_allocation_is_that_allocation(
    tmp_path: Path, rule: Any, every_s: float | None
) -> None:
    """Law: the same messages to the last bit, times, accuracies and energy as a run with it."""
    settings = {**SMALL, "fl.rounds": 2, "fl.protocol.share": 1.0}
    env = BandAllocation("scheduling.yaml", settings, price=Price(per_s=0.5), every_s=every_s)
    observation, info = env.reset(seed=4)
    first, rewards, over, decisions = info, 0.0, False, 0
    while not over:
        sends = observation[:, 0] == 1.0
        assert sorted(info["demand"].device) == np.flatnonzero(sends).tolist()
        action = np.zeros((4, 2))
        band, power, _ = rule.shares(env.modem, info["demand"])
        action[info["demand"].device] = np.stack([band, power / info["demand"].limit], axis=1)
        observation, reward, over, _, info = env.step(action)
        rewards, decisions = rewards + reward, decisions + 1
        assert observation in env.observation_space
    assert info["demand"] is None
    ended = [(each.ended_s, each.mean_snr_db) for each in env._episode._network.transfers]
    env.close()
    allocation = {"model": rule.model} | ({"every_s": every_s} if every_s else {})
    more = {"seed": info["seed"], "repeat": 1, "fl.evaluate_every": 1, "mac.allocation": allocation}
    plan = load("scheduling.yaml", settings={**settings, **more})
    only = type(plan)(plan.scenario, plan.settings, plan.plugins, plan.runs[:1])
    results = run(only, tmp_path / "rule", figures=False)
    table = results.transfers
    assert [round(time_s, 9) for time_s, _ in ended] == table["ended_s"].tolist()
    known = [round(snr_db, 9) for _, snr_db in ended]
    np.testing.assert_array_equal(known, table["mean_snr_db"].to_numpy())
    last = results.evaluations[results.evaluations["round"] == 2]
    assert info["accuracy"] == pytest.approx(last["accuracy"].mean(), abs=1e-9)
    assert decisions > (2 * 4 if every_s else 4)
    gain = 100 * (info["accuracy"] - first["accuracy"])
    assert rewards == pytest.approx(gain - 0.5 * (info["time_s"] - first["time_s"]))


def test_shares_beyond_the_band_are_divided_by_their_sum() -> None:
    settings = {**SMALL, "fl.rounds": 1, "fl.protocol.share": 1.0}
    times_s = []
    for part in (1.0, 0.25, 0.125):
        env = BandAllocation("scheduling.yaml", settings)
        observation, info = env.reset(seed=4)
        over = False
        while not over:
            # Of as many devices as send, each gets the same part.
            sends = np.count_nonzero(observation[:, 0])
            action = np.tile([4 * part / sends, 1.0], (4, 1))
            observation, _, over, _, info = env.step(action)
        times_s.append(info["time_s"])
        env.close()
    # Law: four equal parts fill the band, whatever their sum, and halves of them take longer.
    assert times_s[0] == times_s[1] < times_s[2]


def test_an_episode_may_be_left_before_its_end() -> None:
    env = BandAllocation("scheduling.yaml", {**SMALL, "fl.rounds": 1})
    before = threading.active_count()
    first, _ = env.reset(seed=4)
    again, _ = env.reset(seed=4)
    np.testing.assert_array_equal(first, again)
    env.close()
    assert threading.active_count() == before
    with pytest.raises(ScenarioError, match="the modem is that of an episode: call reset first"):
        _ = env.modem
    with pytest.raises(ScenarioError, match=r"mac\.model cell, got ideal"):
        BandAllocation("urban.yaml", {"mac": {"model": "ideal"}})


def test_an_agent_that_takes_the_best_channels_is_that_selection(tmp_path: Path) -> None:
    """Law: same times, accuracies and energy as a run with the selection `best-channel`."""
    env = ClientSelection("scheduling.yaml", SMALL, price=Price(per_s=0.5, per_j=0.25))
    observation, first = env.reset(seed=4)
    assert observation.shape == (4, len(FEATURES))
    rewards, clients, info = 0.0, [], first
    over = False
    while not over:
        observation, reward, over, truncated, info = env.step(observation[:, 1] / 15)
        rewards += reward
        clients.append(info["clients"])
        assert not truncated
    env.close()
    settings = {
        **SMALL, "seed": info["seed"], "repeat": 1, "fl.evaluate_every": 1,
        "fl.protocol.selection": {"model": "best-channel"},
    }  # fmt: skip
    scenario = load("scheduling.yaml", settings=settings).runs[0]
    plan = load("scheduling.yaml", settings=settings)
    only = type(plan)(plan.scenario, plan.settings, plan.plugins, (scenario,))
    results = run(only, tmp_path / "best", figures=False)
    rounds = results.rounds
    for number, chosen in enumerate(clients, start=1):
        assert sorted(rounds.loc[rounds["round"] == number, "device"]) == chosen
    last = results.evaluations[results.evaluations["round"] == 3]
    assert info["accuracy"] == pytest.approx(last["accuracy"].mean(), abs=1e-9)
    assert info["time_s"] == pytest.approx(float(last["time_s"].iloc[0]), abs=1e-9)
    spent_j = results.table("devices").filter(like="energy_").sum().sum()
    assert info["energy_j"] == pytest.approx(spent_j, rel=1e-6)
    # Law: rewards add up to the gain less the prices.
    gain = 100 * (info["accuracy"] - first["accuracy"])
    price = 0.5 * (info["time_s"] - first["time_s"]) + 0.25 * (info["energy_j"] - first["energy_j"])
    assert rewards == pytest.approx(gain - price)


def test_episodes_follow_from_the_seed() -> None:
    env = ClientSelection("scheduling.yaml", SMALL)
    seeds = [env.reset(seed=7)[1]["seed"], env.reset()[1]["seed"]]
    assert seeds[0] != seeds[1]
    again = [env.reset(seed=7)[1]["seed"], env.reset()[1]["seed"]]
    env.close()
    assert again == seeds
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros(4, dtype=np.float32))


def test_actions_are_a_score_for_each_device() -> None:
    env = ClientSelection("scheduling.yaml", SMALL)
    env.reset(seed=7)
    for action in (np.zeros(3), np.full(4, np.nan), np.zeros((2, 2))):
        with pytest.raises(ValueError, match=r"finite values of shape \(4,\)"):
            env.step(action)
    env.close()


def test_only_a_server_selects() -> None:
    with pytest.raises(ScenarioError, match="protocol"):
        ClientSelection("urban.yaml", {"fl.rounds": 1})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["wnsim.scenario.agents"]
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "wnsim.scenario.agents")
    with pytest.raises(ScenarioError, match=r'pip install "wnsim\[gymnasium\]"'):
        importlib.import_module("wnsim.scenario.agents")
    monkeypatch.setitem(sys.modules, "wnsim.scenario.agents", module)
