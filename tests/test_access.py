"""Sharing of the band: fixed shares, turns, cells and interference against closed forms."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import integrate

from wnsim.channel import LogDistance, Rayleigh
from wnsim.core.transfer import Message, Transfer
from wnsim.core.units import SPEED_OF_LIGHT_MPS, dbm_to_w, thermal_noise_w
from wnsim.mac import Cell, Ideal, Reuse, Tdma
from wnsim.mobility import Static
from wnsim.network import Backhaul, Network
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.simulation.simulate import network_of
from wnsim.scenario.spec.schema import Scenario

Make = Callable[..., Network]
POWER_W = float(dbm_to_w(23.0))
NOISE_W = float(thermal_noise_w(20e6, 9.0))


def gain(distance_m: float) -> float:
    """Return the free-space gain."""
    return (SPEED_OF_LIGHT_MPS / 3.5e9 / (4 * np.pi * distance_m)) ** 2


def run(network: Network, messages: list[Message]) -> list[Transfer]:
    events = [network.send(message) for message in messages]
    network.env.run(until=network.env.all_of(events))
    return [event.value for event in events]


def rate_bps(sinr: float, band: float = 1.0) -> float:
    return float(20e6 * band * np.log2(1 + sinr))


def test_ideal_access_is_no_access(make_network: Make) -> None:
    positions = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0))
    transfers = run(
        make_network(positions, mac=Ideal()),
        [Message(0, 1, 10**6, 9.0), Message(0, 2, 10**6, 9.0), Message(1, 0, 10**6, 9.0)],
    )
    for transfer in transfers:
        expected_s = 8e6 / rate_bps(POWER_W * gain(100.0) / NOISE_W)
        assert transfer.latency_s == pytest.approx(expected_s, rel=1e-4)
        assert transfer.queue_s == transfer.channel_access_s == transfer.retransmission_s == 0


@pytest.mark.parametrize("turn_slots", [1, 5])
def test_turns_divide_the_time(make_network: Make, turn_slots: int) -> None:
    """Law: of n transfers under way each one gets every nth turn, without interference."""
    positions = tuple((200.0 * pair, y) for pair in range(4) for y in (0.0, 100.0))
    network = make_network(positions, mac=Tdma(turn_slots=turn_slots))
    transfers = run(network, [Message(2 * pair, 2 * pair + 1, 10**7, 99.0) for pair in range(4)])
    alone_s = 8e7 / rate_bps(POWER_W * gain(100.0) / NOISE_W)
    for transfer in transfers:
        assert transfer.airtime_s == pytest.approx(alone_s, rel=1e-3)
        assert transfer.latency_s == pytest.approx(4 * alone_s, abs=4e-3 * turn_slots)
        assert transfer.channel_access_s == pytest.approx(3 * alone_s, abs=4e-3 * turn_slots)


def test_interference_is_the_sum_of_what_is_on_the_air(make_network: Make) -> None:
    """Law: log2(1 + S / (N + I1 + I2)) while three links are on one band."""
    positions = (
        (0.0, 700.0), (50.0, 700.0), (0.0, 1100.0), (50.0, 1100.0), (0.0, 0.0), (50.0, 0.0)
    )  # fmt: skip
    network = make_network(positions, mac=Reuse())
    links = [(0, 1), (2, 3), (4, 5)]
    # The measured link ends while the others are still on the air.
    sizes = [10**6, 10**8, 10**8]
    first, *_ = run(network, [Message(*link, n, 2.0) for link, n in zip(links, sizes, strict=True)])
    disturbed_w = POWER_W * sum(gain(float(np.hypot(50.0, y))) for y in (400.0, 700.0))
    expected_bps = rate_bps(POWER_W * gain(50.0) / (NOISE_W + disturbed_w))
    assert first.latency_s == pytest.approx(8e6 / expected_bps, rel=1e-4)
    assert first.mean_snr_db == pytest.approx(
        10 * np.log10(POWER_W * gain(50.0) / (NOISE_W + disturbed_w)), abs=1e-6
    )


def test_interference_ends_with_the_slot_after_its_source(make_network: Make) -> None:
    positions = ((0.0, 0.0), (50.0, 0.0), (0.0, 200.0), (50.0, 200.0))
    network = make_network(positions, mac=Reuse())
    long, short = run(network, [Message(0, 1, 10**7, 9.0), Message(2, 3, 10**5, 9.0)])
    disturbed_w = POWER_W * gain(float(np.hypot(50.0, 200.0)))
    slow = rate_bps(POWER_W * gain(50.0) / (NOISE_W + disturbed_w))
    fast = rate_bps(POWER_W * gain(50.0) / NOISE_W)
    until_s = np.ceil(short.latency_s * 1e3) * 1e-3
    assert long.latency_s == pytest.approx(until_s + (8e7 - slow * until_s) / fast, rel=1e-4)


def test_who_cannot_be_heard_does_not_disturb(make_network: Make) -> None:
    loss = LogDistance(exponent=4.0)
    positions = ((0.0, 0.0), (30.0, 0.0), (0.0, 9000.0), (30.0, 9000.0))
    both = run(
        make_network(positions, mac=Reuse(), path_loss=loss),
        [Message(0, 1, 10**6, 9.0), Message(2, 3, 10**6, 9.0)],
    )
    (alone,) = run(
        make_network(positions, mac=Reuse(), path_loss=loss), [Message(0, 1, 10**6, 9.0)]
    )
    assert both[0] == alone


def test_radios_are_half_duplex_and_hear_one_at_a_time(make_network: Make) -> None:
    positions = ((0.0, 0.0), (50.0, 0.0), (100.0, 0.0))
    network = make_network(positions, mac=Reuse())
    there, back, other = run(
        network, [Message(0, 1, 10**6, 9.0), Message(1, 0, 10**6, 9.0), Message(2, 1, 10**6, 9.0)]
    )
    spans = sorted((t.started_s, t.ended_s) for t in (there, back, other))
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_protection_keeps_a_loud_neighbor_waiting(make_network: Make) -> None:
    """Law: with 20 dB of protection, links whose ratio is (d'/d)^2 = 12 dB take turns."""
    positions = ((0.0, 0.0), (50.0, 0.0), (0.0, 200.0), (50.0, 200.0))
    messages = [Message(0, 1, 10**6, 9.0), Message(2, 3, 10**6, 9.0)]
    first, second = run(make_network(positions, mac=Reuse(protection_ratio_db=20)), messages)
    assert second.started_s >= first.ended_s
    first, second = run(make_network(positions, mac=Reuse(protection_ratio_db=10)), messages)
    assert first.started_s == second.started_s == 0.0


class Parting:
    """A pair of devices that stays, and another one that moves away at 50 m/s."""

    names = ("0", "1", "2", "3")
    max_speed_mps = 50.0
    _still = Static(
        layout="given", positions_m=((0.0, 0.0), (50.0, 0.0), (0.0, 100.0), (50.0, 100.0))
    ).motion(4, (1e4, 1e4), 1)

    def position_m(self, devices: Any, t_s: Any) -> Any:
        places_m = self._still.position_m(devices, t_s).copy()
        places_m[np.asarray(devices) > 1, :, 1] += 50.0 * np.asarray(t_s)
        return places_m

    def present(self, devices: Any, t_s: Any) -> Any:
        return np.ones((np.size(devices), np.size(t_s)), dtype=bool)

    def next_change_s(self, t_s: float) -> float:
        return np.inf

    def presence_end_s(self, device: int, t_s: float) -> float:
        return np.inf


@pytest.mark.parametrize("engine", ["windowed", "packet"])
def test_protection_ends_when_the_neighbor_is_far_enough(make_network: Make, engine: str) -> None:
    """Law: with 20 dB of protection, the other pair may start 10 d away, at 500 m or 8 s."""
    network = make_network(motion=Parting(), mac=Reuse(protection_ratio_db=20), engine=engine)
    messages = [Message(0, 1, 10**9, 60.0), Message(2, 3, 10**6, 60.0)]
    first, second = run(network, messages)
    # Distances between receivers and the other transmitters, of 50 and y m; d'^2 = 100 d^2.
    allowed_s = (np.sqrt(100.0 * 50.0**2 - 50.0**2) - 100.0) / 50.0
    # The graph of neighbors is renewed whenever a device may have moved by a few meters.
    assert allowed_s <= second.started_s <= allowed_s + 0.3
    assert second.ended_s < first.ended_s


def test_through_a_base_station(make_network: Make) -> None:
    """Law: uplink and downlink follow one another, each at the rate of its own link."""
    network = make_network(((0.0, 0.0), (300.0, 0.0)), mac=Cell(), stations_m=((100.0, 0.0),))
    (transfer,) = run(network, [Message(0, 1, 10**6, 9.0)])
    expected_s = sum(8e6 / rate_bps(POWER_W * gain(d) / NOISE_W) for d in (100.0, 200.0))
    assert transfer.delivered
    assert transfer.hops == 2
    # The second hop waits for the next slot.
    assert transfer.latency_s == pytest.approx(expected_s, abs=1.1e-3)
    assert transfer.airtime_s == pytest.approx(expected_s, rel=1e-3)
    assert network.inbox[1].items == [transfer.message]


def test_over_the_backhaul(make_network: Make) -> None:
    stations = ((0.0, 100.0), (20_000.0, 100.0))
    positions = ((0.0, 0.0), (20_000.0, 0.0), (100.0, 100.0))
    messages = [Message(0, 1, 10**6, 9.0), Message(0, 2, 10**6, 9.0)]
    slow = Backhaul(rate_bps=1e7, delay_s=0.05)
    far, near = run(
        make_network(positions, mac=Cell(), stations_m=stations, backhaul=slow), messages
    )
    assert far.backhaul_s == pytest.approx(0.05 + 0.8)
    assert near.backhaul_s == 0
    assert far.latency_s > 0.85
    late = make_network(positions, mac=Cell(), stations_m=stations, backhaul=slow)
    (transfer,) = run(late, [Message(0, 1, 10**6, 0.5)])
    assert (transfer.delivered, transfer.reason) == (False, "deadline")
    assert transfer.latency_s == pytest.approx(0.5)


BACKHAUL = """
name: backhaul
area_m: [20000, 200]
devices: {count: 2}
mobility: {model: static, layout: given, positions_m: [[0, 0], [20000, 0]]}
channel: {path_loss: {model: free-space}, shadowing: {sigma_db: 0}, fading: {model: none}}
mac: {model: cell}
base_stations:
  positions_m: [[0, 100], [20000, 100]]
  backhaul_bps: 4e6
  backhaul_delay_s: 0.125
traffic: {size_bytes: 1}
"""


def test_the_rate_of_the_backhaul(scenario_of: Callable[[str], Scenario]) -> None:
    """Law: a message spends the delay and its bits over the rate; without a rate, the delay.

    Its bits are those of 10^6 bytes and the headers of 40 bytes of 685 packets of 1460.
    """
    for text, expected_s in (
        (BACKHAUL, 0.125 + 8 * (10**6 + 685 * 40) / 4e6),
        (BACKHAUL.replace("  backhaul_bps: 4e6\n", ""), 0.125),
    ):
        scenario = scenario_of(text)
        network = network_of(scenario, build_world(scenario))
        (transfer,) = run(network, [Message(0, 1, 10**6, 99.0)])
        assert transfer.delivered
        assert transfer.backhaul_s == pytest.approx(expected_s, rel=1e-9)


def cell_goodput(make_network: Make, scheduler: str, users: int) -> float:
    """Return the bits per hertz and second of a cell whose uplink is always full."""
    angle = 2 * np.pi * np.arange(users) / users
    positions = tuple(zip(500 + 200 * np.cos(angle), 500 + 200 * np.sin(angle), strict=True))
    network = make_network(
        positions,
        mac=Cell(scheduler=scheduler, memory_slots=1000),
        stations_m=((500.0, 500.0),),
        # Scatterers at 50 m/s: independent fading every millisecond or so.
        fading=Rayleigh(residual_speed_mps=50.0),
        tx_power_dbm=0.0,
        block_ns=1_000_000,
    )
    # To the station itself: the uplink alone.
    messages = [Message(user, users, 10**9, 8.0) for user in range(users)]
    transfers = run(network, messages)
    return sum(8 * t.acked_bytes for t in transfers) / 8.0 / 20e6


@pytest.mark.parametrize("users", [2, 8])
def test_schedulers_against_their_closed_forms(make_network: Make, users: int) -> None:
    """Law: with equal means in Rayleigh fading, turns give E log2(1 + s g), g exponential; the
    proportionally fair scheduler serves the best user, E log2(1 + s max g). Within 3 %."""
    snr = float(dbm_to_w(0.0)) * gain(200.0) / NOISE_W
    # The gain of the chosen user is a gain's maximum over n: distribution (1 - e^-g)^n.
    of = {"round-robin": 1, "proportional-fair": users}
    for scheduler, best_of in of.items():
        expected, _ = integrate.quad(
            lambda g, n=best_of: (
                np.log2(1 + snr * g) * n * np.exp(-g) * (1 - np.exp(-g)) ** (n - 1)
            ),
            0,
            40,
        )
        assert cell_goodput(make_network, scheduler, users) == pytest.approx(expected, rel=0.03)


def test_equal_split_of_a_cell(make_network: Make) -> None:
    """Law: in the uplink each device puts its full power on its part; in the downlink power and
    band are split."""
    positions = ((0.0, 0.0), (200.0, 0.0))
    network = make_network(positions, mac=Cell(scheduler="equal"), stations_m=((100.0, 0.0),))
    snr = POWER_W * gain(100.0) / NOISE_W
    up = run(network, [Message(device, 2, 10**6, 9.0) for device in (0, 1)])
    for transfer in up:
        assert transfer.latency_s == pytest.approx(8e6 / rate_bps(2 * snr, 0.5), rel=1e-3)
    down = run(network, [Message(2, device, 10**6, 9.0) for device in (0, 1)])
    for transfer in down:
        assert transfer.airtime_s == pytest.approx(8e6 / rate_bps(snr, 0.5), rel=1e-3)


def test_a_device_that_sends_to_two_stations_splits_its_power(make_network: Make) -> None:
    """Law: half of the power to each, whenever the second transfer begins, in both engines."""
    stations = ((0.0, 50.0), (500.0, 50.0))
    seen = []
    for engine in ("windowed", "packet"):
        network = make_network(
            ((100.0, 0.0),), mac=Cell(scheduler="equal"), stations_m=stations, engine=engine
        )
        first = network.send(Message(0, 1, 300_000, 9.0))
        network.env.run(until=network.timeout(0.005))
        second = network.send(Message(0, 2, 300_000, 9.0))
        network.env.run(until=network.env.all_of([first, second]))
        seen.append([repr(transfer) for transfer in network.transfers])
        near, far = (gain(float(np.hypot(x - 100.0, 50.0))) for x in (0.0, 500.0))
        # A transmitter does not interfere with its own receiver.
        assert (
            10 ** (second.value.mean_snr_db / 10)
            == pytest.approx(POWER_W / 2 * far / NOISE_W, rel=1e-6)
            or second.value.ended_s > first.value.ended_s
        )
        assert 10 ** (first.value.mean_snr_db / 10) < POWER_W * near / NOISE_W
    assert seen[0] == seen[1]


def test_neighboring_cells_disturb_each_other_in_the_same_direction(make_network: Make) -> None:
    """Law: a station hears the other cell's device; a device hears the other station."""
    positions = ((0.0, 50.0), (500.0, 50.0))
    stations = ((0.0, 0.0), (500.0, 0.0))
    network = make_network(positions, mac=Cell(scheduler="round-robin"), stations_m=stations)
    near, far = gain(50.0), gain(float(np.hypot(500.0, 50.0)))
    sinr_db = 10 * np.log10(POWER_W * near / (NOISE_W + POWER_W * far))
    for messages in (
        [Message(0, 2, 10**6, 9.0), Message(1, 3, 10**6, 9.0)],
        [Message(2, 0, 10**6, 9.0), Message(3, 1, 10**6, 9.0)],
    ):
        for transfer in run(network, messages):
            assert transfer.mean_snr_db == pytest.approx(sinr_db, abs=1e-6)
    # Uplink and downlink use separate bands.
    for transfer in run(network, [Message(0, 2, 10**6, 9.0), Message(3, 1, 10**6, 9.0)]):
        alone_db = 10 * np.log10(POWER_W * near / NOISE_W)
        assert transfer.mean_snr_db == pytest.approx(alone_db, abs=1e-6)


def test_broadcast_at_the_rate_of_the_worst(make_network: Make) -> None:
    positions = ((0.0, 0.0), (50.0, 0.0), (100.0, 0.0), (200.0, 0.0))
    network = make_network(positions)
    events = network.broadcast(Message(0, 1, 10**6, 9.0), [1, 2, 3])
    network.env.run(until=network.env.all_of(events))
    transfers = [event.value for event in events]
    expected_s = 8e6 / rate_bps(POWER_W * gain(200.0) / NOISE_W)
    for transfer, target in zip(transfers, (1, 2, 3), strict=True):
        assert transfer.message.target == target
        assert transfer.receivers == 3
        assert transfer.latency_s == pytest.approx(expected_s, rel=1e-4)
    # Sent once: a third of the airtime of three transfers.
    assert network.tx_s[0] == pytest.approx(expected_s, rel=2e-3)


def test_a_broadcast_goes_up_to_its_station_once(make_network: Make) -> None:
    positions = ((0.0, 0.0), (200.0, 0.0), (100.0, 100.0))
    network = make_network(positions, mac=Cell(), stations_m=((100.0, 0.0),))
    events = network.broadcast(Message(0, 1, 10**6, 9.0), [1, 2])
    network.env.run(until=network.env.all_of(events))
    assert all(event.value.delivered for event in events)
    one_leg_s = 8e6 / rate_bps(POWER_W * gain(100.0) / NOISE_W)
    # A slot at most is used in part.
    assert network.tx_s[0] == pytest.approx(one_leg_s, abs=1e-3)
    assert network.tx_s[3] == pytest.approx(2 * one_leg_s, abs=4e-3)


def test_broadcast_at_a_quantile_leaves_the_worst_to_others_luck(make_network: Make) -> None:
    """Law: half of four receivers may be worse; those receive nothing until the others are done,
    and then the complete message at the rate of the worst remaining receiver."""
    positions = ((0.0, 0.0), (50.0, 0.0), (100.0, 0.0), (200.0, 0.0), (400.0, 0.0))
    network = make_network(positions)
    events = network.broadcast(Message(0, 1, 10**6, 9.0), [1, 2, 3, 4], quantile=0.5)
    network.env.run(until=network.env.all_of(events))
    ended_s = [event.value.ended_s for event in events]
    snr = [POWER_W * gain(d) / NOISE_W for d in (50.0, 100.0, 200.0, 400.0)]
    # Sorted from worst to best the third of four is chosen: 100 m; then the second of two: 200 m.
    first_s = 8e6 / rate_bps(snr[1])
    assert ended_s[0] == ended_s[1] == pytest.approx(first_s, rel=1e-4)
    assert ended_s[2] == pytest.approx(first_s + 8e6 / rate_bps(snr[2]), abs=1.1e-3)
    assert ended_s[3] == pytest.approx(ended_s[2] + 8e6 / rate_bps(snr[3]), abs=1.1e-3)
