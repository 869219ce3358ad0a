"""The windowed engine against the slot-by-slot engine: identical to the last bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fault_strategies import air_faults
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wnsim.channel import (
    LogDistance,
    NoFading,
    Rayleigh,
    Shadowing,
    TappedDelayLine,
    UmiStreetCanyon,
)
from wnsim.channel.heights import Heights
from wnsim.core.transfer import Message
from wnsim.mac import Cell, Ideal, Ofdma, Reuse, Tdma
from wnsim.mobility import RandomWaypoint
from wnsim.network import Backhaul, Network
from wnsim.network.transport import Transport
from wnsim.phy import NrMcs, Shannon

MACS = [
    Ideal(), Tdma(), Tdma(turn_slots=3), Ofdma(), Ofdma(shared=True),
    Ofdma(power="required", margin_db=3),
    Reuse(), Reuse(protection_ratio_db=5), Cell(), Cell(scheduler="round-robin"),
    Cell(scheduler="equal"),
]  # fmt: skip
PHYS = [
    Shannon(gap_db=3.0, bler=0.1),
    NrMcs(harq_processes=4),
    NrMcs(harq="chase", harq_processes=3, table=2),
    NrMcs(harq="none", subcarrier_hz=30000),
]


def climbing(devices: int) -> Heights:
    """Return heights that rise at 10 m/s, each device from another one."""
    start_m = 1.5 + 20.0 * np.arange(devices)
    return Heights(
        start_m, start_m + 1000.0, lambda nodes, t_s: start_m[nodes][:, None] + 10.0 * t_s
    )


@st.composite
def sendings(draw: st.DrawFn, devices: int) -> tuple[float, Message, list[int]]:
    """Return instant, message and receivers."""
    source = draw(st.integers(0, devices - 1))
    others = [device for device in range(devices) if device != source]
    targets = draw(st.lists(st.sampled_from(others), min_size=1, max_size=3, unique=True))
    message = Message(
        source,
        targets[0],
        draw(st.integers(1, 60_000)),
        draw(st.sampled_from([0.02, 0.1, 1.0])),
        priority=draw(st.integers(0, 1)),
    )
    at_s = draw(st.one_of(st.just(0.0), st.sampled_from([0.001, 0.01, 0.0505]), st.floats(0, 0.1)))
    return at_s, message, targets


@pytest.mark.parametrize("mac", MACS, ids=range(len(MACS)))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_windows_change_nothing(
    make_network: Callable[..., Network], mac: object, data: st.DataObject
) -> None:
    """Property: 15 random scenarios for each of eleven medium accesses give the same records."""
    seed = data.draw(st.integers(0, 1000))
    devices = data.draw(st.integers(2, 6))
    side_m = data.draw(st.sampled_from([120.0, 500.0]))
    motion = RandomWaypoint(speed_mps=(1, 20)).motion(devices, (side_m, side_m), seed)
    stations = ((0.3 * side_m, 0.4 * side_m), (0.8 * side_m, 0.6 * side_m))
    settings_of_both = {
        "motion": motion,
        "mac": mac,
        "phy": data.draw(st.sampled_from(PHYS)),
        "fading": data.draw(
            st.sampled_from([Rayleigh(), NoFading(), TappedDelayLine(profile="A")])
        ),
        "path_loss": data.draw(st.sampled_from([UmiStreetCanyon(), LogDistance(exponent=2.5)])),
        "shadowing": Shadowing(waves=16),
        "bandwidth_hz": 2e6,
        "csi_delay_s": data.draw(st.sampled_from([0.0, 0.003, 0.01])),
        "prediction": data.draw(st.sampled_from(["none", "linear", "quadratic"])),
        "subbands": data.draw(st.sampled_from([1, 3])),
        "seed": seed,
        "heights": data.draw(st.sampled_from([None, climbing(devices)])),
        "stations_m": stations if isinstance(mac, Cell) else (),
        "backhaul": Backhaul(1e9, 0.004),
        "faults": data.draw(
            st.none() | air_faults(devices, 2 if isinstance(mac, Cell) else 0, side_m)
        ),
        "transport": Transport(
            trace=True,
            on_link_failure=data.draw(st.sampled_from(["discard", "resume"])),
            link_failure_timeout_s=data.draw(st.sampled_from([None, 0.03])),
            retry_s=0.01,
            queue_bytes=data.draw(st.sampled_from([None, 80_000])),
        ),
    }
    plan = data.draw(st.lists(sendings(devices), min_size=1, max_size=8))
    fails = data.draw(st.sampled_from([None, 0.02]))
    quantile = data.draw(st.sampled_from([0.0, 0.5]))
    seen = {}
    for engine in ("windowed", "packet"):
        network = make_network(engine=engine, **settings_of_both)

        def later(network: Network, at_s: float, message: Message, targets: list[int]):  # type: ignore[no-untyped-def]
            yield network.timeout(at_s)
            yield network.env.all_of(network.broadcast(message, targets, quantile))

        if fails is not None:
            network.env.at(int(fails * 1e9), lambda network=network: network.fail(0, "battery"))
        events = [network.env.process(later(network, *item)) for item in plan]
        network.env.run(until=network.env.all_of(events))
        # As text, in which a missing number equals itself.
        seen[engine] = (
            [repr(transfer) for transfer in network.transfers],
            [repr(packet) for packet in network.packets],
            network.tx_s.tolist(),
            network.rx_s.tolist(),
        )
        assert network.in_flight == 0
        assert len(network.transfers) == sum(len(targets) for _, _, targets in plan)
        for transfer in network.transfers:
            parts_s = (
                transfer.queue_s, transfer.channel_access_s, transfer.airtime_s,
                transfer.retransmission_s, transfer.backhaul_s,
            )  # fmt: skip
            assert min(parts_s) >= 0
            assert sum(parts_s) == pytest.approx(transfer.latency_s, abs=1e-8)
            if transfer.delivered:
                assert transfer.acked_bytes == transfer.air_bytes
    assert seen["windowed"] == seen["packet"]


@pytest.mark.parametrize("phy", [PHYS[0], PHYS[2]], ids=["shannon", "nr"])
@pytest.mark.parametrize(
    "mac", [Ofdma(), Ofdma(power="required", margin_db=3), Ofdma(shared=True), Reuse(), Cell()]
)
def test_a_start_in_a_quiet_time_changes_nothing(
    make_network: Callable[..., Network], mac: object, phy: object
) -> None:
    """Contract: a window of a quiet time that is cut short gives the records of single slots."""
    seen = {}
    for engine in ("windowed", "packet"):
        network = make_network(
            engine=engine,
            motion=RandomWaypoint(speed_mps=(1, 3)).motion(6, (200.0, 200.0), 7),
            mac=mac,
            phy=phy,
            fading=Rayleigh(),
            path_loss=UmiStreetCanyon(),
            shadowing=Shadowing(waves=16),
            bandwidth_hz=2e6,
            csi_delay_s=0.003,
            stations_m=((60.0, 80.0), (160.0, 120.0)) if isinstance(mac, Cell) else (),
        )
        events = [network.send(Message(0, 1, 5_000_000, 0.8))]
        for source, target, at_s in ((2, 3, 0.45), (0, 4, 0.46)):
            network.env.run(until=network.timeout(at_s - network.now_s))
            events.append(network.send(Message(source, target, 20_000, 0.3)))
        network.env.run(until=network.env.all_of(events))
        seen[engine] = [repr(transfer) for transfer in network.transfers]
    assert seen["windowed"] == seen["packet"]


def test_ends_at_an_instant_come_in_one_order(make_network: Callable[..., Network]) -> None:
    """Contract: flows that meet their deadline come before a message in the backhaul that does."""
    seen = {}
    for engine in ("windowed", "packet"):
        network = make_network(
            engine=engine,
            motion=RandomWaypoint(speed_mps=(1, 20)).motion(6, (120.0, 120.0), 13),
            mac=Cell(),
            phy=NrMcs(harq="chase", harq_processes=3, table=2),
            fading=TappedDelayLine(profile="A"),
            path_loss=UmiStreetCanyon(),
            shadowing=Shadowing(waves=16),
            bandwidth_hz=2e6,
            csi_delay_s=0.003,
            seed=13,
            stations_m=((36.0, 48.0), (96.0, 72.0)),
            backhaul=Backhaul(1e9, 0.004),
        )
        events = [network.send(Message(0, 1, 1, 0.02)) for _ in range(3)]
        events.append(network.send(Message(1, 0, 1, 0.02)))
        network.env.run(until=network.timeout(0.001))
        events.append(network.send(Message(4, 0, 1, 0.02)))
        network.env.run(until=network.timeout(0.009))
        events += network.broadcast(Message(3, 0, 4699, 0.02), [0, 1, 2])
        network.env.run(until=network.timeout(0.009546927))
        events += network.broadcast(Message(5, 0, 35946, 0.02), [0, 1, 2])
        network.env.run(until=network.env.all_of(events))
        seen[engine] = [repr(transfer) for transfer in network.transfers]
        late = [transfer for transfer in network.transfers if transfer.message.source == 3]
        assert {transfer.ended_s for transfer in late} == {0.03}
        # The last one is on the backhaul, the others are on the air.
        assert [transfer.message.target for transfer in late] == [0, 1, 2]
    assert seen["windowed"] == seen["packet"]
