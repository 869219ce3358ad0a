"""Speed of Wi-Fi: against an earlier version, against ns-3, and in an office; run by hand.

    python tests/benchmarks/wifi.py [--ns3 PROGRAM] [--ns3-ofdma PROGRAM] [--base COMMIT]
                                    [--seeds N]

20 saturated stations on a circle send to their neighbors: with a radius of 0.4 m all frames are
equally strong, with 20 m frames that collide may survive. Each measurement is a process of its own,
in turns with the earlier version (a git worktree) and with ns-3, seed by seed; what is compared are
medians of delivered packets per CPU second, after compiled code has been loaded. `--ns3` names a
compiled program that takes the arguments N MB tcp ht spectrum nakagami rate saturate phyrate seed
radius and prints run_cpu= and app_pkts=; ns-3 runs UDP and IP on top, and the receiver of every
station.

With OFDMA an access point and its stations have full queues in both directions; both engines are
measured, and with `--ns3-ofdma` a program that takes the arguments MCS STATIONS UP DOWN SEED
SECONDS BSRP TIMER TRACE and prints goodputs in its columns 10 and 11, and cpu=.

The office is simulated with its channel, mobility and network, for a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STATIONS, PACKET_BYTES = 20, 1400
EQUAL_M, UNEQUAL_M = 0.4, 20.0
# Names of fields that had another one in the earlier version.
RENAMED = {"failed": "lost", "failed_ns": "lost_ns"}
FIELDS = (
    "serial", "acked_bits", "sent", "failed", "repeated", "started_ns", "ended_ns", "access_ns",
    "failed_ns", "airtime_s", "snr_sum", "capacity_bits",
)  # fmt: skip


def saturated(radius_m: float, each: int, aggregated: bool, seed: int) -> dict[str, Any]:
    """Simulate saturated stations, in whichever version is first on the path."""
    sys.path.insert(0, "tests")
    from cases import imported
    from test_csma import PACKET_BITS, circle, make_world, offered

    from wnsim import air, mac, phy

    streams, clock = (
        imported("wnsim.core.streams", "wnsim.streams"),
        imported("wnsim.core.clock", "wnsim.clock"),
    )
    old = hasattr(air, "Flow")
    attempt_of, transmission_of = (air.Flow, air.Stream) if old else (air.Attempt, air.Transmission)
    access, radio = mac.Csma(arq=False), phy.Wifi(rate_mbps=24.0)
    if aggregated:
        access = mac.Csma(arq=False, aggregation=mac.csma.Aggregation())
        radio = phy.Wifi(standard="n", mcs=4)

    def run(packets: int) -> tuple[float, list[Any]]:
        world = make_world(circle(STATIONS, radius_m), radio)
        env, ended = clock.Clock(), list[Any]()
        modem = world.phy.modem(world.bandwidth_hz, 1, 1_000_000)
        key = streams.key(seed, "errors")
        setup = air.Setup(env, world, access, modem, 1, 0, "none", key, False, PACKET_BITS)
        began = time.process_time()
        engine = air.ENGINES["csma"]["windowed"](setup, ended.append)
        for number, offer in enumerate(offered(STATIONS, packets)):
            attempt = attempt_of(
                number, offer.source, offer.targets[0], offer.bits, offer.limit_ns, "deadline"
            )
            env.at(offer.at_ns, lambda each=attempt: engine.push(transmission_of((each,))))
        env.run()
        return time.process_time() - began, ended

    run(20)
    seconds, ended = run(each)
    names = [RENAMED.get(name, name) if old else name for name in FIELDS]
    values = [[getattr(attempt, name) for name in names] for attempt in ended]
    packets = sum(attempt.acked_bits for attempt in ended) / PACKET_BITS
    return {
        "speed": packets / seconds,
        "outcome": hashlib.sha256(repr(values).encode()).hexdigest(),
    }


def several(engine: str, count: int, simulated_s: float, seed: int) -> dict[str, Any]:
    """Simulate an access point and stations with full queues in both directions, by OFDMA."""
    sys.path.insert(0, "tests")
    from test_csma import PACKET_BITS
    from test_wifi_ofdma import drive, full_queues

    from wnsim.air import ENGINES

    of, case = ENGINES["csma"][engine], full_queues(4, count, both=True)
    drive(*case, until_ns=100_000_000, engine=of)
    began = time.process_time()
    attempts, _ = drive(*case, until_ns=round(1e9 * simulated_s), seed=seed, engine=of)
    seconds = time.process_time() - began
    packets = sum(attempt.acked_bits for attempt in attempts) / PACKET_BITS
    return {"speed": packets / seconds}


def office(count: int, simulated_s: float) -> dict[str, Any]:
    """Simulate walkers in an office of 24 m² each, with background traffic and large messages."""
    from cases import cpu_s, network_of

    side_m = math.sqrt(24.0 * count)
    scenario, _, network = network_of(
        {
            "area_m": [1.2 * side_m, side_m / 1.2],
            "devices": {"count": count, "tx_power_dbm": 16, "height_m": 1.2},
            "mobility": {"model": "random-waypoint", "speed_mps": [0.3, 0.8], "pause_s": 20},
            "channel": {
                "path_loss": {"model": "inh", "variant": "open"}, "fading": {"model": "rayleigh"},
            },
            "radio": {
                "frequency_hz": 5.2e9, "bandwidth_hz": 80e6,
                "phy": {"model": "wifi", "standard": "ax", "streams": 2, "code": "ldpc"},
            },
            "mac": {"model": "csma", "aggregation": {}, "edca": {}},
            "background": [
                {"model": "poisson", "rate_bps": 50_000, "size_bytes": 1500, "category": "voice"}
            ],
            "traffic": {
                "size_bytes": 18_000_000, "neighbors": 1, "rounds": 20, "lifetime_s": 1000,
            },
        }
    )  # fmt: skip
    env = network.env
    env.process(scenario.traffic.process(network, lambda number: None))
    for number, each in enumerate(scenario.background):
        each.start(network, count, scenario.seed, number)
    env.run(until=1_000_000_000)
    seconds = cpu_s(lambda: env.run(until=round(1e9 * (1.0 + simulated_s))))
    transfers = list(network.transfers)
    return {"seconds": seconds * 60.0 / simulated_s, "messages": len(transfers)}


def measured(tree: Path, case: str, *values: object) -> dict[str, Any]:
    """Measure a case in a checkout, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(HERE / "wifi.py"), "--case", case, *map(str, values)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{case} in {tree}:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def ns3_speed(program: Path, radius_m: float, each: int, aggregated: bool, seed: int) -> float:
    """Return the packets that ns-3 delivers in a CPU second."""
    megabytes = each * PACKET_BYTES / 2**20
    command = [
        program, STATIONS, megabytes, 0, int(aggregated), 0, 0, "100Mbps", 1, "OfdmRate24Mbps",
        seed, radius_m,
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    cpu_s, packets = (
        float(re.search(rf"\b{name}=([\d.]+)", done.stdout)[1]) for name in ("run_cpu", "app_pkts")
    )
    return packets / cpu_s


def saturation(base: Path, ns3: Path | None, seeds: int) -> None:
    """Print the rows of saturated stations."""
    print("| 20 saturated stations | packets per CPU second | against | ratio | bar | holds |")
    print("|---|---|---|---|---|---|")
    works = (
        ("unequal powers, 749 packets each", UNEQUAL_M, 749, False, 5.0, 30.0),
        ("equal powers, 749 packets each", EQUAL_M, 749, False, None, None),
        ("A-MPDU, unequal powers, 3,745 packets each", UNEQUAL_M, 3745, True, None, 100.0),
        ("A-MPDU, equal powers, 3,745 packets each", EQUAL_M, 3745, True, None, 100.0),
    )
    for work, radius_m, each, aggregated, of_base, of_ns3 in works:
        now, before, other, same = [], [], [], True
        for seed in range(1, seeds + 1):
            options = radius_m, each, int(aggregated), seed
            found = measured(ROOT, "saturated", *options)
            now.append(found["speed"])
            if not aggregated:
                earlier = measured(base, "saturated", *options)
                before.append(earlier["speed"])
                same = same and earlier["outcome"] == found["outcome"]
            if ns3 is not None:
                other.append(ns3_speed(ns3, radius_m, each, aggregated, seed))
        speed = statistics.median(now)
        outcome = "same outcomes to the bit" if same else "OTHER OUTCOMES"
        for against, speeds, bar in (
            (f"earlier version, {outcome}", before, of_base), ("ns-3", other, of_ns3)
        ):  # fmt: skip
            if speeds:
                ratio = speed / statistics.median(speeds)
                holds = "" if bar is None else "yes" if ratio >= bar else "NO"
                text = f"{statistics.median(speeds):,.0f} ({against})"
                print(
                    f"| {work} | {speed:,.0f} | {text} | {ratio:.1f} | {bar or ''} | {holds} |",
                    flush=True,
                )
    if ns3 is None:
        print("ns-3 was not measured: no compiled program was named with --ns3.")


def ns3_several(program: Path, count: int, simulated_s: float, seed: int) -> float:
    """Return the packets that ns-3 delivers in a CPU second, by OFDMA in both directions."""
    command = [program, 4, count, 1, 1, seed, simulated_s, 0, 0, 0]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    columns, cpu = done.stdout.splitlines()[-1].split()[:2]
    mbps = sum(map(float, columns.split(",")[9:11]))
    packets = 1e6 * mbps * simulated_s / (8 * (PACKET_BYTES + 28))
    return packets / float(cpu.removeprefix("cpu="))


def ofdma(ns3: Path | None, seeds: int) -> None:
    """Print the rows of exchanges with several stations."""
    print("\n| OFDMA, full queues in both directions | windowed | packet | ratio | ns-3 | ratio |")
    print("|---|---|---|---|---|---|")
    for count in (4, 9):
        speeds: dict[str, list[float]] = {"windowed": [], "packet": [], "ns-3": []}
        for seed in range(1, seeds + 1):
            for engine in ("windowed", "packet"):
                found = measured(ROOT, "several", engine, count, 2.0, seed)
                speeds[engine].append(found["speed"])
            if ns3 is not None:
                speeds["ns-3"].append(ns3_several(ns3, count, 2.0, seed))
        mine, slow, *other = (statistics.median(each) for each in speeds.values() if each)
        theirs = f"{other[0]:,.0f} | {mine / other[0]:.1f}" if other else "--"
        print(
            f"| {count} stations | {mine:,.0f} | {slow:,.0f} | {mine / slow:.1f} | {theirs} |",
            flush=True,
        )


def offices() -> None:
    """Print the rows of the office."""
    print("\n| office of stations | CPU s a simulated minute | messages | bar | holds |")
    print("|---|---|---|---|---|")
    seconds = {}
    for count in (25, 50, 100, 200):
        found = measured(ROOT, "office", count, 60.0)
        seconds[count] = found["seconds"]
        bar, holds = "", ""
        if count == 100:
            bar, holds = "60", "yes" if found["seconds"] <= 60.0 else "NO"
        print(
            f"| {count} | {found['seconds']:.1f} | {found['messages']} | {bar} | {holds} |",
            flush=True,
        )
    exponent = math.log(seconds[200] / seconds[25]) / math.log(200 / 25)
    verdict = "holds" if exponent <= 1.3 else "NO"
    print(f"CPU time grows with the number of stations with the exponent {exponent:.2f}: {verdict}")


def main() -> None:
    """Measure one case, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ns3", type=Path, help="a compiled program")
    parser.add_argument("--ns3-ofdma", type=Path, help="a compiled program")
    parser.add_argument("--base", default="978de87")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--case", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        warnings.simplefilter("ignore")
        case, *values = options.case
        if case == "several":
            engine, *numbers = values
            found = several(engine, int(numbers[0]), float(numbers[1]), int(numbers[2]))
        elif case == "office":
            found = office(int(values[0]), float(values[1]))
        else:
            radius_m, each, aggregated, seed = values
            found = saturated(float(radius_m), int(each), aggregated == "1", int(seed))
        print(json.dumps(found))
        return
    from compare import checkout

    with checkout(options.base) as base:
        saturation(base, options.ns3, options.seeds)
    ofdma(options.ns3_ofdma, options.seeds)
    offices()


if __name__ == "__main__":
    main()
