"""Contact plans: routes of earliest arrival, and relays of satellites that follow them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wnsim.contacts.motion_plan import MotionPlan
from wnsim.contacts.plan import Contact, GivenPlan, crossing, earliest
from wnsim.contacts.plan_file import ContactPlanFile
from wnsim.contacts.satellite_plan import SatellitePlan
from wnsim.core.transfer import Message, Transfer
from wnsim.core.units import SPEED_OF_LIGHT_MPS
from wnsim.network import Network
from wnsim.network.relays import shortest
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.simulation.simulate import network_of

Links = dict[tuple[int, int], list[Contact]]


def random_plan(rng: np.random.Generator, nodes: int) -> list[tuple[int, int, Contact]]:
    """Return some contacts; those of a link do not overlap."""
    found = []
    for source, target in itertools.permutations(range(nodes), 2):
        edges_s = np.sort(rng.uniform(0.0, 100.0, 2 * rng.integers(0, 4)))
        found += [
            (source, target, Contact(begin_s, end_s, rng.uniform(0.5, 4.0), rng.uniform(0.0, 5.0)))
            for begin_s, end_s in edges_s.reshape(-1, 2).tolist()
        ]
    return found


def sent_over(contacts: list[Contact], begin_s: float, bits: float) -> float:
    """Return when the last bit arrives, by stepping from contact to contact."""
    arrival_s = 0.0
    for contact in contacts:
        from_s = max(begin_s, contact.begin_s)
        if from_s >= contact.end_s:
            continue
        carried = min(bits, (contact.end_s - from_s) * contact.rate_bps)
        arrival_s = from_s + carried / contact.rate_bps + contact.delay_s
        bits -= carried
        if bits <= 1e-12:
            return arrival_s
    return math.inf


def brute_force(links: Links, source: int, target: int, bits: float, most: int) -> float:
    """Return the earliest arrival over all sequences of contacts in which hops begin."""
    best = math.inf

    def extend(node: int, at_s: float, path: tuple[int, ...]) -> None:
        nonlocal best
        if node == target:
            best = min(best, at_s)
            return
        if len(path) > most:
            return
        for (one, other), contacts in links.items():
            if one == node and other not in path:
                for contact in contacts:
                    begin_s = max(at_s, contact.begin_s)
                    if begin_s < contact.end_s:
                        arrival_s = sent_over(contacts, begin_s, bits)
                        if arrival_s < math.inf:
                            extend(other, arrival_s, (*path, other))

    extend(source, 0.0, (source,))
    return best


@pytest.mark.parametrize("most", [1, 2, 4])
def test_routes_arrive_as_early_as_any_sequence_of_contacts(most: int) -> None:
    """Against brute force: 60 random plans of five nodes."""
    rng = np.random.default_rng(most)
    reached = 0
    for _ in range(60):
        given = random_plan(rng, 5)
        links: Links = {}
        for source, target, contact in given:
            links.setdefault((source, target), []).append(contact)
        bits = rng.integers(1, 60)
        expected_s = brute_force(links, 0, 4, float(bits), most)
        found = earliest(GivenPlan(given), [(0, 0.0)], [4], int(bits), most=most, until_s=1e6)
        assert (found is None) == (expected_s == math.inf)
        if found is not None:
            reached += 1
            assert found.arrival_s == pytest.approx(expected_s, rel=1e-12)
            assert len(found.hops) <= most
            assert [found.hops[0][0], found.hops[-1][1]] == [0, 4]
            assert all(one[1] == other[0] for one, other in itertools.pairwise(found.hops))
            late = earliest(GivenPlan(given), [(0, 0.0)], [4], int(bits), most=most,
                            until_s=found.arrival_s - 1e-9)  # fmt: skip
            assert late is None
    assert reached > 15


def test_a_node_may_be_left_out_and_starts_may_be_several() -> None:
    plan = GivenPlan(
        [(0, 1, Contact(0, 10, 1.0)), (1, 3, Contact(0, 30, 1.0)), (0, 2, Contact(5, 10, 2.0)),
         (2, 3, Contact(20, 30, 4.0, 1.0))]
    )  # fmt: skip
    first = earliest(plan, [(0, 0.0)], [3], 4, most=2, until_s=99)
    assert first is not None
    assert (first.hops, first.begin_s, first.arrival_s) == ([(0, 1), (1, 3)], 0.0, 8.0)
    other = earliest(plan, [(0, 0.0)], [3], 4, most=2, until_s=99, without=[1])
    assert other is not None
    assert (other.hops, other.begin_s, other.arrival_s) == ([(0, 2), (2, 3)], 5.0, 22.0)
    there = earliest(plan, [(1, 9.0), (3, 50.0)], [3], 4, most=2, until_s=99)
    assert there is not None
    assert there.arrival_s == 13.0
    assert crossing([Contact(0, 1, 1.0), Contact(5, 9, 1.0)], 0.0, 2) == (0.0, 6.0)
    assert crossing([Contact(0, 1, 1.0)], 0.0, 2) is None


# A satellite over the equator that passes the devices first, and the ground station later.
SCENE = """
name: passing
area_m: [10000, 10000]
devices: {count: 2, tx_power_dbm: 33, antenna: {model: isotropic, gain_dbi: 10}}
mobility: {model: static, layout: given, positions_m: [[5000, 5000], [6000, 5000]]}
channel: {shadowing: {sigma_db: 0}, fading: {model: none}, propagation_delay: true,
          satellite_path_loss: {model: free-space}}
radio: {frequency_hz: 2e9, bandwidth_hz: 1e6}
mac: {model: ofdma}
base_stations: {positions_m: [[4.005e6, 5000]], antenna_gain_dbi: 30, tx_power_dbm: 40,
                backhaul_delay_s: 0.02}
satellites: {orbit: {model: circular, inclination_deg: 0, phase_deg: 330}, min_elevation_deg: 10}
transport: {routing: contacts, max_hops: 2, on_link_failure: resume}
traffic: {size_bytes: 1000}
"""
DEVICE, STATION, SATELLITE, SERVER = 0, 2, 3, 4


def passing(scenario_of: Callable[[str], Any], text: str = SCENE) -> Network:
    scenario = scenario_of(text)
    return network_of(scenario, build_world(scenario))


def sent(network: Network, *messages: Message) -> list[Transfer]:
    network.env.run(until=network.env.all_of([network.send(each) for each in messages]))
    network.close()
    return [transfer for message in messages for transfer in network.transfers
            if transfer.message.size_bytes == message.size_bytes]  # fmt: skip


def test_a_message_waits_for_the_satellite_and_for_the_ground_station(
    scenario_of: Callable[[str], Any],
) -> None:
    """Closed form: it is sent when the satellite rises, and again when that sees the station."""
    network = passing(scenario_of)
    sky = network._world.sky
    assert sky is not None
    rise_s = sky.passes_s(DEVICE, SATELLITE, 0.0, 9000.0)[0, 0]
    station_s = sky.passes_s(STATION, SATELLITE, rise_s, 9000.0)[0, 0]
    # 4000 km of ground are 36 degrees, more than the arc of both horizons: no bent pipe.
    assert station_s > sky.passes_s(DEVICE, SATELLITE, 0.0, 9000.0)[0, 1]
    (found,) = sent(network, Message(DEVICE, SERVER, 10_000, 9000.0))
    assert (found.delivered, found.hops, found.attempts) == (True, 2, 2)
    assert found.started_s == pytest.approx(rise_s, abs=5.1e-3)
    delay_s = sum(
        sky.distance_m(node, SATELLITE, at_s) / SPEED_OF_LIGHT_MPS
        for node, at_s in ((DEVICE, rise_s), (STATION, station_s))
    )
    # Two transmissions of less than 0.2 s each, and the way to the server.
    assert station_s + 0.02 + delay_s / 2 < found.ended_s < station_s + 0.4
    assert found.airtime_s > delay_s
    parts_s = found.queue_s + found.airtime_s + found.channel_access_s + found.retransmission_s
    assert parts_s + found.backhaul_s == pytest.approx(found.latency_s, abs=1e-8)
    assert found.queue_s > station_s - 1.0
    (back,) = sent(network, Message(SERVER, DEVICE, 20_000, 20_000.0))
    assert (back.delivered, back.hops) == (True, 2)


def test_what_a_pass_does_not_carry_is_sent_in_the_next_one(
    scenario_of: Callable[[str], Any],
) -> None:
    """Custody: 150 MB take several passes, and every bit is sent once per hop."""
    narrow = SCENE.replace("bandwidth_hz: 1e6", "bandwidth_hz: 1e5")
    network = passing(scenario_of, narrow)
    (found,) = sent(network, Message(DEVICE, SERVER, 150_000_000, 86_400.0))
    assert found.delivered
    assert found.attempts > 3
    assert found.carried_bytes == pytest.approx(2 * found.air_bytes, abs=found.attempts)
    assert found.retransmission_s == 0.0


def test_arrivals_are_those_of_the_plan(scenario_of: Callable[[str], Any]) -> None:
    """Differential: alone and without fading, within 1 % of the time that hops take."""
    network = passing(scenario_of)
    world = network._world
    plan = SatellitePlan(world)
    for bits in (8_000_000, 80_000_000, 1_600_000_000):
        size = bits // 8 * 1460 // 1500
        on_air = network._transport.air_bits(size)
        start_s = network.now_s
        route = earliest(plan, [(DEVICE, start_s)], [STATION], on_air, most=2, until_s=1e6)
        assert route is not None
        (found,) = sent(network, Message(DEVICE, SERVER, size, 400_000.0))
        assert found.delivered
        assert found.ended_s - 0.02 - route.arrival_s == pytest.approx(
            0.0, abs=0.01 * found.airtime_s + 0.01
        )


@pytest.mark.parametrize("phy", ["{model: shannon, gap_db: 3, bler: 0.1}",
                                 "{model: nr, harq_processes: 16}"])  # fmt: skip
def test_both_engines_relay_alike(scenario_of: Callable[[str], Any], phy: str) -> None:
    """To the last bit, with fading, several messages, and two satellites."""
    seen = []
    text = SCENE.replace("fading: {model: none}", "fading: {model: rician, k_db: 8}")
    text = text.replace("{sigma_db: 0}", "{waves: 16}").replace(
        "{model: free-space}", "{model: ntn}"
    )
    text = text.replace("phase_deg: 330", "phase_deg: 330, per_plane: 2")
    text = text.replace("radio: {", f"radio: {{phy: {phy}, ").replace(
        "backhaul_delay_s", "height_m: 5, backhaul_delay_s"
    )
    for engine in ("windowed", "packet"):
        scenario = scenario_of(text + f"engine: {engine}\n")
        network = network_of(scenario, build_world(scenario))
        server = SERVER + 1
        sent(network, Message(0, server, 200_000, 9000.0), Message(1, server, 100_000, 9000.0),
             Message(server, 1, 50_000, 9000.0), Message(0, 1, 20_000, 9000.0))  # fmt: skip
        assert all(transfer.delivered for transfer in network.transfers)
        seen.append(([repr(each) for each in network.transfers], network.tx_s.tolist()))
    assert seen[0] == seen[1]


def test_without_a_route_a_message_is_late(scenario_of: Callable[[str], Any]) -> None:
    (found,) = sent(passing(scenario_of), Message(DEVICE, SERVER, 10_000, 100.0))
    assert (found.reason, found.attempts, found.latency_s) == ("deadline", 0, 100.0)
    assert found.queue_s == pytest.approx(100.0)


def test_an_outage_on_the_way_is_waited_for(scenario_of: Callable[[str], Any]) -> None:
    """A fault that the plan does not have: the link is tried again each second."""
    network = passing(scenario_of)
    assert network._world.sky is not None
    rise_s = network._world.sky.passes_s(DEVICE, SATELLITE, 0.0, 9000.0)[0, 0]
    crash = f"{{devices: [0], from_s: {rise_s + 0.01}, until_s: {rise_s + 30}}}"
    outage = SCENE + f"faults: {{crashes: [{crash}]}}\n"
    (found,) = sent(passing(scenario_of, outage), Message(DEVICE, SERVER, 1_000_000, 9000.0))
    assert found.delivered
    assert found.attempts > 2


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("routing: contacts, ", "", "got satellites with routing rates"),
        ("model: ofdma", "model: reuse", "of model ideal, ofdma or tdma, got reuse"),
        ("max_hops: 2", "max_hops: 1", "needs relays, max_hops above 1, got 1"),
        ("resume", "discard", "needs on_link_failure resume"),
        ("1000}", "1000, broadcast: true}", "a route for each receiver: leave out broadcast"),
        ("bandwidth_hz: 1e6", "bandwidth_hz: 1e6, phy: {model: nr}",
         r"harq_processes must be at least 13, the slots of a round trip of 12.9 ms"),
        ("model: circular, inclination_deg: 0, phase_deg: 330",
         "model: tle, file: no.tle, start: 2026-01-01T00:00:00Z", "no.tle: no such file"),
        ("phase_deg: 330", "phasing: 3", "phasing must be below planes, 1, got 3"),
        ("min_elevation_deg: 10", "min_elevation_deg: 95", "min_elevation_deg"),
    ],
)  # fmt: skip
def test_impossible_scenarios_are_refused(
    scenario_of: Callable[[str], Any], old: str, new: str, sentence: str
) -> None:
    """Contract: one sentence each, before anything runs."""
    assert old in SCENE
    with pytest.raises(ScenarioError, match=sentence):
        build_world(scenario_of(SCENE.replace(old, new)))


FILED = """
name: filed
devices: {count: 4}
mobility: {model: static}
contact_plan: {file: plan.csv}
transport: {routing: contacts, max_hops: 3, on_link_failure: resume, packet_header_bytes: 0}
traffic: {size_bytes: 1000}
"""
HEADER = "source,target,begin_s,end_s,rate_bps,delay_s\n"


def test_messages_arrive_when_the_plan_of_a_file_says(
    scenario_of: Callable[[str], Any], tmp_path: Path
) -> None:
    """Against brute force: 20 random plans of four devices, simulated hop by hop."""
    rng = np.random.default_rng(5)
    delivered = 0
    for _ in range(20):
        given = [
            (source, target, Contact(each.begin_s, each.end_s, 1e3 * each.rate_bps, 2.0))
            for source, target, each in random_plan(rng, 4)
        ]
        (tmp_path / "plan.csv").write_text(
            HEADER
            + "".join(
                f"{source},{target},{each.begin_s},{each.end_s},{each.rate_bps},{each.delay_s}\n"
                for source, target, each in given
            ),
            "utf-8",
        )
        links: Links = {}
        for source, target, contact in given:
            links.setdefault((source, target), []).append(contact)
        size = int(rng.integers(100, 4000))
        expected_s = brute_force(links, 0, 3, 8.0 * size, 3)
        network = passing(scenario_of, FILED)
        (found,) = sent(network, Message(0, 3, size, 500.0))
        assert found.delivered == (expected_s < 500.0)
        if found.delivered:
            delivered += 1
            # Each hop is rounded to nanoseconds three times at most.
            assert found.latency_s == pytest.approx(expected_s, abs=1e-8)
            assert found.airtime_s >= 2.0 * found.hops
    assert delivered > 8


def test_ion_plans_are_those_of_the_table(tmp_path: Path) -> None:
    """Against the table: bytes per second, and ranges of both directions."""
    ion, table = tmp_path / "plan.ionrc", tmp_path / "plan.csv"
    ion.write_text(
        "# two passes\na contact +0 +60 0 2 12500\na contact +0 +60 2 0 25000\n"
        "a contact +100 +160 2 1 12500\na range +0 +60 0 2 1\na range +90 +200 2 1 0.25\n",
        "utf-8",
    )
    table.write_text(
        HEADER + "0,2,0,60,1e5,1\n2,0,0,60,2e5,1\nstation-0,one,100,160,1e5,0.25\n", "utf-8"
    )
    plans = [ContactPlanFile(file=str(each)).plan(["zero", "one"], 1) for each in (ion, table)]
    assert plans[0].links == plans[1].links == [(0, 2), (2, 0), (2, 1)]
    for link in plans[0].links:
        first, second = (plan.contacts(*link, 0.0, 1e9) for plan in plans)
        assert first == second
        assert plans[0].delay_s(*link, 120.0) == first[0].delay_s


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must have 1 to 1000000 contacts, got 0"),
        (HEADER + "0,9,0,1,1,0\n", r":2: a node must be a device or a station .*, got '9'"),
        (HEADER + "0,1,5,1,1,0\n", ":2: a contact must end after its begin at 5 s, got 1 s"),
        (HEADER + "0,1,0,5,1,0\n0,1,4,6,1,0\n", ":3: contacts of a link must not overlap"),
        (HEADER + "0,1,0,5,nan,0\n", "rate_bps must be from 0 to 1e[+]15, got 'nan'"),
        (HEADER + "0,1,0,5\n", "must have the values .*, got 4"),
        (HEADER + "1,1,0,5,1,0\n", "must join two nodes, got 1 twice"),
        ("a contact +0 +5 0 1 10\n", ":1: a contact needs a range at its start"),
        ("a contact 2026/01/01-00:00:00 +5 0 1 10\n", "must be relative, such as"),
        ("m horizon +0\n", "a command must be `a contact` or `a range`"),
    ],
)
def test_wrong_plans_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """Contract: file, line, rule and value."""
    file = tmp_path / "plan"
    file.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=sentence):
        ContactPlanFile(file=str(file)).plan(["a", "b"])


def test_routes_of_static_devices_are_shortest_paths(make_network: Any) -> None:
    """Against the paths of relays: without motion both are those of least total time."""
    rng = np.random.default_rng(2)
    for _ in range(5):
        places = tuple(map(tuple, rng.uniform(0.0, 9000.0, (6, 2)).tolist()))
        world = make_network(places, bandwidth_hz=1e6, tx_power_dbm=13.0)._world
        plan = MotionPlan(world)
        with np.errstate(divide="ignore"):
            time_s = 1.0 / world.snapshot(0.0).rate_bps
        hops = shortest(time_s, 0, 5, 3)
        assert hops is not None
        found = earliest(plan, [(0, 0.3)], [5], 2_000_000, most=3, until_s=1e5)
        assert found is not None
        expected_s = 0.3 + sum(2_000_000 * time_s[hop] for hop in hops)
        assert found.arrival_s == pytest.approx(expected_s, rel=1e-9)
        assert found.hops == hops


FERRY = """
name: ferry
area_m: [40000, 100]
devices: {count: 3}
mobility: {model: trace, file: ferry.csv, coordinates: meters}
channel: {path_loss: {model: log-distance, exponent: 3.5}, shadowing: {sigma_db: 0},
          fading: {model: none}}
radio: {bandwidth_hz: 1e6}
transport: {routing: contacts, max_hops: 2, on_link_failure: resume}
traffic: {size_bytes: 1000}
"""


def test_a_ferry_of_a_trace_carries_messages(
    scenario_of: Callable[[str], Any], tmp_path: Path
) -> None:
    """A device that is at one shore first and at the other one later: both engines alike."""
    rows = ["t_s,id,x_m,y_m"]
    for second in range(0, 201, 10):
        ferry_m = float(np.clip(300.0 * (second - 50), 100.0, 29_900.0))
        rows += [f"{second},a,0,0", f"{second},b,30000,0", f"{second},ferry,{ferry_m},0"]
    (tmp_path / "ferry.csv").write_text("\n".join(rows) + "\n", "utf-8")
    seen = []
    for engine in ("windowed", "packet"):
        network = passing(scenario_of, FERRY.replace("name:", f"engine: {engine}\nname:"))
        (found,) = sent(network, Message(0, 1, 500_000, 200.0))
        assert (found.delivered, found.hops) == (True, 2)
        assert 120.0 < found.latency_s < 155.0
        seen.append(repr(found))
    assert seen[0] == seen[1]
