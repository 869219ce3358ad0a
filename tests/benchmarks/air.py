"""Speed of the network side, each figure beside its target and lower bounds; run by hand.

    python tests/benchmarks/air.py [links] [ofdma] [reuse] [gain]

Process CPU seconds of one thread, medians; what is compared runs in one process, alternately.
Lower bounds: two events for each transfer and one for each time that the channel changes while it
is in use; and the simulated time that Shannon's bound needs for the bits, as a share of the time
that was used.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

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

from wnsim.air import coherent_block_ns
from wnsim.core.clock import Clock
from wnsim.core.transfer import Message
from wnsim.network import AirOptions, Network
from wnsim.network.transport import Transport
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.spec.schema import SCENARIO, Scenario
from wnsim.world import World


def made(**sections: Any) -> tuple[Scenario, World, Network]:
    """Return a scenario without learning, its world and its network."""
    data = {"name": "benchmark", "traffic": {"size_bytes": 1}} | sections
    scenario = SCENARIO.validate_json(json.dumps(data))
    world = build_world(scenario)
    radio = scenario.radio
    block_ns = coherent_block_ns(radio.frequency_hz, world.motion.max_speed_mps)
    air = AirOptions(block_ns, radio.csi_delay_s, scenario.engine)
    transport = Transport(packet_header_bytes=0)
    network = Network(Clock(), world, scenario.mac, air, scenario.seed, transport=transport)
    return scenario, world, network


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds that something takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def bounds(network: Network, world: World) -> str:
    """Return the lower bounds beside what was used."""
    transfers = network.transfers
    on_air_s = sum(t.channel_access_s + t.airtime_s + t.retransmission_s for t in transfers)
    doppler_hz = 2 * world.motion.max_speed_mps * 3.5e9 / 299_792_458
    changes = on_air_s * doppler_hz / 0.1
    carried = sum(t.carried_bytes for t in transfers)
    possible = sum(t.capacity_bytes for t in transfers)
    blocks = sum(t.blocks for t in transfers)
    least = 2 * len(transfers) + changes
    return (
        f"{network.env.events} events for {blocks} blocks (two for each transfer and one for each "
        f"change of a channel: {least:.0f}); Shannon time over time used {carried / possible:.2f}"
    )


def links(count: int, engine: str, size_bytes: int) -> tuple[float, Network, World]:
    """Return the CPU seconds of links that are all on the air, walkers and their neighbors."""
    side_m = 60.0 * math.ceil(math.sqrt(count))
    sections = {
        "area_m": [side_m, side_m],
        "devices": {"count": 2 * count},
        "mobility": {"model": "random-waypoint", "speed_mps": [1, 1]},
        "channel": {"path_loss": {"model": "log-distance", "exponent": 3.0}},
        "radio": {"csi_delay_s": 0.01, "phy": {"model": "nr"}, "bandwidth_hz": 20e6},
        "mac": {"model": "ofdma"},
        "engine": engine,
    }
    _, world, network = made(**sections)
    view = network.snapshot()

    def work() -> None:
        events = []
        for device in range(count):
            target = int(view.nearest(device, 1)[0])
            events.append(network.send(Message(device, target, size_bytes, 1e4)))
        network.env.run(until=network.env.all_of(events))

    return cpu_s(work), network, world


def benchmark_links() -> None:
    """20 links x 10 MiB: windowed against packet (bar: 7), and 500 links against 20 (bar: 10)."""
    links(4, "windowed", 10_000)
    # The packet engine is measured on a part of the bits, the same part for both.
    part = 10 * 2**20 // 20
    ratios = []
    for _ in range(3):
        fast, network, _ = links(20, "windowed", part)
        slow, oracle, _ = links(20, "packet", part)
        assert [repr(t) for t in network.transfers] == [repr(t) for t in oracle.transfers]
        ratios.append(slow / fast)
    print(f"20 links x 0.5 MiB, packet over windowed: {statistics.median(ratios):.0f} (bar: 7)")
    few, many = [], []
    for _ in range(3):
        seconds, network, world = links(20, "windowed", 10 * 2**20)
        few.append(seconds)
        seconds, crowd, _ = links(500, "windowed", 10 * 2**20)
        many.append(seconds)
    blocks = sum(t.blocks for t in network.transfers)
    print(f"20 links x 10 MiB: {statistics.median(few):.2f} s, {blocks / few[-1]:.3g} blocks/s")
    print("  ", bounds(network, world))
    blocks = sum(t.blocks for t in crowd.transfers)
    ratio = statistics.median(b / a for a, b in zip(few, many, strict=True))
    print(
        f"500 links x 10 MiB: {statistics.median(many):.2f} s, {blocks / many[-1]:.3g} blocks/s, "
        f"{ratio:.1f} times 20 links (bar: 10)"
    )


def rounds(scenario: Scenario, network: Network) -> float:
    """Return the CPU seconds of a scenario's traffic."""
    traffic = scenario.traffic
    assert traffic is not None
    over = network.env.process(traffic.process(network, lambda number: None))
    return cpu_s(lambda: network.env.run(until=over))


def benchmark_ofdma() -> None:
    """20 devices, 4 neighbors, 74 MB, 20 rounds, 1 m/s (bar: 30 s)."""
    for phy in ({"model": "shannon", "gap_db": 3, "max_bps_hz": 7.4, "bler": 0.1}, {"model": "nr"}):
        scenario, world, network = made(
            devices={"count": 20},
            mobility={"model": "random-waypoint", "speed_mps": [1, 1]},
            radio={"phy": phy},
            mac={"model": "ofdma"},
            traffic={
                "size_bytes": 74_000_000, "neighbors": 4, "rounds": 20, "lifetime_s": 1000,
            },
        )  # fmt: skip
        seconds = rounds(scenario, network)
        delivered = sum(t.delivered for t in network.transfers)
        print(
            f"OFDMA, {phy['model']}: {seconds:.1f} s CPU (bar: 30), {network.now_s:.0f} s "
            f"simulated, {delivered} of {len(network.transfers)} delivered"
        )
        print("  ", bounds(network, world))


def benchmark_reuse() -> None:
    """Up to 1,000 devices on 4 km2, 10 neighbors, 1 MB, interference (bars: 120 s, 2 GiB, 1.2)."""
    seconds, transfers = [], []
    for count, number in ((100, 10), (316, 10), (1000, 10)):
        side_m = 2000.0 * math.sqrt(count / 1000)
        scenario, world, network = made(
            area_m=[side_m, side_m],
            devices={"count": count},
            mobility={"model": "random-waypoint", "speed_mps": [1, 1]},
            radio={
                "bandwidth_hz": 100e6,
                "phy": {"model": "shannon", "gap_db": 3, "max_bps_hz": 7.4, "bler": 0.1},
            },
            mac={"model": "reuse", "protection_ratio_db": 10},
            traffic={
                "size_bytes": 1_000_000, "neighbors": 10, "rounds": number, "lifetime_s": 60,
            },
        )  # fmt: skip
        seconds.append(rounds(scenario, network))
        transfers.append(len(network.transfers))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        delivered = sum(t.delivered for t in network.transfers) / transfers[-1]
        print(
            f"reuse, {count} devices: {seconds[-1]:.1f} s CPU, {transfers[-1]} transfers, "
            f"{delivered:.1%} delivered, {network.now_s:.0f} s simulated, {memory:.2f} GiB"
        )
        print("  ", bounds(network, world))
    exponent = math.log(seconds[-1] / seconds[0]) / math.log(transfers[-1] / transfers[0])
    print(f"exponent from 100 to 1,000 devices: {exponent:.2f} (bar: 1.2)")


def benchmark_gain() -> None:
    """Path gain of 190 moving links (bar: 10 ms an update), fading (bar: 5 M samples/s)."""
    _, world, _ = made(
        devices={"count": 20}, mobility={"model": "random-waypoint", "speed_mps": [1, 3]}
    )
    source, target = np.triu_indices(20, 1)
    step_s = world.channel.large_scale.step_s
    took = []
    for update in range(40):
        at_s = np.array([(update + 0.5) * step_s])
        took.append(cpu_s(lambda at_s=at_s: world.channel.gain_db(source, target, at_s)))
    print(f"190 links, all of the gain: {1e3 * statistics.median(took):.2f} ms an update (bar: 10)")
    block_ns, blocks = 4_000_000, 1024
    took = []
    for window in range(8):
        first = window * blocks
        took.append(
            cpu_s(
                lambda first=first: world.channel.gain_blocks(
                    source, target, first, blocks, block_ns
                )
            )
        )
    rate = source.size * blocks / statistics.median(took)
    print(f"fading and all: {rate / 1e6:.1f} M link-samples/s (bar: 5)")


def main() -> None:
    """Run the named benchmarks, or all."""
    warnings.simplefilter("ignore")
    known = {
        "links": benchmark_links, "ofdma": benchmark_ofdma, "gain": benchmark_gain,
        "reuse": benchmark_reuse,
    }  # fmt: skip
    for name in sys.argv[1:] or known:
        known[name]()


if __name__ == "__main__":
    main()
