"""Saturated 802.11a stations: packets per CPU second of both engines, beside those of ns-3.

    python tests/benchmarks/wifi_saturation.py [--packets 749] [--ns3 PROGRAM]

Stations on a circle send to their neighbors; on a small circle all are equally strong, on one of
20 m frames that collide may survive. The figures of ns-3 are those of the reference tables, made
on another machine; with `--ns3` a compiled ns3_bench (arguments N MB tcp ht spectrum nakagami
rate saturate phyrate seed radius) is run here as well. Bounds: packets over Shannon's rate at
the mean SNR, and two events of the clock for each transfer.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from reference_tables import rows
from test_csma import PACKET_BITS, circle, make_world, offered, packets

from wnsim.air import ENGINES, Attempt, Setup, Transmission
from wnsim.core import streams
from wnsim.core.clock import Clock
from wnsim.mac import Csma
from wnsim.phy import Wifi


def measure(count: int, radius_m: float, each: int, engine: str) -> tuple[float, ...]:
    """Return CPU and simulated seconds, delivered packets, events, and the bound of the time."""
    world = make_world(circle(count, radius_m), Wifi(rate_mbps=24.0))
    env, ended = Clock(), []
    modem = world.phy.modem(world.bandwidth_hz, 1, 1_000_000)
    key = streams.key(1, "errors")
    setup = Setup(env, world, Csma(arq=False), modem, 1, 0, "none", key, False, PACKET_BITS)
    air = ENGINES["csma"][engine](setup, ended.append)
    for number, offer in enumerate(offered(count, each)):
        attempt = Attempt(
            number, offer.source, offer.targets[0], offer.bits, offer.limit_ns, "deadline"
        )
        env.at(offer.at_ns, lambda attempt=attempt: air.push(Transmission((attempt,))))
    start_s = time.process_time()
    env.run()
    cpu_s = time.process_time() - start_s
    bound_s = sum(
        attempt.size_bits * attempt.airtime_s / attempt.capacity_bits for attempt in ended
    )
    ended_s = max(attempt.ended_ns for attempt in ended) * 1e-9
    return cpu_s, ended_s, packets(ended), env.events, bound_s


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packets", type=int, default=749, help="of each station")
    parser.add_argument("--ns3", type=Path, help="a compiled ns3_bench")
    options = parser.parse_args()
    print(
        "stations radius_m engine    packets/CPU-s  simulated_s  delivered  events  >=s by Shannon"
    )
    for count in (2, 5, 20):
        for radius_m in (0.4, 20.0):
            for engine, each in (("windowed", options.packets), ("packet", 20)):
                cpu_s, time_s, arrived, events, bound_s = measure(count, radius_m, each, engine)
                print(
                    f"{count:8d} {radius_m:8.1f} {engine:9s} {count * each / cpu_s:13.0f} "
                    f"{time_s:12.3f} {arrived:10.0f} {events:7.0f} {bound_s:15.3f}"
                )
            if options.ns3:
                megabytes = str(options.packets * 1400 / 2**20)
                command = [
                    str(options.ns3), str(count), megabytes, "0", "0", "0", "0", "100Mbps", "1",
                    "OfdmRate24Mbps", "1", str(radius_m),
                ]  # fmt: skip
                done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                value = {
                    name: float(re.search(rf"\b{name}=([\d.]+)", done)[1])
                    for name in ("sim_done", "run_cpu", "app_pkts", "events")
                }
                speed = value["app_pkts"] / value["run_cpu"]
                print(
                    f"{count:8d} {radius_m:8.1f} ns-3 here {speed:13.0f} "
                    f"{value['sim_done']:12.3f} {value['app_pkts']:10.0f} {value['events']:7.0f}"
                )
        table = [
            row
            for row in rows("wifi_dcf_saturation_ns3.csv")
            if row["rate_mbps"] == "24" and int(row["n_nodes"]) == count
        ]
        speeds = [float(row["delivered"]) / float(row["run_cpu_s"]) for row in table]
        print(f"{count:8d}      0.4 ns-3 file {sum(speeds) / len(speeds):13.0f}")


if __name__ == "__main__":
    main()
