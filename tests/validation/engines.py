"""The windowed engines against the packet engines, on random scenarios."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from validation.check import Finding, Row
from validation.networks import network
from wnsim.channel import (
    LogDistance,
    NoFading,
    OutOfRangeWarning,
    Rayleigh,
    TappedDelayLine,
    UmiStreetCanyon,
)
from wnsim.core.transfer import Message
from wnsim.mac import Cell, Csma, Ideal, Ofdma, Reuse, Tdma
from wnsim.mac.csma import Aggregation
from wnsim.mac.edca import CATEGORIES, Edca
from wnsim.mac.multi_user import MultiUser
from wnsim.mac.power_save import PowerSave
from wnsim.mac.rate_control import LastSnr, Minstrel
from wnsim.mac.sidelink import Sidelink
from wnsim.mobility import RandomWaypoint
from wnsim.network import Backhaul, Network
from wnsim.network.transport import Transport
from wnsim.phy import NrMcs, Shannon, Wifi

_SCHEDULED = (
    Ideal(), Tdma(), Tdma(turn_slots=3), Ofdma(), Ofdma(shared=True), Reuse(),
    Reuse(protection_ratio_db=5), Cell(), Cell(scheduler="round-robin"), Cell(scheduler="equal"),
)  # fmt: skip
_PHYS = (
    Shannon(gap_db=3.0, bler=0.1), NrMcs(harq_processes=4),
    NrMcs(harq="chase", harq_processes=3, table=2), NrMcs(harq="none", subcarrier_hz=30000),
)  # fmt: skip
_SIDELINKS = (
    Sidelink(period_slots=20, resources_per_period=5, counter=(1, 3)),
    Sidelink(period_slots=5, subchannels=2, resources_per_period=2, sensing=False),
    Sidelink(period_slots=60, resources_per_period=9, keep_probability=0.5, repetitions=1),
)
_CONTENTION = (
    Csma(), Csma(arq=False, retry_limit=2), Csma(cw_min=3, capture_db=5.0), Csma(edca=Edca()),
)  # fmt: skip
_ALL_OF_WIFI = {
    "edca": Edca(),
    "rts_threshold_bytes": 500,
    "power_save": PowerSave(interval_ms=10.0, awake_ms=1.0),
}
_SEVERAL = (
    Csma(
        aggregation=Aggregation(), ofdma=MultiUser(fewest=1),
        rate_control=Minstrel(interval_s=0.005, sample_share=0.3), **_ALL_OF_WIFI,
    ),
    Csma(
        aggregation=Aggregation(packets=3), ofdma=MultiUser(fewest=1, split="queue", timer_ms=1.0),
        rate_control=LastSnr(), arq=False, retry_limit=2, **_ALL_OF_WIFI,
    ),
    Csma(
        aggregation=Aggregation(packets=65), ofdma=MultiUser(), capture_db=5.0, **_ALL_OF_WIFI,
    ),
)  # fmt: skip
_AX = (Wifi(standard="ax"), Wifi(standard="ax", streams=2, code="ldpc", guard_interval_us=1.6))
_WIFIS = (Wifi(), Wifi(rate_mbps=24.0), Wifi(standard="n", guard_interval_us=0.4))


def equal_engines(full: bool) -> Finding:
    """Count random scenarios whose records differ between the engines."""
    result = []
    for name, macs, phys, most in (
        ("scheduled access", _SCHEDULED, _PHYS, 120),
        ("sidelink", _SIDELINKS, _PHYS, 120),
        ("Wi-Fi", _CONTENTION, _WIFIS, 120),
        ("Wi-Fi with OFDMA and all else", _SEVERAL, _AX, 200),
    ):
        count = most if full else 6
        with warnings.catch_warnings():
            # Devices may come closer than the path loss is made for.
            warnings.simplefilter("ignore", OutOfRangeWarning)
            wrong = sum(
                _records("windowed", seed, mac, phy) != _records("packet", seed, mac, phy)
                for seed, mac, phy in _cases(count, macs, phys)
            )
        what = f"windowed engine, {name}: random scenarios whose records differ"
        against = "packet engine, to the last bit"
        result.append(Row(what, against, count, float(wrong), 0.0, "mismatches"))
    return Finding(result)


def _cases(count: int, macs: tuple[Any, ...], phys: tuple[Any, ...]) -> Iterator[Any]:
    """Yield seeds with medium accesses and radios, all pairs of them in a random order."""
    pairs = list(itertools.product(macs, phys))
    order = np.random.default_rng(1).permutation(len(pairs))
    for seed in range(count):
        yield seed, *pairs[order[seed % order.size]]


def _records(engine: str, seed: int, mac: Any, phy: Any) -> tuple[Any, ...]:
    """Return all records of a random scenario, as text: a missing number equals itself."""
    draws = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[int(draws.integers(len(values)))]

    devices, side_m = int(draws.integers(2, 7)), one_of(60.0, 120.0, 500.0)
    wifi = isinstance(phy, Wifi)
    several = isinstance(mac, Csma) and mac.ofdma is not None
    cellular = isinstance(mac, Cell) or several or (wifi and one_of(True, False))
    made = network(
        RandomWaypoint(speed_mps=(1, 20)).motion(devices, (side_m, side_m), seed),
        engine=engine,
        mac=mac,
        phy=phy,
        fading=one_of(Rayleigh(), NoFading(), TappedDelayLine()),
        path_loss=one_of(UmiStreetCanyon(), LogDistance(exponent=2.5)),
        bandwidth_hz=20e6 if wifi else 2e6,
        csi_delay_s=one_of(0.0, 0.003, 0.01),
        prediction=one_of("none", "linear", "quadratic"),
        subbands=one_of(1, 3),
        seed=seed,
        stations_m=((0.3 * side_m, 0.4 * side_m), (0.8 * side_m, 0.6 * side_m)) if cellular else (),
        backhaul=Backhaul(1e9, 0.004),
        transport=Transport(
            trace=True,
            on_link_failure=one_of("discard", "resume"),
            link_failure_timeout_s=one_of(None, 0.03),
            retry_s=0.01,
            queue_bytes=one_of(None, 80_000),
        ),
    )
    if draws.random() < 0.3:
        made.env.at(20_000_000, lambda: made.fail(0, "battery"))
    sendings = []
    for _ in range(int(draws.integers(1, 9))):
        ends = draws.permutation(devices)
        most = 1 if isinstance(mac, Cell) else min(3, devices - 1)
        targets = [int(each) for each in ends[1 : 1 + int(draws.integers(1, most + 1))]]
        message = Message(
            int(ends[0]), targets[0], int(draws.integers(1, 60_000)), one_of(0.02, 0.1, 1.0),
            priority=int(draws.integers(2)),
            category=one_of("", *CATEGORIES),
        )  # fmt: skip
        sendings.append((one_of(0.0, 0.001, 0.0505, float(draws.random()) / 10), message, targets))
    quantile = one_of(0.0, 0.5)
    events = [made.env.process(_later(made, *item, quantile)) for item in sendings]
    made.env.run(until=made.env.all_of(events))
    return (
        [repr(transfer) for transfer in made.transfers],
        [repr(packet) for packet in made.packets],
        made.tx_s.tolist(),
        made.rx_s.tolist(),
    )


def _later(
    made: Network, at_s: float, message: Message, targets: list[int], quantile: float
) -> Iterator[Any]:
    yield made.timeout(at_s)
    yield made.env.all_of(made.broadcast(message, targets, quantile))
