"""One measurement of the network side, in whichever tree is first on the path; see `compare.py`.

    python cases.py CASE

Prints a JSON object: process CPU seconds of one thread after the imports, the peak of memory, and
what was done. Runs with this version and with the one it is compared to, whose modules and keys
have other names.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib
import json
import math
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np


def imported(*names: str) -> Any:
    """Return the first of some modules that exists."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(" or ".join(names))


SCENARIO = imported("wnsim.scenario.spec.schema", "wnsim.scenario.schema").SCENARIO
build_world = imported("wnsim.scenario.simulation.build", "wnsim.scenario.build").build_world
simulation = imported("wnsim.scenario.simulation.simulate", "wnsim.scenario.simulate")
Message = imported("wnsim.core.transfer", "wnsim.transfer").Message
OLD = simulation.__name__ == "wnsim.scenario.simulate"
# Keys that had another name.
RENAMED = {"protection_ratio_db": "protect_db"}


def network_of(sections: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return a scenario without learning, its world and its network."""
    text = json.dumps({"name": "benchmark", "traffic": {"size_bytes": 1}} | sections)
    if OLD:
        for new, old in RENAMED.items():
            text = text.replace(f'"{new}"', f'"{old}"')
    scenario = SCENARIO.validate_json(text)
    world = build_world(scenario)
    return scenario, world, simulation.network_of(scenario, world)


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def traffic(sections: dict[str, Any]) -> dict[str, Any]:
    """Measure a scenario's traffic."""
    scenario, _, network = network_of(sections)
    over = network.env.process(scenario.traffic.process(network, lambda number: None))
    seconds = cpu_s(lambda: network.env.run(until=over))
    transfers = list(network.transfers)
    return {
        "seconds": seconds,
        "transfers": len(transfers),
        "delivered": sum(each.delivered for each in transfers) / len(transfers),
        "events": network.env.events,
        "simulated_s": network.now_s,
        "shannon": sum(each.carried_bytes for each in transfers)
        / max(sum(each.capacity_bytes for each in transfers), 1e-9),
    }


def fading() -> dict[str, Any]:
    """Gains of 190 links of walkers in 8 windows of 1024 samples."""
    walkers = {"model": "random-waypoint", "speed_mps": [1, 3]}
    _, world, _ = network_of({"devices": {"count": 20}, "mobility": walkers})
    source, target = np.triu_indices(20, 1)
    blocks = 1024

    def window(number: int) -> None:
        world.channel.gain_blocks(source, target, number * blocks, blocks, 4_000_000)

    window(0)
    took = [cpu_s(lambda number=number: window(number)) for number in range(1, 9)]
    seconds = statistics.median(took)
    return {"seconds": seconds, "rate": source.size * blocks / seconds}


def reuse(count: int, rounds: int, area_m2: float) -> dict[str, Any]:
    """Measure devices with interference: 1 MB to each of 10 neighbors in a round."""
    side_m = math.sqrt(area_m2)
    return traffic(
        {
            "area_m": [side_m, side_m],
            "devices": {"count": count},
            "mobility": {"model": "random-waypoint", "speed_mps": [1, 1]},
            "radio": {
                "bandwidth_hz": 100e6,
                "phy": {"model": "shannon", "gap_db": 3, "max_bps_hz": 7.4, "bler": 0.1},
            },
            "mac": {"model": "reuse", "protection_ratio_db": 10},
            "traffic": {
                "size_bytes": 1_000_000, "neighbors": 10, "rounds": rounds, "lifetime_s": 60,
            },
        }
    )  # fmt: skip


def ofdma() -> dict[str, Any]:
    """NR on bands of their own: 74 MB to each of 4 neighbors, 20 rounds."""
    return traffic(
        {
            "devices": {"count": 20},
            "mobility": {"model": "random-waypoint", "speed_mps": [1, 1]},
            "radio": {"phy": {"model": "nr"}},
            "mac": {"model": "ofdma"},
            "traffic": {
                "size_bytes": 74_000_000, "neighbors": 4, "rounds": 20, "lifetime_s": 1000,
            },
        }
    )  # fmt: skip


def links(count: int, size_bytes: int) -> dict[str, Any]:
    """Measure links that are all on the air at once, with NR."""
    side_m = 60.0 * math.ceil(math.sqrt(count))
    _, _, network = network_of(
        {
            "area_m": [side_m, side_m],
            "devices": {"count": 2 * count},
            "mobility": {"model": "random-waypoint", "speed_mps": [1, 1]},
            "channel": {"path_loss": {"model": "log-distance", "exponent": 3.0}},
            "radio": {"csi_delay_s": 0.01, "phy": {"model": "nr"}, "bandwidth_hz": 20e6},
            "mac": {"model": "ofdma"},
        }
    )
    view = network.snapshot()

    def work() -> None:
        events = []
        for device in range(count):
            target = int(view.nearest(device, 1)[0])
            events.append(network.send(Message(device, target, size_bytes, 1e4)))
        network.env.run(until=network.env.all_of(events))

    seconds = cpu_s(work)
    blocks = sum(each.blocks for each in network.transfers)
    return {"seconds": seconds, "blocks": blocks, "events": network.env.events}


def single() -> dict[str, Any]:
    """One link, one message of 1500 bytes at a time, 300 times."""
    _, _, network = network_of(
        {
            "devices": {"count": 2},
            "area_m": [40, 40],
            "mobility": {"model": "random-waypoint", "speed_mps": [1, 1]},
            "mac": {"model": "ofdma"},
        }
    )

    def work(messages: int) -> None:
        for _ in range(messages):
            network.env.run(until=network.send(Message(0, 1, 1500, 60.0)))
            # The next one is not in the same window of samples.
            network.env.run(until=network.env.timeout(10_000_000_000))

    work(20)
    return {"seconds": cpu_s(lambda: work(300)) / 300}


def bundled(name: str) -> dict[str, Any]:
    """Simulate all runs of a bundled scenario without learning, not counting files and figures."""
    api = imported("wnsim.scenario.api")
    seconds, events, transfers = 0.0, 0, 0
    for run in api.load(name):
        world = build_world(run.scenario)
        network = simulation.network_of(run.scenario, world)
        seconds += cpu_s(
            lambda scenario=run.scenario, world=world, network=network: simulation._simulate(
                scenario, world, network, lambda *progress: None, None, None
            )
        )
        events += network.env.events
        transfers += len(network.transfers)
    return {"seconds": seconds, "events": events, "transfers": transfers}


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "fading": fading,
    "reuse-100": lambda: reuse(100, 4, 0.4e6),
    "reuse-1000": lambda: reuse(1000, 10, 4e6),
    "reuse-1000-short": lambda: reuse(1000, 1, 4e6),
    "reuse-1000-sparse": lambda: reuse(1000, 3, 4e6),
    "reuse-10000": lambda: reuse(10_000, 3, 40e6),
    "network": lambda: bundled("network.yaml"),
    "highway": lambda: bundled("highway.yaml"),
    "cell": lambda: bundled("cell.yaml"),
    "ofdma": ofdma,
    "links-20": lambda: links(20, 10 * 2**20),
    "links-500": lambda: links(500, 10 * 2**20),
    "single": single,
}


def main() -> None:
    """Measure a case, after compiled code has been loaded for it."""
    warnings.simplefilter("ignore")
    name = sys.argv[1]
    # Small cases that load what is compiled, so that its time is not counted.
    links(2, 100_000)
    reuse(6, 1, 2400.0)
    found = CASES[name]()
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(found))


if __name__ == "__main__":
    main()
