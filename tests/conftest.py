"""Shared fixtures: small worlds and small language models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wnsim.air.quality import Prediction
from wnsim.channel import (
    Carrier,
    Channel,
    FreeSpace,
    Geometry,
    NoFading,
    Propagation,
    ReplayTable,
    Shadowing,
)
from wnsim.channel.heights import Heights
from wnsim.core.clock import Clock
from wnsim.core.units import dbm_to_w
from wnsim.faults import Interrupted, Timeline
from wnsim.mac import Ofdma, Scheduled
from wnsim.mobility import Motion, Static
from wnsim.network import AirOptions, Network
from wnsim.phy import Phy, Shannon
from wnsim.scenario.spec.plan import plan
from wnsim.scenario.spec.schema import Scenario
from wnsim.world import World
from wnsim.world import positions_m as positions_of

BLOCK_NS = 1_000_000
QUICK = frozenset(
    {
        "access",
        "antennas",
        "density",
        "geography",
        "locks",
        "metrics",
        "mobility_errors",
        "partition",
        "path_loss",
        "penetration",
        "positions",
        "robust",
        "statistics",
        "streams",
        "tables",
        "topology",
        "trace_errors",
        "trace_formats",
    }
)
"""Test modules of the marker `quick`: less than a minute in total."""
LONG = (
    "jobs", "whole", "pages", "figures", "hostile", "degenerate_results", "engines", "ranks",
    "report", "docs", "api", "launch", "dask", "golden", "user_methods", "plugins", "user_rules",
)  # fmt: skip
"""Longest test modules, which parallel workers take first, so that they end together."""
SMALL = {"local_steps": 3, "batch_size": 4, "train_examples": 24, "test_examples": 4}
"""Parameters of a short training."""


@pytest.fixture
def scenario_of(tmp_path: Path) -> Callable[[str], Scenario]:
    """Return a reader of scenarios from the text of a YAML file that describes one run."""

    def read(text: str) -> Scenario:
        file = tmp_path / "scenario.yaml"
        file.write_text(text, "utf-8")
        (run,) = plan(str(file))
        return run.scenario

    return read


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of quick modules, and begin with the longest ones."""
    for item in items:
        if _module(item) in QUICK:
            item.add_marker(pytest.mark.quick)
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(_module(item), len(LONG)))


def _module(item: pytest.Item) -> str:
    return item.path.stem.removeprefix("test_")


@pytest.fixture(scope="session")
def hold_session() -> Callable[..., Any]:
    """Return a runner of a session to its end, after which no message is left."""
    from fl.session import PROTOCOLS

    def hold(
        network: Network, trainer: Any, learning: Any, compute_time_s: Callable[[int, float], float]
    ) -> Any:
        session = PROTOCOLS[type(learning.protocol)](
            network, trainer, learning, compute_time_s, len(trainer.task_of), 1,
            lambda number, time_s, accuracy: None,
        )  # fmt: skip
        network.env.run(until=session.done)
        network.close()
        assert network.in_flight == 0
        assert not any(store.items for store in network.inbox)
        return session

    return hold


@pytest.fixture
def svg_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save figures in one format, for tests of their numbers and pages."""
    monkeypatch.setattr("wnsim.figures.style.PICTURES", {".svg": {"metadata": {"Date": None}}})


@pytest.fixture(scope="session")
def make_network() -> Callable[..., Network]:
    """Return a maker of networks: static devices in free space by default."""

    def make(
        positions_m: tuple[tuple[float, float], ...] = ((0.0, 0.0), (100.0, 0.0)),
        *,
        motion: Motion | None = None,
        fading: object = None,
        path_loss: object = None,
        shadowing: Shadowing | None = None,
        mac: Scheduled | None = None,
        phy: Phy | None = None,
        bandwidth_hz: float = 20e6,
        tx_power_dbm: float = 23.0,
        block_ns: int = BLOCK_NS,
        csi_delay_s: float = 0.0,
        engine: str = "windowed",
        prediction: Prediction = "none",
        replay: ReplayTable | None = None,
        seed: int = 1,
        stations_m: tuple[tuple[float, float], ...] = (),
        subbands: int = 1,
        heights: Heights | None = None,
        faults: dict[str, Any] | None = None,
        propagation_delay: bool = False,
        **options: Any,
    ) -> Network:
        if motion is None:
            static = Static(layout="given", positions_m=positions_m)
            motion = static.motion(len(positions_m), (1e6, 1e6), seed)
        count = len(motion.names)
        timeline, inner = None, motion
        if faults is not None:
            stations = [f"station-{number}" for number in range(len(stations_m))]
            timeline = Timeline([*motion.names, *stations], count, seed, **faults)
            motion = Interrupted(motion, timeline.away)
        places_m = np.array(stations_m, dtype=np.float64).reshape(-1, 2)
        nodes = count + len(places_m)
        heights = heights or Heights.constant(np.full(count, 1.5))
        channel = Channel(
            Propagation(
                path_loss or FreeSpace(), shadowing or Shadowing(sigma_db=0.0), fading or NoFading()
            ),
            Carrier(3.5e9, bandwidth_hz=bandwidth_hz, subbands=subbands),
            Geometry(
                heights.joined(np.full(len(places_m), 1.5)),
                lambda devices, t_s: positions_of(inner, places_m, devices, t_s),
                motion.max_speed_mps,
            ),
            seed,
            dark=None if timeline is None else timeline.dark,
        )
        world = World(
            motion=motion,
            channel=channel,
            phy=phy or Shannon(),
            tx_power_w=np.full(nodes, float(dbm_to_w(tx_power_dbm))),
            noise_figure_db=np.full(nodes, 9.0),
            flops_per_s=np.full(count, 1e12),
            bandwidth_hz=bandwidth_hz,
            stations_m=places_m,
            faults=timeline,
            heights=heights,
            station_height_m=1.5,
            propagation_delay=propagation_delay,
        )
        air = AirOptions(block_ns, csi_delay_s, engine, prediction, replay)
        return Network(Clock(), world, mac or Ofdma(), air, seed, **options)

    return make


@pytest.fixture(scope="session")
def tokenizer():  # type: ignore[no-untyped-def]
    """Return the shipped tokenizer."""
    from transformers import AutoTokenizer

    from fl.models.language_model import TINY

    return AutoTokenizer.from_pretrained(TINY)


@pytest.fixture
def make_lm(tokenizer):  # type: ignore[no-untyped-def]
    """Return a maker of small causal language models with random weights, always the same."""

    def make(kind: str = "llama"):  # type: ignore[no-untyped-def]
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        sizes = {
            "llama": {
                "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 2,
            },
            "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
            "mixtral": {
                "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4,
            },
        }[kind]  # fmt: skip
        config = AutoConfig.for_model(
            kind,
            vocab_size=len(tokenizer),
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **sizes,
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(config)
        return model.requires_grad_(False).eval()

    return make


@pytest.fixture
def make_trainer(make_lm, tokenizer):  # type: ignore[no-untyped-def]
    """Return a maker of trainers on a small random model and two generated tasks."""

    def make(  # type: ignore[no-untyped-def]
        kind: str = "llama",
        devices: int = 3,
        tasks=None,
        store=None,
        micro_batch_tokens=1024,
        update_faults=None,
        **settings,
    ):
        from fl.config import Computing, Learning
        from fl.tasks import GENERATED, generate
        from fl.trainer import Trainer

        learning = Learning(
            **SMALL | {"trainer": Computing(micro_batch_tokens=micro_batch_tokens)} | settings
        )
        tasks = tasks or [generate(name, 24, 4, 1) for name in list(GENERATED)[:2]]
        return Trainer(
            learning,
            tasks,
            make_lm(kind),
            tokenizer,
            devices,
            seed=1,
            store=store,
            update_faults=update_faults,
        )

    return make


@pytest.fixture
def learn_over(make_trainer):  # type: ignore[no-untyped-def]
    """Return a runner of federations on a network; it returns network, trainer and session."""

    def run(  # type: ignore[no-untyped-def]
        network,
        devices=4,
        *,
        compute_s=lambda device, flops: 1.0 + device,
        update_faults=None,
        **settings,
    ):
        from fl.config import Learning
        from fl.session import PROTOCOLS

        trainer = make_trainer(devices=devices, update_faults=update_faults, **settings)
        learning = Learning(**SMALL | settings)
        session = PROTOCOLS[type(learning.protocol)](
            network, trainer, learning, compute_s, devices, 1, lambda number, time_s, accuracy: None
        )
        network.env.run(until=session.done)
        return network, trainer, session

    return run
