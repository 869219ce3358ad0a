"""The engines of contention and sidelink under faults: identical to the last bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fault_strategies import air_faults
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wnsim.channel import LogDistance, NoFading, Rayleigh
from wnsim.core.transfer import Message
from wnsim.mac import Csma, Sidelink
from wnsim.mobility import RandomWaypoint
from wnsim.network import Network
from wnsim.network.transport import Transport
from wnsim.phy import NrMcs, Shannon, Wifi

ACCESSES = {
    "csma": (Csma(), [Wifi(), Wifi(rate_mbps=24.0)], False),
    "sidelink": (Sidelink(period_slots=20), [Shannon(bler=0.1), NrMcs(harq_processes=1)], True),
    "sidelink repeated": (
        Sidelink(period_slots=5, resources_per_period=3, repetitions=1),
        [NrMcs()],
        True,
    ),
}


@pytest.mark.parametrize("name", ACCESSES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_engines_agree_whatever_goes_wrong(
    make_network: Callable[..., Network], name: str, data: st.DataObject
) -> None:
    mac, phys, jams = ACCESSES[name]
    devices = data.draw(st.integers(2, 6))
    side_m = data.draw(st.sampled_from([30.0, 300.0]))
    seed = data.draw(st.integers(0, 99))
    both = {
        "motion": RandomWaypoint(speed_mps=(1, 20)).motion(devices, (side_m, side_m), seed),
        "mac": mac,
        "phy": data.draw(st.sampled_from(phys)),
        "fading": data.draw(st.sampled_from([Rayleigh(), NoFading()])),
        "path_loss": LogDistance(exponent=3.0),
        "csi_delay_s": data.draw(st.sampled_from([0.0, 0.003])),
        "seed": seed,
        "faults": data.draw(air_faults(devices, 0, side_m, jams=jams)),
        "transport": Transport(
            trace=True,
            on_link_failure=data.draw(st.sampled_from(["discard", "resume"])),
            link_failure_timeout_s=data.draw(st.sampled_from([None, 0.03])),
            retry_s=0.01,
        ),
    }
    plan = []
    for _ in range(data.draw(st.integers(1, 8))):
        nodes = data.draw(st.permutations(range(devices)))
        targets = nodes[1 : data.draw(st.integers(2, devices))]
        message = Message(
            nodes[0],
            targets[0],
            data.draw(st.sampled_from([1, 3000, 40_000])),
            data.draw(st.sampled_from([0.03, 0.2505])),
        )
        plan.append((data.draw(st.sampled_from([0.0, 0.01, 0.0333])), message, targets))
    seen = []
    for engine in ("windowed", "packet"):
        network = make_network(engine=engine, **both)

        def later(network: Network, at_s: float, message: Message, targets: list[int]):  # type: ignore[no-untyped-def]
            yield network.timeout(at_s)
            yield network.env.all_of(network.broadcast(message, targets, 0.0))

        network.env.run(
            until=network.env.all_of([network.env.process(later(network, *each)) for each in plan])
        )
        assert network.in_flight == 0
        seen.append(
            (
                repr(list(network.transfers)),
                repr(list(network.packets)),
                repr(network.tx_s),
                repr(network.rx_s),
            )
        )
    assert seen[0] == seen[1]
