"""Seeds apart: each part of the random streams follows its own seed, or else the scenario's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.build import build_world, load_tasks
from wnsim.scenario.simulation.learning import Learner
from wnsim.scenario.simulation.simulate import network_of
from wnsim.scenario.spec.plan import plan

PARTS = ("channel", "mobility", "data", "model", "protocol")
TEXT = """
name: seeds
area_m: [300, 300]
devices: {count: 4, height_m: {share: 1, between_m: [1, 2]}}
compute: {flops_per_s: [1.0e+12, 1.0e+13]}
fl:
  tasks: [home, total]
  partition: {model: dirichlet, alpha: 1}
  topology: {model: random, degree: 1}
  train_examples: 64
  test_examples: 2
"""


def scenario(folder: Path, *settings: str) -> Any:
    path = folder / "seeds.yaml"
    path.write_text(TEXT, "utf-8")
    (run,) = plan(str(path), settings)
    return run.scenario


def drawn(found: Any) -> dict[str, list[Any]]:
    """Return what is drawn for each part, as far as no other part enters."""
    world = build_world(found)
    network = network_of(found, world)
    trainer, session = Learner().learn(found, network, lambda d, f: 1.0, 4, lambda *_: None)
    network.records.discard()
    devices = np.arange(4)
    batch = trainer.examples.training(0, 1)[0]
    return {
        # The phases of the fields; gains are functions of positions too.
        "channel": [network._air.setup.error_key],
        "mobility": [
            world.motion.position_m(devices, np.arange(3.0)).tolist(),
            world.flops_per_s.tolist(), world.heights.lowest_m.tolist(),
        ],
        "data": [
            [task.train for task in load_tasks(found)], trainer.examples.digests,
            batch.ids.tolist(),
        ],
        "model": [each.tolist() for each in trainer._kernels.initial_adapter(0).a],
        "protocol": [session.seed],
        "gains": [world.channel.gain_blocks(devices[:3], devices[1:], 0, 4, 1_000_000).tolist()],
    }  # fmt: skip


def test_each_part_follows_its_seed_alone(tmp_path: Path) -> None:
    """Law: a part's draws are those of a scenario with that seed; the others do not change."""
    one, two = (drawn(scenario(tmp_path, f"seed={seed}")) for seed in (1, 2))
    fixed = drawn(scenario(tmp_path, "seed=2", *[f"seeds.{part}=1" for part in PARTS]))
    assert fixed == one
    for part in PARTS:
        assert one[part] != two[part]
        mixed = drawn(scenario(tmp_path, f"seeds.{part}=2"))
        for other in PARTS:
            assert mixed[other] == (two if part == other else one)[other], (part, other)
        # Gains depend on the channel, and on where the devices are.
        assert (mixed["gains"] == one["gains"]) == (part not in ("channel", "mobility")), part
    # The same places and another channel; both together are those of the other scenario.
    both = drawn(scenario(tmp_path, "seeds.channel=2", "seeds.mobility=2"))
    assert both["gains"] == two["gains"]


def test_a_result_of_training_belongs_to_its_order_of_examples(tmp_path: Path) -> None:
    """Another seed of the data gives another key in the cache, even for equal examples."""
    keys = set()
    for settings in ((), ("seeds.data=1",), ("seeds.data=2",), ("seeds.model=2", "seeds.data=2")):
        found = scenario(tmp_path, *settings)
        network = network_of(found, build_world(found))
        trainer, _ = Learner().learn(found, network, lambda d, f: 1.0, 4, lambda *_: None)
        network.records.discard()
        trainer.examples.digests[:] = ["equal"] * 4
        keys.add(trainer.train(0, 1, None).key)
    assert len(keys) == 3


def test_seeds_can_be_swept_and_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "swept.yaml"
    path.write_text(TEXT + "sweep: {seeds.data: [1, 2]}\n", "utf-8")
    runs = list(plan(str(path), ["repeat=2"]))
    assert sorted((run.scenario.seed, run.scenario.seed_of("data")) for run in runs) == [
        (1, 1), (1, 2), (2, 1), (2, 2),
    ]  # fmt: skip
    with pytest.raises(ScenarioError, match=r"seeds\.model"):
        scenario(tmp_path, "seeds.model=-1")
    with pytest.raises(ScenarioError, match="seeds"):
        scenario(tmp_path, "seeds.weather=1")
