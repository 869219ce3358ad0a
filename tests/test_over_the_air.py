"""Over-the-air computation on the network: closed forms, limits, faults, sessions and errors."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import exp1

from fl.config import Full, Learning, Ring, Server, Synchronous
from fl.session.quadratic_trainer import QuadraticTrainer
from wnsim.channel import Rayleigh, TappedDelayLine
from wnsim.core.transfer import Message
from wnsim.core.units import db_to_linear
from wnsim.faults import Crash, Jamming, LinkOutage
from wnsim.mac import Cell, OverTheAir, Tdma
from wnsim.mac.over_the_air import least_error_snr, squared_error
from wnsim.metrics.delivery import of_transfers
from wnsim.mobility import RandomWaypoint
from wnsim.network import Backhaul
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.simulation.simulate import network_of
from wnsim.scenario.spec.plan import plan
from wnsim.storage.records import transfer_table, write_table

BAND_HZ, BLOCK_NS = 1e6, 1_000_000
STATION = ((0.0, 0.0),)
ACCESS = {each.name for each in dataclasses.fields(OverTheAir)}
# Symbols in a slot of 1 ms.
SYMBOLS = 1000


def circle(count: int, radius_m: float = 200.0) -> tuple[tuple[float, float], ...]:
    """Return places at one distance from the station, in a quarter of a circle."""
    angle = 0.5 * math.pi * np.arange(count) / count
    return tuple(zip(radius_m * np.cos(angle), radius_m * np.sin(angle), strict=True))


@pytest.fixture
def add(make_network: Any) -> Callable[..., Any]:
    """Return a runner of one group of all devices; gives network and group."""

    def run(
        places: Any, values: int = 20 * SYMBOLS, lifetime_s: float = 60.0, **options: Any
    ) -> Any:
        access = {each: options.pop(each) for each in list(options) if each in ACCESS}
        network = make_network(
            places, **{"stations_m": STATION, "bandwidth_hz": BAND_HZ, "block_ns": BLOCK_NS}
            | options, mac=OverTheAir(**access),
        )  # fmt: skip
        count = network.snapshot().present.size
        target = network.server
        messages = [Message(device, target, 1000, lifetime_s) for device in range(count)]
        group = network.superpose(messages, values)
        network.env.run(until=network.env.all_of(group.events))
        network.close()
        assert network.in_flight == 0
        return network, group

    return run


def snr_of(network: Any) -> Any:
    """Return the SNR of each device at the station at full power, without fading."""
    world = network.snapshot().world
    devices = np.arange(world.count)
    gain_db = world.channel.large_scale_db(devices, np.full(world.count, world.count), np.zeros(1))[
        :, 0
    ]
    noise_w = world.noise_w(np.array([world.count]), np.zeros(1, dtype=np.int64))[0, 0]
    return db_to_linear(gain_db) * world.tx_power_w[devices] / noise_w


def test_airtime_is_that_of_half_a_symbol_for_each_value_for_any_number_of_senders(
    add: Callable[..., Any],
) -> None:
    """Law: d / 2 symbols at a symbol per hertz and second, and an overhead in proportion."""
    for count in (1, 2, 7, 30):
        network, _ = add(circle(count), 20 * SYMBOLS)
        assert {each.airtime_s for each in network.transfers} == {10e-3}
    network, group = add(circle(3), 2 * SYMBOLS + 1, overhead=0.2)
    # 1001 symbols, 800 in each slot of 1 ms.
    (latency_s,) = {each.latency_s for each in network.transfers}
    assert latency_s == pytest.approx(1001 / 800 * 1e-3, abs=2e-9)
    assert group.superposition.ends == pytest.approx([800 / 1001, 1.0])


def test_senders_align_to_the_weakest_one(add: Callable[..., Any]) -> None:
    """Law: eta = min P |h|^2, power eta / |h|^2 of each, and noise sigma^2 / eta."""
    places = ((100.0, 0.0), (200.0, 0.0), (0.0, 400.0))
    network, group = add(places)
    snr = snr_of(network)
    assert group.superposition.amplitude == pytest.approx(1.0)
    assert group.superposition.noise == pytest.approx(1 / snr.min())
    assert network.tx_s[:3] == pytest.approx(10e-3 * snr.min() / snr)
    assert network.rx_s[3] == pytest.approx(10e-3)
    assert [each.mean_snr_db for each in network.transfers] == pytest.approx(
        [10 * math.log10(snr.min())] * 3
    )
    # Without the weakest one, noise is that of the second one.
    threshold_db = 10 * math.log10(snr[1]) - 1.0
    network, group = add(places, threshold_db=threshold_db)
    assert (group.superposition.amplitude[2] == 0).all()
    assert group.superposition.noise == pytest.approx(1 / snr[1])
    reasons = {each.message.source: each.reason for each in network.transfers}
    assert reasons == {0: "", 1: "", 2: "below-threshold"}


def test_truncated_inversion_spends_what_the_exponential_integral_says(
    add: Callable[..., Any],
) -> None:
    """Law (Zhu et al.): under Rayleigh fading with a threshold g on the gain over its mean, a share
    exp(-g) sends, with a mean power of g E1(g) of the full one."""
    count, g = 400, 0.4
    network, _ = add(circle(1), threshold_db=-100)
    threshold_db = 10 * math.log10(g * float(snr_of(network)[0]))
    found, power = [], []
    for seed in range(8):
        network, group = add(
            circle(count), 2 * SYMBOLS, fading=Rayleigh(waves=64), power_control="threshold",
            threshold_db=threshold_db, seed=seed,
        )  # fmt: skip
        found.append(group.superposition.amplitude[:, 0] != 0)
        power.append(network.tx_s[:count] / 1e-3)
        assert group.superposition.noise == pytest.approx(1 / db_to_linear(threshold_db))
    links = len(found) * count
    assert np.mean(found) == pytest.approx(math.exp(-g), abs=3 * (0.25 / links) ** 0.5)
    assert np.max(power) <= 1.0 + 1e-9
    assert np.mean(power) == pytest.approx(g * exp1(g), abs=3 * np.std(power) / links**0.5)


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_least_error_is_that_of_a_fine_grid(count: int) -> None:
    """Brute force over 200,000 received powers; a silent sender is left out."""
    rng = np.random.default_rng(count)
    snr = 10.0 ** rng.uniform(-1.5, 2.0, (count, 3))
    found = least_error_snr(snr)
    grid = np.logspace(-4, 4, 200_000)[:, None] * np.ones(3)
    error = squared_error(snr, grid)
    assert squared_error(snr, found) == pytest.approx(error.min(axis=0), rel=1e-7)
    assert (squared_error(snr, found) <= error.min(axis=0) * (1 + 1e-12)).all()
    silent = np.concatenate([snr, np.full((1, 3), np.inf)])
    assert least_error_snr(silent) == pytest.approx(found)
    assert np.isinf(least_error_snr(np.full((count, 2), np.inf))).all()


def test_limited_power_leaves_weak_senders_with_less(add: Callable[..., Any]) -> None:
    """Law: amplitude min(1, sqrt(P |h|^2 / eta)), at the eta of the formula."""
    places = ((100.0, 0.0), (300.0, 0.0), (3000.0, 0.0))
    network, group = add(places, power_control="least-error", threshold_db=-100, tx_power_dbm=-5.0)
    snr = snr_of(network)
    eta = least_error_snr(snr[:, None])[0]
    assert snr[2] < eta < snr[0]
    expected = np.minimum(np.sqrt(snr / eta), 1.0)
    assert group.superposition.amplitude[:, 0] == pytest.approx(expected)
    assert network.tx_s[2] == pytest.approx(10e-3)


def test_errors_of_estimates_and_phases(add: Callable[..., Any]) -> None:
    """Laws: E |h / (h + e) - 1|^2 is the error's relative variance, to first order; a phase of
    standard deviation s leaves a mean amplitude of exp(-s^2 / 2)."""
    blocks, count = 200, 40
    values = 2 * SYMBOLS * blocks
    _, group = add(circle(count), values, csi_error=1e-3)
    error = np.abs(group.superposition.amplitude - 1.0) ** 2
    samples = error.size
    assert error.mean() == pytest.approx(1e-3, rel=3 / samples**0.5 + 0.01)
    _, group = add(circle(count), values, phase_error_deg=40.0)
    found = group.superposition.amplitude
    assert np.abs(found) == pytest.approx(1.0)
    spread = math.radians(40.0)
    assert found.real.mean() == pytest.approx(
        math.exp(-(spread**2) / 2), abs=3 * found.real.std() / samples**0.5
    )
    assert np.angle(found).std() == pytest.approx(spread, rel=3 / (2 * samples) ** 0.5)
    assert found.imag.mean() == pytest.approx(0.0, abs=3 * found.imag.std() / samples**0.5)
    # Draws belong to sender and block: another sender changes none of them.
    _, more = add(circle(count + 1, 200.0)[:count], values, phase_error_deg=40.0)
    assert np.array_equal(more.superposition.amplitude, found)


def test_outdated_knowledge_of_a_moving_channel(add: Callable[..., Any]) -> None:
    """Inversion is exact for the present channel, and worse the older the estimate is."""
    motion = RandomWaypoint(speed_mps=(9.9, 10.0), pause_s=0.0).motion(5, (300.0, 300.0), 1)
    errors = []
    for delay_s in (0.0, 1e-3, 4e-3):
        _, group = add(
            (), motion=motion, fading=Rayleigh(), csi_delay_s=delay_s, threshold_db=-20.0
        )
        amplitude = group.superposition.amplitude
        errors.append(float(np.median(np.abs(amplitude[amplitude != 0] - 1.0))))
    assert errors[0] < 1e-9
    assert 0.01 < errors[1] < errors[2]


def test_each_coherence_block_and_subband_has_its_own_gain(add: Callable[..., Any]) -> None:
    motion = RandomWaypoint(speed_mps=(9.9, 10.0), pause_s=0.0).motion(4, (300.0, 300.0), 1)
    _, group = add((), motion=motion, fading=Rayleigh(), threshold_db=-20.0)
    assert group.superposition.noise.size == 10
    assert np.unique(group.superposition.noise).size == 10
    _, wide = add(
        (), motion=motion, threshold_db=-20.0, subbands=4,
        fading=TappedDelayLine(delay_spread_s=1e-6), bandwidth_hz=20e6,
    )  # fmt: skip
    # 10,000 symbols fit half a slot of 20 MHz, in four subbands.
    assert wide.superposition.ends == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert np.unique(wide.superposition.noise).size == 4


def test_distance_matters(add: Callable[..., Any]) -> None:
    """Law: in free space, noise grows by 6 dB when the distance doubles."""
    near, far = (add(circle(5, each))[1].superposition.noise[0] for each in (200.0, 400.0))
    assert far / near == pytest.approx(4.0, rel=1e-3)


def test_what_ends_early_is_silent_from_then_on(add: Callable[..., Any]) -> None:
    """A device that crashes after 4.5 of 10 blocks is in four of them, and is not delivered."""
    crash = Crash(devices=(1,), from_s=4.5e-3)
    network, group = add(circle(3), faults={"crashes": (crash,)})
    active = group.superposition.amplitude != 0
    assert active.sum(axis=1).tolist() == [10, 4, 10]
    reasons = {each.message.source: each.reason for each in network.transfers}
    assert reasons == {0: "", 1: "crash", 2: ""}
    by_source = {each.message.source: each for each in network.transfers}
    assert by_source[1].airtime_s == pytest.approx(4e-3)
    assert by_source[1].channel_access_s == pytest.approx(6e-3)


def test_a_battery_that_empties_silences_its_device(make_network: Any) -> None:
    network = make_network(
        circle(2), stations_m=STATION, bandwidth_hz=BAND_HZ, mac=OverTheAir(), block_ns=BLOCK_NS
    )
    messages = [Message(device, network.server, 10, 60.0) for device in range(2)]
    group = network.superpose(messages, 20 * SYMBOLS)
    network.env.at(3_500_000, lambda: network.fail(1, "battery"))
    network.env.run(until=network.env.all_of(group.events))
    active = (group.superposition.amplitude != 0).sum(axis=1)
    assert active.tolist() == [10, 3]
    assert [each.value.reason for each in group.events] == ["", "battery"]


def test_outages_silence_and_jammers_add_noise(add: Callable[..., Any]) -> None:
    outage = LinkOutage(links=((0, 3),), from_s=2e-3, until_s=4e-3)
    _, group = add(circle(3), faults={"link_outages": (outage,)})
    assert (group.superposition.amplitude[0] != 0).tolist() == [*[True] * 2, *[False] * 2,
                                                               *[True] * 6]  # fmt: skip
    jamming = Jamming(center_m=(0.0, 0.0), radius_m=10.0, noise_db=10.0, from_s=5e-3)
    _, group = add(circle(3), faults={"jamming": (jamming,)})
    assert group.superposition.noise[5] / group.superposition.noise[4] == pytest.approx(10.0)


def test_a_group_that_is_late_arrives_nowhere(add: Callable[..., Any]) -> None:
    network, group = add(circle(3), lifetime_s=5e-3)
    assert group.superposition is None
    assert {(each.reason, each.ended_s) for each in network.transfers} == {("deadline", 5e-3)}
    assert network.tx_s[:3] == pytest.approx([5e-3] * 3)


def test_groups_follow_each_other(make_network: Any) -> None:
    network = make_network(
        circle(4), stations_m=STATION, bandwidth_hz=BAND_HZ, mac=OverTheAir(), block_ns=BLOCK_NS
    )
    groups = [
        network.superpose([Message(device, network.server, 10, 60.0)], 4 * SYMBOLS)
        for device in range(2)
    ]
    network.env.run(until=network.env.all_of([each.events[0] for each in groups]))
    assert [each.events[0].value.ended_s for each in groups] == [2e-3, 4e-3]


def test_the_sum_crosses_the_backhaul_once(add: Callable[..., Any]) -> None:
    backhaul = Backhaul(rate_bps=8e6, delay_s=0.01, shared=True)
    network, _ = add(circle(5), backhaul=backhaul)
    # 1000 bytes at 8 Mbit/s, and the delay.
    assert [each.backhaul_s for each in network.transfers] == pytest.approx([11e-3] * 5)
    assert {each.ended_s for each in network.transfers} == {21e-3}
    for each in network.transfers:
        parts = each.queue_s + each.channel_access_s + each.airtime_s + each.backhaul_s
        assert parts == pytest.approx(each.latency_s)


def test_a_sum_that_is_late_on_the_backhaul_arrives_nowhere(add: Callable[..., Any]) -> None:
    """It takes 10 ms on the air and 11 ms on the backhaul."""
    backhaul = Backhaul(rate_bps=8e6, delay_s=0.01, shared=True)
    network, group = add(circle(3), lifetime_s=15e-3, backhaul=backhaul)
    assert {(each.reason, each.ended_s) for each in network.transfers} == {("deadline", 15e-3)}
    assert group.superposition is None


def test_a_group_needs_an_access_one_receiver_and_values(make_network: Any) -> None:
    digital = make_network(circle(2), stations_m=STATION, mac=Cell())
    with pytest.raises(ValueError, match="needs mac over-the-air"):
        digital.superpose([Message(0, 3, 10, 1.0)], 10)
    network = make_network(circle(3), stations_m=((0.0, 0.0), (500.0, 0.0)), mac=OverTheAir())
    with pytest.raises(ValueError, match="messages and values, got 1 and 0"):
        network.superpose([Message(0, 3, 10, 1.0)], 0)
    with pytest.raises(ValueError, match="one receiver, got 2"):
        network.superpose([Message(0, 3, 10, 1.0), Message(1, 4, 10, 1.0)], 10)


# Sessions.

OPTIMA = [1.0, -2.0, 5.0, 0.5, 3.0]


@pytest.fixture
def federate(make_network: Any, hold_session: Any) -> Callable[..., Any]:
    """Return a runner of a session of numbers; gives network and session."""

    def run(protocol: Any, rounds: int = 4, topology: Any = None, **options: Any) -> Any:
        access = {each: options.pop(each) for each in list(options) if each in ACCESS}
        if isinstance(protocol, Server):
            options |= {"stations_m": STATION}
        else:
            access |= {"digital": Tdma()}
        places = options.pop("places", circle(5))
        network = make_network(
            places, **{"bandwidth_hz": BAND_HZ, "block_ns": BLOCK_NS, "mac": OverTheAir(**access)}
            | options
        )  # fmt: skip
        trainer: Any = QuadraticTrainer(OPTIMA, 0.1)
        learning = Learning(
            rounds=rounds, evaluate_every=1, protocol=protocol, topology=topology or Full()
        )
        return network, hold_session(
            network, trainer, learning, lambda device, flops: 1.0 + 0.1 * device
        )

    return run


def final(session: Any) -> list[float]:
    return [session.current(device).value() for device in range(len(OPTIMA))]


def test_a_server_without_noise_is_federated_averaging(federate: Callable[..., Any]) -> None:
    """Law: the digital mean at infinite SNR with perfect knowledge."""
    network, session = federate(Server(), tx_power_dbm=400.0)
    x = np.zeros(5)
    for _ in range(4):
        x[:] = (x - 0.1 * (x - OPTIMA)).mean()
    assert final(session) == pytest.approx(x.tolist(), rel=1e-12)
    analog = [each for each in network.transfers if each.packets == 0]
    assert len(analog) == 4 * 5
    assert {each.message.kind for each in analog} == {"update"}
    assert {each.message.kind for each in network.transfers} == {"update", "control"}
    # All clients send at once, when the slowest of them has trained.
    for number in range(1, 5):
        of_round = [each for each in analog if each.message.round == number]
        assert len({(each.started_s, each.ended_s) for each in of_round}) == 1
        trained = [row.trained_s for row in session.rounds if row.round == number]
        assert of_round[0].started_s > max(trained)


def test_neighbors_without_noise_are_gossip(federate: Callable[..., Any]) -> None:
    """Law: the same recursion as in digital form, on any graph, in turns of receivers."""
    for topology in (Full(), Ring()):
        network, session = federate(Synchronous(), topology=topology, tx_power_dbm=400.0)
        _, digital = federate(Synchronous(), topology=topology, mac=Tdma(), tx_power_dbm=30.0)
        assert final(session) == pytest.approx(final(digital), rel=1e-12)
        analog = [each for each in network.transfers if each.packets == 0]
        turns = sorted({(each.started_s, each.ended_s, each.message.target) for each in analog})
        assert len(turns) == 4 * 5
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(turns))
        assert len({(row.round, row.device) for row in session.rounds}) == 20
        degree = 4 if isinstance(topology, Full) else 2
        assert {row.updates_received for row in session.rounds} == {degree}


def test_noise_moves_the_average(federate: Callable[..., Any]) -> None:
    quiet, loud = (final(federate(Server(), tx_power_dbm=each)[1])[0] for each in (400.0, -20.0))
    assert loud != quiet
    assert final(federate(Server(), tx_power_dbm=-20.0)[1])[0] == loud


def test_weak_devices_may_send_in_digital_form(federate: Callable[..., Any]) -> None:
    """Law: with noise of zero, the average is the same whether or not a device is weak."""
    places = (*circle(4), (20_000.0, 0.0))
    network, session = federate(
        Server(), rounds=2, places=places, weak_devices="digital", threshold_db=100.0,
        tx_power_dbm=110.0,
    )  # fmt: skip
    strong = [each for each in network.transfers if each.packets == 0]
    assert {each.message.source for each in strong} == {0, 1, 2, 3}
    digital = [
        each for each in network.transfers if each.packets and each.message.kind == "update"
        and each.message.source < 5
    ]  # fmt: skip
    assert {each.message.source for each in digital} == {4}
    assert digital[0].started_s >= strong[0].ended_s
    x = np.zeros(5)
    for _ in range(2):
        x[:] = (x - 0.1 * (x - OPTIMA)).mean()
    assert final(session) == pytest.approx(x.tolist(), rel=1e-5)
    silent, without = federate(
        Server(), rounds=1, places=places, threshold_db=100.0, tx_power_dbm=110.0
    )
    assert {each.reason for each in silent.transfers} == {"", "below-threshold"}
    assert final(without)[0] == pytest.approx(0.1 * float(np.mean(OPTIMA[:4])), rel=1e-5)


def test_a_round_in_which_all_are_silent_keeps_the_average(federate: Callable[..., Any]) -> None:
    network, session = federate(Server(), threshold_db=100.0, tx_power_dbm=20.0)
    assert not any(each.delivered for each in network.transfers if each.packets == 0)
    assert {row.updates_received for row in session.rounds} == {0}
    peers, alone = federate(Synchronous(), rounds=1, threshold_db=100.0)
    assert final(alone) == pytest.approx([0.1 * each for each in OPTIMA])
    assert {row.neighbors for row in alone.rounds} == {4}
    assert peers.transfers


def test_a_device_that_crashes_before_the_others_have_trained_does_not_take_part(
    federate: Callable[..., Any],
) -> None:
    crash = Crash(devices=(0,), from_s=1.2, until_s=1.25)
    network, session = federate(Server(), rounds=1, faults={"crashes": (crash,)})
    assert {each.message.source for each in network.transfers if each.packets == 0} == {1, 2, 3, 4}
    assert {row.device for row in session.rounds} == {1, 2, 3, 4}


SCENARIO = """
name: added
area_m: [300, 300]
devices: {count: 4}
base_stations: {count: 1}
mac: {model: over-the-air}
fl:
  tasks: [home]
  method: {model: ffa-lora}
  protocol: {model: server}
  rounds: 1
  local_steps: 1
  train_examples: 8
  test_examples: 2
"""
PEERS = ("fl.protocol={model: synchronous}", "base_stations=null", "fl.topology={model: ring}")


def planned(tmp_path: Path, *settings: str) -> Any:
    path = tmp_path / "added.yaml"
    path.write_text(SCENARIO)
    (run,) = plan(str(path), settings)
    return run.scenario


@pytest.mark.parametrize(
    "settings",
    [
        (),
        (*PEERS, "mac.digital={model: tdma}"),
        ("fl.method={model: so-lora, shared_a: true, density: 1}",),
        ("fl.method={model: so-lora, shared_a: true, mask: common, allocation: uniform}",),
        ("fl.method={model: lori-d, shared_a: true}",),
        ("fl.method={model: lora}",),
    ],
)
def test_possible_combinations(tmp_path: Path, settings: tuple[str, ...]) -> None:
    assert planned(tmp_path, *settings).mac.model == "over-the-air"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (("fl.method={model: flasc}",), "adds values entry by entry, and fl.method flasc"),
        (("fl.method={model: so-lora}",), "fl.method so-lora has an A on each device"),
        (("fl.method={model: so-lora, shared_a: true}",), "so-lora has a mask on each device"),
        (
            ("fl.method={model: so-lora, mask: common}",),
            "mask common needs shared_a: true and allocation: uniform",
        ),
        (
            (
                *PEERS, "mac.digital={model: tdma}",
                "fl.method={model: so-lora, shared_a: true, density: 1, adaptive: true}",
            ),
            "adaptive sends others on each device",
        ),
        (("fl.method={model: flexlora}",), "flexlora has another aggregate"),
        (("fl.method={model: fedsvd}",), "fedsvd has another aggregate"),
        (("fl.bits_per_parameter=8",), "sends values and no bits"),
        (("fl.robust={model: median}",), "fl.robust median compares single updates"),
        (("base_stations=null",), "at a base station for fl.protocol server"),
        (("fl.protocol={model: synchronous}",), "at devices for synchronous"),
        (("fl.protocol={model: hierarchical}",), "fl.protocol server or synchronous, got hier"),
        (("fl.protocol={model: asynchronous}",), "server or synchronous, got asynchronous"),
        (("base_stations.count=4",), "adds updates at one base station, got 4"),
        ((*PEERS, "transport.max_hops=3"), "digital of model cell with base_stations"),
        (
            (*PEERS, "mac.digital={model: tdma}", "transport.max_hops=3"),
            "relays would have to add and amplify, got transport.max_hops 3",
        ),
        (
            ("mac.digital={model: cell, allocation: {model: min-max}}",),
            "all of them use the whole band at once, got min-max",
        ),
        (("mac.allocation={model: min-max}",), "unknown key"),
        (("background=[{rate_bps: 1000}]",), "leaves none for background traffic"),
        (("faults={corruption: {probability: 0.1}}",), "no bits that faults.corruption"),
        (("fl.protocol.over_selection=1.5", "fl.protocol.share=0.5"), "waits for all clients"),
        (
            ("fl.protocol.selection={model: importance-channel}",),
            "needs the updates of single clients",
        ),
        ((*PEERS, "mac.digital={model: tdma}", "fl.broadcast=true"), "one receiver at a time"),
        (
            (*PEERS, "mac.digital={model: tdma}", "fl.inference={model: hard}"),
            "need the updates of single devices|inference",
        ),
        (("fl=null", "traffic={size_bytes: 1000}"), "there is no section fl"),
    ],
)  # fmt: skip
def test_impossible_combinations_are_refused(
    tmp_path: Path, settings: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(ScenarioError, match=complaint) as found:
        planned(tmp_path, *settings)
    assert "\n" not in str(found.value)


def test_a_slot_without_room_for_a_symbol_is_refused(tmp_path: Path) -> None:
    scenario = planned(tmp_path, "radio.bandwidth_hz=1000", "radio.block_s=5e-4")
    with pytest.raises(ScenarioError, match=r"room for a symbol in each slot, of 0\.0005 s"):
        network_of(scenario, build_world(scenario))


def test_shares_of_silent_devices_are_metrics_of_added_updates_alone(
    add: Callable[..., Any], tmp_path: Path
) -> None:
    """Law: one of three devices is below the threshold; bytes on the air are none."""
    places = ((100.0, 0.0), (200.0, 0.0), (0.0, 40_000.0))
    network, _ = add(places, threshold_db=20.0)
    path = tmp_path / "transfers.csv"
    write_table(path, transfer_table(network.transfers, ["0", "1", "2", "station-0", "server"]))
    table = pd.read_csv(path, keep_default_na=False)
    metrics = of_transfers(table, 1.0)
    assert metrics["lost_below-threshold_ratio"] == 1 / 3
    assert metrics["delivery_ratio"] == 2 / 3
    assert metrics["on_air_bytes"] == 0
    assert metrics["uplink_bytes"] == 3000
    bits = table.assign(carried_bytes=1000, reason="")
    assert "lost_below-threshold_ratio" not in of_transfers(bits, 1.0)
