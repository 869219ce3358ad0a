"""Self-test checks: each measures a quantity and compares it with a reference value.

Sources: Bianchi, "Performance analysis of the IEEE 802.11 distributed coordination function",
IEEE JSAC 18, 2000; Shannon capacity; the distribution of Rayleigh fading; and `facts.json`, which
names its own sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from wnsim.channel import (
    Carrier,
    Channel,
    FreeSpace,
    Geometry,
    LogDistance,
    NoFading,
    Propagation,
    Rayleigh,
    Shadowing,
)
from wnsim.channel import UmiStreetCanyon as Umi
from wnsim.core.clock import Clock
from wnsim.core.transfer import Message
from wnsim.core.units import SPEED_OF_LIGHT_MPS, dbm_to_w, thermal_noise_w
from wnsim.mac import Csma, Mac, Ofdma
from wnsim.mobility import Static
from wnsim.network import AirOptions, Network
from wnsim.network.transport import Transport
from wnsim.phy import Phy, Shannon, Wifi
from wnsim.phy.formats import schemes
from wnsim.phy.transport_block import elements, resource_blocks, transport_bits
from wnsim.selftest.federated import learning
from wnsim.selftest.result import Result, equal, facts, near
from wnsim.world import World

_FREQUENCY_HZ, _BANDWIDTH_HZ, _POWER_DBM, _FIGURE_DB = 3.5e9, 20e6, 23.0, 9.0
_BLOCK_NS = 1_000_000


def _world(
    places_m: list[tuple[float, float]], loss: Any, fading: Any, phy: Phy, power_dbm: float
) -> World:
    """Return a world of static devices."""
    count = len(places_m)
    motion = Static(layout="given", positions_m=tuple(places_m)).motion(count, (1e5, 1e5), 1)
    channel = Channel(
        Propagation(loss, Shadowing(sigma_db=0.0), fading),
        Carrier(_FREQUENCY_HZ, bandwidth_hz=_BANDWIDTH_HZ),
        Geometry(np.full(count, 1.5), motion.position_m, motion.max_speed_mps),
        1,
    )
    return World(
        motion=motion,
        channel=channel,
        phy=phy,
        tx_power_w=np.full(count, float(dbm_to_w(power_dbm))),
        noise_figure_db=np.full(count, _FIGURE_DB),
        flops_per_s=np.full(count, 1e12),
        bandwidth_hz=_BANDWIDTH_HZ,
    )


def _network(world: World, mac: Mac, transport: Transport | None = None) -> Network:
    return Network(Clock(), world, mac, AirOptions(_BLOCK_NS), 1, transport=transport)


def path_loss() -> Iterator[Result]:
    """Compare path loss and LOS probability with those of two other simulators."""
    umi, wanted = Umi(), facts()
    loss_db = [
        float(umi.loss_db(np.array([100.0]), 10.0, 1.5, _FREQUENCY_HZ, state)[0])
        for state in (True, False)
    ]
    for state, measured in zip(("los", "nlos"), loss_db, strict=True):
        yield near(f"path loss, UMi, {state}", measured, wanted["path_loss_db"][state], 1e-3, "dB")
    measured = float(umi.los_probability(np.array([50.0]), 10.0, 1.5)[0])
    yield near("probability of line of sight", measured, wanted["los_probability"], 1e-6)


def transport_blocks() -> Iterator[Result]:
    """Compare transport block sizes and bandwidths with the standard's."""
    wanted = facts()["transport_block"]
    order, rate = (column[wanted["scheme"]] for column in schemes(1))
    bits = int(transport_bits(elements(wanted["blocks"], 12), order, rate))
    yield equal("transport block", bits, wanted["bits"], "bit")
    blocks = int(resource_blocks(20e6, 30e3, "fr1"))
    yield equal("resource blocks", blocks, facts()["resource_blocks"], "blocks")


def outage() -> Iterator[Result]:
    """Compare the outage of Rayleigh fading 10 dB below its mean with 1 - exp(-0.1)."""
    count = 4000
    places = [(20.0 * (n // 2), 100.0 * (n % 2)) for n in range(2 * count)]
    channel = _world(places, FreeSpace(), Rayleigh(), Shannon(), 0.0).channel
    source = np.arange(0, 2 * count, 2)
    gain = channel.gain_blocks(source, source + 1, 0, 1, _BLOCK_NS)[:, 0, 0]
    mean = (SPEED_OF_LIGHT_MPS / _FREQUENCY_HZ / (4 * math.pi * 100.0)) ** 2
    expected = -math.expm1(-0.1)
    error = 5.0 * math.sqrt(expected * (1.0 - expected) / count)
    yield near("outage in Rayleigh fading", float((gain < 0.1 * mean).mean()), expected, error)


def airtime() -> Iterator[Result]:
    """Compare the airtime of a transfer with its bits over the Shannon rate."""
    world = _world([(0, 0), (100, 0)], FreeSpace(), NoFading(), Shannon(), _POWER_DBM)
    net = _network(world, Ofdma())
    net.env.run(until=net.send(Message(0, 1, 2_000_000, 1e3)))
    gain = (SPEED_OF_LIGHT_MPS / _FREQUENCY_HZ / (4 * math.pi * 100.0)) ** 2
    noise_w = float(thermal_noise_w(_BANDWIDTH_HZ, _FIGURE_DB))
    rate_bps = _BANDWIDTH_HZ * math.log2(1.0 + float(dbm_to_w(_POWER_DBM)) * gain / noise_w)
    expected_s = 16e6 / rate_bps
    latency_s = next(iter(net.transfers)).latency_s
    yield near("transfer at Shannon's rate", latency_s, expected_s, 1e-4 * expected_s, "s")


def contention() -> Iterator[Result]:
    """Compare the throughput of five saturated Wi-Fi stations with Bianchi's closed form."""
    count, span_s = 5, 2.0
    ring = [2 * math.pi * node / count for node in range(count)]
    places = [(1.0 + math.cos(angle), 1.0 + math.sin(angle)) for angle in ring]
    phy = Wifi(rate_mbps=24.0)
    net = _network(
        _world(places, LogDistance(), NoFading(), phy, 16.0),
        Csma(retry_limit=1000),
        Transport(packet_bytes=1428, packet_header_bytes=0),
    )
    events = [net.send(Message(n, (n + 1) % count, 10**9, span_s)) for n in range(count)]
    net.env.run(until=net.env.all_of(events))
    # Transfers cut at the end count as far as they arrived.
    packets = sum(transfer.acked_bytes for transfer in net.transfers) / 1428 / span_s
    # 1428 bytes with a 36-byte MAC header, and an acknowledgement, at 24 Mbit/s.
    rates = phy.rates(_BANDWIDTH_HZ)
    scheme = rates.scheme(0.0, 1)
    data_s = scheme.duration_ns(8 * (1428 + 36)) * 1e-9
    ack_s = rates.control(scheme).duration_ns(8 * 14) * 1e-9
    expected = bianchi(count, data_s + 16e-6 + ack_s + 34e-6, data_s + 34e-6)
    yield near("contention of five stations", packets, expected, 0.05 * expected, "packets/s")


def bianchi(count: int, success_s: float, collision_s: float) -> float:
    """Return the packets per second of saturated stations, windows 16 to 1024 of 9 us slots."""
    window, stages, low, high = 16, 6, 0.0, 1.0

    def attempt(lost: float) -> float:
        series = sum((2 * lost) ** stage for stage in range(stages))
        return 2 / (1 + window + lost * window * series)

    for _ in range(60):
        middle = (low + high) / 2
        if middle < 1 - (1 - attempt(middle)) ** (count - 1):
            low = middle
        else:
            high = middle
    tau = attempt(low)
    busy, one = 1 - (1 - tau) ** count, count * tau * (1 - tau) ** (count - 1)
    return one / ((1 - busy) * 9e-6 + one * success_s + (busy - one) * collision_s)


CHECKS: dict[str, Callable[[], Iterator[Result]]] = {
    "path loss": path_loss,
    "transport blocks": transport_blocks,
    "outage": outage,
    "airtime": airtime,
    "contention": contention,
    "learning": learning,
}
