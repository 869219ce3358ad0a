"""Environment of agents that select clients: its interface, and runs that it must equal."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from wnsim import load, run
from wnsim.scenario.agents import FEATURES, ClientSelection, Price
from wnsim.scenario.errors import ScenarioError

SMALL = {
    "devices.count": 4, "fl.rounds": 3, "fl.local_steps": 1, "fl.train_examples": 32,
    "fl.test_examples": 2, "fl.tasks": ["home"], "fl.protocol.share": 0.5,
    "fl.partition": {"model": "one-task"},
    "fl.payload": {"emulate": "qwen2.5-0.5b", "batch": 1, "length": 8},
}  # fmt: skip


def test_the_interface_is_that_of_gymnasium() -> None:
    with warnings.catch_warnings():
        # Environments that are not registered have no other render modes to try.
        warnings.simplefilter("ignore")
        check_env(ClientSelection("scheduling.yaml", {**SMALL, "fl.rounds": 1, "devices.count": 2}))


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
        with pytest.raises(ValueError, match=r"finite scores of shape \(4,\)"):
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
