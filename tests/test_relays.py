"""Relays: shortest paths, what several hops take, and detours around broken links."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from wnsim.channel import Rayleigh
from wnsim.core.transfer import Message
from wnsim.faults import LinkOutage
from wnsim.mac import Ideal, Ofdma, Reuse
from wnsim.mobility import RandomWaypoint
from wnsim.network.relays import shortest
from wnsim.network.transport import Transport
from wnsim.phy import Shannon
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan

# A line of devices, on which many short hops are faster than one long one.
LINE = tuple((4000.0 * number, 0.0) for number in range(5))
SIZE = 50_000


def relayed(make_network: Any, places: Any = LINE, max_hops: int = 9, **options: Any) -> Any:
    transport = {"max_hops": max_hops, "packet_header_bytes": 0} | options.pop("transport", {})
    settings = {"mac": Ideal(), "phy": Shannon(), "bandwidth_hz": 1e6, "tx_power_dbm": 0.0}
    return make_network(places, transport=Transport(**transport), **settings | options)


def sent(network: Any, source: int, target: int, lifetime_s: float = 100.0) -> Any:
    event = network.send(Message(source, target, SIZE, lifetime_s))
    network.env.run(until=event)
    return event.value


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_paths_are_the_shortest_with_a_limited_number_of_hops(most: int) -> None:
    """Against networkx: Dijkstra on a graph with a copy of each device for each hop."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        time_s = rng.exponential(size=(8, 8))
        time_s[rng.random((8, 8)) < 0.6] = np.inf
        np.fill_diagonal(time_s, np.inf)
        layers = nx.DiGraph()
        layers.add_nodes_from((node, 0) for node in range(8))
        for layer in range(most):
            for i, j in np.argwhere(np.isfinite(time_s)).tolist():
                layers.add_edge((i, layer), (j, layer + 1), weight=time_s[i, j])
        lengths = nx.single_source_dijkstra_path_length(layers, (0, 0))
        for target in range(1, 8):
            least = min((each for (node, _), each in lengths.items() if node == target),
                        default=np.inf)  # fmt: skip
            found = shortest(time_s, 0, target, most)
            if found is None:
                assert least == np.inf
                continue
            assert sum(time_s[hop] for hop in found) == pytest.approx(least)
            assert len(found) <= most
            nodes = [0, *(after for _, after in found)]
            # No loops, and each hop begins where the one before ends.
            assert len(set(nodes)) == len(nodes)
            assert [hop[0] for hop in found] == nodes[:-1]
            assert nodes[-1] == target


def test_latency_over_static_hops_is_the_sum(make_network: Any) -> None:
    """Law: each hop takes what it takes alone, and begins with a slot."""
    hops_s = [
        sent(relayed(make_network, max_hops=1), number, number + 1).latency_s for number in range(4)
    ]
    network = relayed(make_network)
    whole = sent(network, 0, 4)
    network.close()
    slot_s = network.slot_s
    total_s = sum(math.ceil(each / slot_s - 1e-9) * slot_s for each in hops_s[:-1]) + hops_s[-1]
    assert whole.latency_s == pytest.approx(total_s, abs=1e-8)
    assert (whole.hops, whole.delivered) == (4, True)
    assert whole.latency_s < sent(relayed(make_network, max_hops=1), 0, 4).latency_s


def test_bits_are_conserved_on_each_hop(make_network: Any) -> None:
    """Law: each hop carries the message once; relays receive as long as they send."""
    network = relayed(make_network)
    whole = sent(network, 0, 4)
    network.close()
    assert whole.acked_bytes == whole.air_bytes == SIZE
    assert whole.carried_bytes == 4 * SIZE
    assert network.tx_s[0] > 0
    assert network.tx_s[4] == 0
    assert network.rx_s[0] == 0
    assert network.tx_s[1:4] == pytest.approx(network.rx_s[1:4], abs=2 * network.slot_s)
    assert len(network.inbox[4].items) == 1
    assert not any(network.inbox[relay].items for relay in (1, 2, 3))


def test_the_number_of_hops_is_bounded(make_network: Any) -> None:
    assert [sent(relayed(make_network, max_hops=most), 0, 4).hops for most in (1, 2, 3, 4)] == [
        1, 2, 3, 4,
    ]  # fmt: skip


DIAMOND = ((0.0, 0.0), (4000.0, 100.0), (4000.0, 1500.0), (8000.0, 0.0))


def test_a_broken_link_is_gone_around(make_network: Any) -> None:
    """The way over device 1 is shorter; its second link breaks while it carries the message."""
    free = sent(relayed(make_network, DIAMOND), 0, 3)
    assert free.hops == 2
    outage = LinkOutage(links=((1, 3),), from_s=0.75 * free.latency_s)
    network = relayed(
        make_network, DIAMOND, faults={"link_outages": (outage,)},
        transport={"link_failure_timeout_s": 0.05},
    )  # fmt: skip
    found = sent(network, 0, 3)
    network.close()
    # From device 1, which holds it, over device 2: the first device had it before.
    assert (found.delivered, found.hops) == (True, 3)
    assert found.acked_bytes == SIZE
    assert 3 * SIZE < found.carried_bytes < 4 * SIZE
    parts_s = (
        found.queue_s, found.channel_access_s, found.airtime_s, found.retransmission_s,
        found.backhaul_s,
    )  # fmt: skip
    assert sum(parts_s) == pytest.approx(found.latency_s, abs=1e-8)
    bounded = relayed(
        make_network, DIAMOND, max_hops=2, faults={"link_outages": (outage,)},
        transport={"link_failure_timeout_s": 0.05},
    )  # fmt: skip
    assert not sent(bounded, 0, 3).delivered


def test_a_way_back_is_none(make_network: Any) -> None:
    """Law: no loops. Device 1 could only return the message to device 0, which had it before."""
    free = sent(relayed(make_network, DIAMOND), 0, 3)
    late = LinkOutage(links=((1, 3),), from_s=0.75 * free.latency_s)
    always = LinkOutage(links=((1, 2),))
    network = relayed(
        make_network, DIAMOND, faults={"link_outages": (late, always)},
        transport={"link_failure_timeout_s": 0.05},
    )  # fmt: skip
    found = sent(network, 0, 3)
    network.close()
    assert (found.delivered, found.reason, found.hops) == (False, "link-failure", 2)


def test_what_a_broken_link_has_carried_is_not_counted_on_another(make_network: Any) -> None:
    """The first link breaks, and the direct one takes the place of both."""
    free = sent(relayed(make_network, LINE[:3]), 0, 2)
    outage = LinkOutage(links=((0, 1),), from_s=0.25 * free.latency_s)
    network = relayed(
        make_network, LINE[:3], faults={"link_outages": (outage,)},
        transport={"link_failure_timeout_s": 0.05},
    )  # fmt: skip
    found = sent(network, 0, 2)
    network.close()
    assert (found.delivered, found.hops, found.acked_bytes) == (True, 1, SIZE)
    assert SIZE < found.carried_bytes < 2 * SIZE


def test_a_link_that_broke_is_not_tried_again_at_once(make_network: Any) -> None:
    """The link is as good as before when its failure is noticed; the detour is around it all the
    same."""
    first_s = sent(relayed(make_network, DIAMOND, max_hops=1), 0, 1).latency_s
    # No bits between the checks after 0.05 s and 0.1 s of the second hop.
    outage = LinkOutage(links=((1, 3),), from_s=first_s + 0.01, until_s=first_s + 0.1 - 1e-6)
    network = relayed(
        make_network, DIAMOND, faults={"link_outages": (outage,)},
        transport={"link_failure_timeout_s": 0.05},
    )  # fmt: skip
    found = sent(network, 0, 3)
    assert (found.hops, found.delivered) == (3, True)


@pytest.mark.parametrize("mac", [Ofdma(shared=True), Reuse()], ids=lambda mac: mac.model)
def test_engines_relay_alike_to_the_last_bit(make_network: Any, mac: Any) -> None:
    seen = []
    for engine in ("windowed", "packet"):
        network = relayed(
            make_network, motion=RandomWaypoint(speed_mps=(5, 20)).motion(6, (900.0, 900.0), 4),
            mac=mac, engine=engine, fading=Rayleigh(), csi_delay_s=0.003, tx_power_dbm=-15.0,
            phy=Shannon(bler=0.1), max_hops=3,
            transport={"link_failure_timeout_s": 0.03, "trace": True},
        )  # fmt: skip
        events = [
            event
            for source in range(6)
            for event in network.broadcast(
                Message(source, 0, 10_000, 0.5), [(source + step) % 6 for step in (1, 3)]
            )
        ]
        network.env.run(until=network.env.all_of(events))
        network.close()
        hops = {transfer.hops for transfer in network.transfers}
        assert max(hops) > 1
        seen.append([*map(repr, network.transfers), *map(repr, network.packets)])
    assert seen[0] == seen[1]


TEXT = """
name: mesh
devices: {count: 4}
transport: {max_hops: 3}
traffic: {size_bytes: 1000}
"""


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["transport.max_hops=0"], "max_hops"),
        (["mac={model: cell}", "base_stations={count: 1}"], "base_stations carry their messages"),
        (["probes={}"], "probes measure some of them"),
    ],
)
def test_impossible_relays_are_refused(settings: list[str], complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(TEXT, "utf-8")
    with pytest.raises(ScenarioError, match=complaint):
        plan(str(path), settings)
