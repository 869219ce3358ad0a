"""Multicast trees of relays: their shape, what they carry, and their repair."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from wnsim.channel import Rayleigh
from wnsim.core.transfer import Message
from wnsim.core.units import Floats
from wnsim.faults import LinkOutage
from wnsim.mac import Csma, Ideal, Ofdma, Reuse
from wnsim.mac.sidelink import Sidelink
from wnsim.mobility import RandomWaypoint
from wnsim.network.relays import shortest, spanning
from wnsim.network.transport import Transport
from wnsim.phy import Shannon, Wifi
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan

MACS = [Ofdma(), Ofdma(shared=True), Reuse(), Csma(), Sidelink(subchannels=4)]
LINE = tuple((4000.0 * number, 0.0) for number in range(5))
# Two relays between a device and three others, which are close to each other.
FORK = (
    (0.0, 500.0), (4000.0, 700.0), (4000.0, 200.0), (8000.0, 500.0), (8000.0, 600.0),
    (8000.0, 400.0),
)  # fmt: skip
SIZE = 50_000


def relayed(make_network: Any, places: Any = LINE, max_hops: int = 9, **options: Any) -> Any:
    transport = {"max_hops": max_hops, "packet_header_bytes": 0, "multicast": "tree"}
    settings = {
        "mac": Ideal(),
        "phy": Shannon(),
        "bandwidth_hz": 1e6,
        "tx_power_dbm": 0.0,
    } | options
    transport |= settings.pop("transport", {})
    if isinstance(settings["mac"], Csma):
        # The rates of Wi-Fi begin at a higher SNR.
        settings |= {
            "phy": Wifi(),
            "bandwidth_hz": 20e6,
            "tx_power_dbm": settings["tx_power_dbm"] + 20,
        }
    return make_network(places, transport=Transport(**transport), **settings)


def multicast(network: Any, source: int, targets: Any, quantile: float = 0.0) -> list[Any]:
    events = network.broadcast(Message(source, 0, SIZE, 100.0), list(targets), quantile)
    network.env.run(until=network.env.all_of(events))
    return [event.value for event in events]


def random_times(rng: Any, count: int = 8) -> Floats:
    time_s = rng.exponential(size=(count, count))
    time_s[rng.random((count, count)) < 0.6] = np.inf
    np.fill_diagonal(time_s, np.inf)
    return np.asarray(time_s)


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_a_tree_with_one_receiver_is_the_shortest_path(most: int) -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        time_s = random_times(rng)
        for target in range(1, 8):
            paths, sent_s = spanning(time_s, np.ones(8), {0: []}, [target], most)
            path = shortest(time_s, 0, target, most)
            assert paths.get(target) == path
            assert sent_s.sum() == pytest.approx(sum(time_s[hop] for hop in path or ()))


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_each_device_receives_at_most_once_on_a_tree(most: int) -> None:
    """Laws: no loops, one transmitter for each device, a limited depth."""
    rng = np.random.default_rng(6)
    for _ in range(50):
        time_s, weight = random_times(rng), 1.0 + rng.random(8)
        targets = rng.choice(np.arange(1, 8), 4, replace=False).tolist()
        paths, sent_s = spanning(time_s, weight, {0: []}, targets, most)
        hops = {hop for path in paths.values() for hop in path}
        assert len({after for _, after in hops}) == len(hops)
        for target, path in paths.items():
            nodes = [0, *(after for _, after in path)]
            assert [before for before, _ in path] == nodes[:-1]
            assert nodes[-1] == target
            assert len(set(nodes)) == len(nodes) <= most + 1
        slowest_s = np.zeros(8)
        for hop in hops:
            slowest_s[hop[0]] = max(slowest_s[hop[0]], time_s[hop])
        assert np.array_equal(sent_s, slowest_s)
        if most == 9:
            graph = nx.from_numpy_array(np.isfinite(time_s), create_using=nx.DiGraph)
            assert set(paths) == set(targets) & nx.descendants(graph, 0)


def fewest_transmissions(graph: nx.Graph, targets: set[int]) -> int:
    """Return the smallest number of devices that must send, the source 0 among them, by trial."""
    for count in range(1, len(graph)):
        for others in itertools.combinations(sorted(set(graph) - {0}), count - 1):
            senders = {0, *others}
            if not nx.is_connected(graph.subgraph(senders)):
                continue
            reached = senders.union(*(graph[sender] for sender in senders))
            if targets <= reached:
                return count
    raise AssertionError


def transmissions(graph: nx.Graph, targets: Any) -> int:
    time_s = np.full((len(graph), len(graph)), np.inf)
    for one, other in graph.edges:
        time_s[one, other] = time_s[other, one] = 1.0
    _, sent_s = spanning(time_s, np.ones(len(graph)), {0: []}, targets, len(graph))
    return int(sent_s.sum())


def test_numbers_of_transmissions_are_those_of_trial() -> None:
    """On graphs without cycles there is one tree; on others the least number is a bound."""
    rng = np.random.default_rng(7)
    for seed in range(20):
        tree = nx.from_prufer_sequence(rng.integers(9, size=7).tolist())
        targets = set(rng.choice(np.arange(1, 9), 4, replace=False).tolist())
        assert transmissions(tree, targets) == fewest_transmissions(tree, targets)
        graph = nx.connected_watts_strogatz_graph(9, 4, 0.3, seed=seed)
        least = fewest_transmissions(graph, targets)
        assert least <= transmissions(graph, targets) <= len(graph) - 1
    assert transmissions(nx.star_graph(6), range(1, 7)) == 1
    assert transmissions(nx.path_graph(7), range(1, 7)) == 6
    assert transmissions(nx.complete_graph(7), range(1, 7)) == 1
    # Two rows of four: the source and the two next to it in its row reach all.
    assert transmissions(nx.convert_node_labels_to_integers(nx.ladder_graph(4)), range(1, 8)) == 4


@pytest.mark.parametrize("mac", [Ideal(), Ofdma(), Ofdma(shared=True), Csma()],
                         ids=["ideal", "ofdma", "shared", "csma"])  # fmt: skip
def test_one_receiver_is_served_as_without_trees(make_network: Any, mac: Any) -> None:
    """Law: to the bit."""
    seen = [
        repr(multicast(relayed(make_network, mac=mac, transport={"multicast": each}), 0, [4]))
        for each in ("tree", "paths")
    ]
    assert seen[0] == seen[1]


def test_latency_over_static_hops_is_the_sum(make_network: Any) -> None:
    """Law: on a line, each device receives from the one before what it receives alone."""
    hops_s = [
        multicast(relayed(make_network), number, [number + 1])[0].latency_s for number in range(4)
    ]
    network = relayed(make_network)
    found = multicast(network, 0, [3, 1, 4, 2])
    network.close()
    by_target = {each.message.target: each for each in found}
    slot_s, before_s = network.slot_s, 0.0
    for hop, target in enumerate((1, 2, 3, 4)):
        transfer = by_target[target]
        assert transfer.latency_s == pytest.approx(before_s + hops_s[hop], abs=1e-8)
        assert (transfer.hops, transfer.attempts, transfer.delivered) == (hop + 1, hop + 1, True)
        parts_s = (
            transfer.queue_s, transfer.channel_access_s, transfer.airtime_s,
            transfer.retransmission_s, transfer.backhaul_s,
        )  # fmt: skip
        assert sum(parts_s) == pytest.approx(transfer.latency_s, abs=1e-8)
        before_s = math.ceil(transfer.latency_s / slot_s - 1e-9) * slot_s


def test_bits_are_carried_once_on_each_hop(make_network: Any) -> None:
    """Law: each device receives the message once, and sends it once."""
    network = relayed(make_network)
    found = multicast(network, 0, [1, 2, 3, 4])
    network.close()
    assert all(each.acked_bytes == each.carried_bytes == SIZE for each in found)
    assert network.tx_s[1:4] == pytest.approx(network.rx_s[1:4], abs=2 * network.slot_s)
    assert (network.tx_s[4], network.rx_s[0]) == (0, 0)
    assert [len(each.items) for each in network.inbox[:5]] == [0, 1, 1, 1, 1]


def test_a_relay_that_is_no_receiver_is_counted_once(make_network: Any) -> None:
    network = relayed(make_network, FORK)
    found = multicast(network, 0, [3, 4, 5])
    network.close()
    assert [each.hops for each in found] == [2, 2, 2]
    # One hop to the relay, for all, and one to each of them, in two transmissions.
    assert sum(each.carried_bytes for each in found) == 4 * SIZE
    assert np.count_nonzero(network.tx_s) == 2
    assert all(each.acked_bytes == SIZE for each in found)
    alone = relayed(make_network, FORK, transport={"multicast": "paths"})
    multicast(alone, 0, [3, 4, 5])
    assert network.tx_s.sum() < 0.6 * alone.tx_s.sum()


def test_messages_on_other_trees_are_gone_around_until_they_end(make_network: Any) -> None:
    network = relayed(make_network, FORK)
    relays = []
    for lifetime_s in (0.5, 0.5, 100.0):
        network.broadcast(Message(0, 3, SIZE, lifetime_s), [3, 4])
        relays.append({each.hops[0][1] for each in network._pending})
    assert relays[0] == {1}
    assert relays[1] == {1, 2}
    network.env.run(until=network.drained())
    network.broadcast(Message(0, 3, SIZE, 0.5), [3, 4])
    assert {each.hops[0][1] for each in network._pending} == {1}


def broken(make_network: Any, **transport: Any) -> Any:
    """Return a network without the link from device 1 to 3, which is noticed late."""
    outage = LinkOutage(links=((1, 3),))
    return relayed(
        make_network, (*FORK[:3], (8100.0, 500.0), *FORK[4:]), faults={"link_outages": (outage,)},
        transport={"link_failure_timeout_s": 2.0} | transport,
    )  # fmt: skip


def test_a_broken_link_is_replaced_from_any_device_that_has_the_message(make_network: Any) -> None:
    network = broken(make_network)
    # The rate is not that of the broken link.
    found = multicast(network, 0, [3, 4, 5], quantile=0.4)
    network.close()
    assert [each.delivered for each in found] == [True] * 3
    # From one of its neighbours, which have received it from device 1 meanwhile.
    assert [each.hops for each in found] == [3, 2, 2]
    assert found[0].acked_bytes == SIZE
    assert sum(each.carried_bytes for each in found) == 4 * SIZE
    assert [len(each.items) for each in network.inbox[:6]] == [0, 0, 0, 1, 1, 1]


def test_the_number_of_hops_is_bounded_on_repair(make_network: Any) -> None:
    network = broken(make_network, max_hops=2)
    found = multicast(network, 0, [3, 4, 5], quantile=0.4)
    # Over device 2, from the source.
    assert [each.hops for each in found] == [2, 2, 2]


@pytest.mark.parametrize("quantile", [0.0, 0.5])
@pytest.mark.parametrize("mac", MACS, ids=["ofdma", "shared", "reuse", "csma", "sidelink"])
def test_engines_agree_on_trees_to_the_last_bit(
    make_network: Any, mac: Any, quantile: float
) -> None:
    seen = []
    for engine in ("windowed", "packet"):
        network = relayed(
            make_network, motion=RandomWaypoint(speed_mps=(5, 20)).motion(6, (900.0, 900.0), 4),
            mac=mac, engine=engine, fading=Rayleigh(), csi_delay_s=0.003, tx_power_dbm=-15.0,
            phy=Shannon(bler=0.1), max_hops=3,
            transport={"link_failure_timeout_s": 0.03, "trace": True,
                       "on_link_failure": "resume", "retry_s": 0.01},
        )  # fmt: skip
        events = [
            event
            for source in range(6)
            for event in network.broadcast(
                Message(source, 0, 10_000, 0.5),
                [(source + step) % 6 for step in (1, 2, 3, 4)], quantile,
            )
        ]  # fmt: skip
        network.env.run(until=network.env.all_of(events))
        network.close()
        hops = {transfer.hops for transfer in network.transfers}
        assert max(hops) > 1
        seen.append([*map(repr, network.transfers), *map(repr, network.packets), network.tx_s])
    assert repr(seen[0]) == repr(seen[1])


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["transport.multicast=tree"], "multicast tree needs relays, max_hops above 1, got 1"),
        (["transport.multicast=bush"], "multicast"),
    ],
)
def test_impossible_trees_are_refused(settings: list[str], complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text("name: mesh\ndevices: {count: 4}\ntraffic: {size_bytes: 1000}\n", "utf-8")
    with pytest.raises(ScenarioError, match=complaint):
        plan(str(path), settings)
