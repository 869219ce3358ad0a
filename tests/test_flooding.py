"""Flooding: what segments cost and take, who gets them, and from whom when a link breaks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wnsim.channel import Rayleigh
from wnsim.core.transfer import Message
from wnsim.faults import LinkOutage
from wnsim.mac import Csma, Ideal, Ofdma, Reuse
from wnsim.mac.sidelink import Sidelink
from wnsim.mobility import RandomWaypoint
from wnsim.network.transport import Transport
from wnsim.phy import Shannon, Wifi
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan

MACS = [Ofdma(), Ofdma(shared=True), Reuse(), Csma(), Sidelink(subchannels=4)]
LINE = tuple((4000.0 * number, 0.0) for number in range(5))
# Five segments of ten packets.
SIZE, SEGMENT = 50_000, 10_000


def flooded(make_network: Any, places: Any = LINE, **options: Any) -> Any:
    transport = {
        "max_hops": 9, "packet_bytes": 1000, "packet_header_bytes": 0, "multicast": "flood",
        "segment_bytes": SEGMENT,
    }  # fmt: skip
    settings = {
        "mac": Ideal(),
        "phy": Shannon(),
        "bandwidth_hz": 1e6,
        "tx_power_dbm": 0.0,
    } | options
    transport |= settings.pop("transport", {})
    if isinstance(settings["mac"], Csma):
        # The rates of Wi-Fi begin at a higher SNR.
        power_dbm = settings["tx_power_dbm"] + 20
        settings |= {"phy": Wifi(), "bandwidth_hz": 20e6, "tx_power_dbm": power_dbm}
    return make_network(places, transport=Transport(**transport), **settings)


def flood(
    network: Any, source: int, targets: Any, size: int = SIZE, lifetime_s: float = 100.0
) -> list[Any]:
    events = network.broadcast(Message(source, 0, size, lifetime_s), list(targets))
    network.env.run(until=network.env.all_of(events))
    return [event.value for event in events]


def segment_s(make_network: Any, places: Any) -> float:
    """Return the time of a segment over one hop, in whole slots."""
    network = flooded(make_network, places)
    event = network.send(Message(0, 1, SEGMENT, 100.0))
    network.env.run(until=event)
    return math.ceil(event.value.latency_s / network.slot_s - 1e-9) * float(network.slot_s)


def test_segments_follow_each_other_along_a_line(make_network: Any) -> None:
    """Law: over k equal hops, n segments take n + k - 1 times as long as one over one hop."""
    step_s = segment_s(make_network, LINE)
    network = flooded(make_network)
    found = flood(network, 0, [1, 2, 3, 4])
    network.close()
    for hops, transfer in enumerate(found, 1):
        assert transfer.delivered
        assert transfer.latency_s == pytest.approx((4 + hops) * step_s, abs=2 * network.slot_s)
        assert transfer.hops == hops
        parts_s = (
            transfer.queue_s, transfer.channel_access_s, transfer.airtime_s,
            transfer.retransmission_s, transfer.backhaul_s,
        )  # fmt: skip
        assert sum(parts_s) == pytest.approx(transfer.latency_s, abs=1e-8)


@pytest.mark.parametrize("size", [1, 9_999, 10_000, 10_001, 54_321])
def test_each_device_receives_each_segment_once(make_network: Any, size: int) -> None:
    """Law: bits are conserved, also in a last segment and packet that are not full."""
    network = flooded(make_network, transport={"packet_header_bytes": 40})
    found = flood(network, 0, [3, 1, 4, 2], size)
    network.close()
    air_bytes = size + 40 * math.ceil(size / 1000)
    assert {each.acked_bytes for each in found} == {air_bytes}
    assert {each.carried_bytes for each in found} == {air_bytes}
    assert {each.attempts for each in found} == {math.ceil(size / SEGMENT)}
    assert network.rx_s[0] == 0
    assert [len(each.items) for each in network.inbox[:5]] == [0, 1, 1, 1, 1]


def test_neighbours_at_one_place_share_each_segment(make_network: Any) -> None:
    """Without fading all are served at once; the expected rate is lower, as with fading."""
    places = ((0.0, 0.0), *((400.0, 10.0 * number) for number in range(4)))
    alone = flooded(make_network, places, transport={"multicast": "paths"})
    flood(alone, 0, [1, 2, 3, 4])
    network = flooded(make_network, places, tx_power_dbm=20.0)
    found = flood(network, 0, [1, 2, 3, 4])
    assert {each.hops for each in found} == {1}
    assert np.count_nonzero(network.tx_s) == 1
    assert len({each.ended_s for each in found}) == 1


@pytest.mark.parametrize("most", [2, 3, 4])
def test_the_number_of_hops_is_bounded(make_network: Any, most: int) -> None:
    found = flood(flooded(make_network, transport={"max_hops": most}), 0, [1, 2, 3, 4])
    assert all(each.delivered for each in found)
    assert max(each.hops for each in found) <= most


def test_a_receiver_gets_segments_from_others_when_a_link_breaks(make_network: Any) -> None:
    places = ((0.0, 0.0), (4000.0, 0.0), (4000.0, 1000.0), (8000.0, 0.0))
    free = flood(flooded(make_network, places), 0, [1, 2, 3])
    outage = LinkOutage(links=((1, 3),), from_s=0.6 * free[2].latency_s)
    network = flooded(make_network, places, faults={"link_outages": (outage,)})
    found = flood(network, 0, [1, 2, 3])
    network.close()
    assert all(each.delivered for each in found)
    assert all(each.acked_bytes == SIZE for each in found)
    # The segment that was on the air is lost in part, and sent again.
    assert found[2].attempts > 5
    assert SIZE <= found[2].carried_bytes < SIZE + SEGMENT


def test_what_has_not_arrived_by_the_deadline_is_late(make_network: Any) -> None:
    step_s = segment_s(make_network, LINE)
    found = flood(flooded(make_network), 0, [1, 2, 3, 4], lifetime_s=6.5 * step_s)
    assert [each.delivered for each in found] == [True, True, False, False]
    assert {each.reason for each in found[2:]} == {"deadline"}
    # A segment is half received then.
    assert found[2].acked_bytes == pytest.approx(4.5 * SEGMENT, rel=0.01)
    assert found[3].acked_bytes == pytest.approx(3.5 * SEGMENT, rel=0.01)


def test_one_receiver_is_served_over_a_path(make_network: Any) -> None:
    """Law: to the bit."""
    seen = [
        repr(flood(flooded(make_network, transport={"multicast": each}), 0, [4]))
        for each in ("flood", "paths")
    ]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("mac", MACS, ids=["ofdma", "shared", "reuse", "csma", "sidelink"])
def test_engines_agree_on_floods_to_the_last_bit(make_network: Any, mac: Any) -> None:
    seen = []
    for engine in ("windowed", "packet"):
        network = flooded(
            make_network, motion=RandomWaypoint(speed_mps=(5, 20)).motion(6, (900.0, 900.0), 4),
            mac=mac, engine=engine, fading=Rayleigh(), csi_delay_s=0.003, tx_power_dbm=-5.0,
            phy=Shannon(bler=0.1), transport={"max_hops": 3, "segment_bytes": 3_000},
        )  # fmt: skip
        events = [
            event
            for source in range(6)
            for event in network.broadcast(
                Message(source, 0, 10_000, 2.0), [(source + step) % 6 for step in (1, 2, 3, 4)]
            )
        ]
        network.env.run(until=network.env.all_of(events))
        network.close()
        transfers = list(network.transfers)
        assert 1 < max(each.hops for each in transfers) <= 3
        assert any(each.delivered for each in transfers)
        seen.append([*map(repr, transfers), network.tx_s, network.rx_s])
    assert repr(seen[0]) == repr(seen[1])


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["transport.max_hops=1"], "multicast flood needs relays, max_hops above 1, got 1"),
        (["transport.trace=true"], "trace follows packets in order"),
        (["transport.segment_bytes=10"], "segment_bytes"),
        (["traffic.broadcast=false"], "traffic.broadcast"),
    ],
)
def test_impossible_floods_are_refused(settings: list[str], complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(
        "name: mesh\ndevices: {count: 4}\ntransport: {max_hops: 3, multicast: flood}\n"
        "traffic: {size_bytes: 1000, broadcast: true}\n",
        "utf-8",
    )
    with pytest.raises(ScenarioError, match=complaint):
        plan(str(path), settings)
