"""Sidelink mode 2: closed forms of collisions and reservations, and two engines that agree."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from wnsim.air import ENGINES
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
from wnsim.core.clock import Clock
from wnsim.core.units import dbm_to_w
from wnsim.mac import Ofdma
from wnsim.mac.sidelink import Sidelink, remaining, select
from wnsim.mobility import RandomWaypoint, Static
from wnsim.network import AirOptions, Message, Network, Transfer
from wnsim.network.transport import Transport
from wnsim.phy import NrMcs, Shannon
from wnsim.world import World

AREA_M = (1e5, 1e5)
MS = 1_000_000


def network(
    motion: object,
    mac: object,
    *,
    phy: object = None,
    fading: object = None,
    path_loss: object = None,
    engine: str = "windowed",
    seed: int = 1,
    block_ns: int = MS,
    csi_delay_s: float = 0.0,
    prediction: str = "none",
    transport: Transport | None = None,
    subbands: int = 1,
) -> Network:
    count = len(motion.names)
    channel = Channel(
        Propagation(path_loss or FreeSpace(), Shadowing(sigma_db=0.0), fading or NoFading()),
        Carrier(5.9e9, subbands=subbands),
        Geometry(np.full(count, 1.5), motion.position_m, motion.max_speed_mps),
        seed,
    )
    world = World(
        motion=motion,
        channel=channel,
        phy=phy or Shannon(),
        tx_power_w=np.full(count, float(dbm_to_w(23.0))),
        noise_figure_db=np.full(count, 9.0),
        flops_per_s=np.full(count, 1e12),
        bandwidth_hz=10e6,
    )
    air = AirOptions(block_ns, csi_delay_s, engine, prediction)
    return Network(Clock(), world, mac, air, seed, transport=transport)


def line(count: int, step_m: float = 10.0) -> object:
    places = tuple((step_m * number, 0.0) for number in range(count))
    return Static(layout="given", positions_m=places).motion(count, AREA_M, 1)


def drive(
    net: Network,
    traffic: list[tuple[float, int, list[int], int, float]],
    failures: list[tuple[float, int]] | None = None,
    quantile: float = 0.0,
) -> list[Transfer]:
    """Send (at_s, source, targets, bytes, lifetime_s), let devices fail (at_s, who), and run."""

    def send(at_s, source, targets, size, lifetime_s):
        yield net.timeout(at_s)
        message = Message(source, targets[0], size, lifetime_s)
        yield net.env.all_of(net.broadcast(message, targets, quantile))

    def fail(at_s, device):
        yield net.timeout(at_s)
        net.fail(device, "battery")

    sent = [net.env.process(send(*each)) for each in traffic]
    for each in failures or []:
        net.env.process(fail(*each))
    net.env.run(until=net.env.all_of(sent))
    return list(net.transfers)


def shares_lost(mac: Sidelink, pairs: int, seed: int, seconds: float, **kwargs: float) -> float:
    """Return the share of blocks lost by pairs whose receivers never send."""
    net = network(line(2 * pairs), mac, seed=seed, block_ns=kwargs.pop("block_ns", 10 * MS))
    stagger_s = kwargs.pop("stagger_s", 0.0)
    traffic = [(stagger_s * p, p, [pairs + p], 10**9, seconds) for p in range(pairs)]
    done = drive(net, traffic)
    return sum(t.failed_blocks for t in done) / sum(t.blocks for t in done)


# One resource in a period of 10 slots of 10 ms, without margin: any interference is a loss.
ONE = {"period_slots": 10, "resources_per_period": 1, "margin_db": 0.0}


@pytest.mark.parametrize(("subchannels", "pairs"), [(1, 6), (2, 9)])
def test_collisions_of_random_selection_in_every_period(subchannels: int, pairs: int) -> None:
    mac = Sidelink(subchannels=subchannels, sensing=False, counter=(1, 1), **ONE)
    seconds = 60.0
    lost = shares_lost(mac, pairs, 1, seconds)
    expected = 1.0 - (1.0 - 1.0 / (10 * subchannels)) ** (pairs - 1)
    # The losses of a period are dependent: as many periods as independent samples, at worst.
    sigma = sqrt(expected * (1.0 - expected) / (seconds / 0.1))
    assert abs(lost - expected) < 3.0 * sigma


def test_collisions_of_random_selection_that_lasts() -> None:
    mac = Sidelink(subchannels=2, sensing=False, counter=(50, 50), **ONE)
    lost = np.array([shares_lost(mac, 8, seed, 0.55) for seed in range(80)])
    expected = 1.0 - (1.0 - 1.0 / 20) ** 7
    assert abs(lost.mean() - expected) < 3.0 * lost.std() / sqrt(lost.size)


def test_sensing_avoids_collisions() -> None:
    def lost(sensing: bool) -> np.ndarray:
        mac = Sidelink(subchannels=1, sensing=sensing, counter=(5, 15), **ONE)
        return np.array([shares_lost(mac, 5, seed, 10.0, stagger_s=0.31) for seed in range(12)])

    random, sensed = lost(False), lost(True)
    difference = random - sensed
    sigma = difference.std(ddof=1) / sqrt(difference.size)
    assert difference.mean() > 5.0 * sigma
    assert sensed.mean() < random.mean() / 3.0
    assert random.mean() == pytest.approx(1.0 - 0.9**4, abs=0.05)


def test_two_that_speak_at_once_do_not_hear_each_other() -> None:
    mac = Sidelink(subchannels=8, sensing=False, counter=(1, 1), **ONE)
    net = network(line(2), mac, block_ns=10 * MS)
    done = drive(net, [(0.0, 0, [1], 10**9, 200.0), (0.0, 1, [0], 10**9, 200.0)])
    lost = sum(t.failed_blocks for t in done) / sum(t.blocks for t in done)
    # The same slot, whatever the subchannels; of 2000 periods.
    assert abs(lost - 0.1) < 3.0 * sqrt(0.1 * 0.9 / 2000)
    assert done[0].failed_blocks == done[1].failed_blocks
    # A sender does not receive (half duplex).
    assert net.rx_s[0] == pytest.approx((done[1].blocks - done[1].failed_blocks) * 0.01)
    assert net.tx_s[0] == pytest.approx(done[0].blocks * 0.01)


def test_a_blind_repetition_helps_unless_both_are_missed() -> None:
    mac = Sidelink(
        subchannels=8, sensing=False, counter=(1, 1), repetitions=1,
        period_slots=5, resources_per_period=2, margin_db=0.0,
    )  # fmt: skip
    net = network(line(2), mac, block_ns=20 * MS)
    done = drive(net, [(0.0, 0, [1], 10**10, 200.0), (0.0, 1, [0], 10**10, 200.0)])
    # A block that arrives does so with its repetition. With 2 of 5 slots a block is lost if the
    # other one sends in the same two.
    blocks = done[0].blocks / 2
    arrived = done[0].blocks - done[0].failed_blocks
    expected = 1.0 - 1.0 / comb(5, 2)
    assert blocks == pytest.approx(2000, abs=2)
    assert abs(arrived / blocks - expected) < 3.0 * sqrt(expected * (1 - expected) / blocks)
    assert done[0].retransmitted_blocks == pytest.approx(blocks, abs=1)


def _snr(net: Network, source: int, target: int) -> float:
    return float(10.0 ** (net.snapshot().snr_db[source, target] / 10.0))


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.8])
def test_resources_last_as_long_as_counter_and_keeping_say(keep: float) -> None:
    mac = Sidelink(
        subchannels=1, sensing=False, period_slots=100, resources_per_period=1,
        counter=(1, 4), keep_probability=keep,
    )  # fmt: skip
    # Smaller than a block, so that each block completes one.
    transport = Transport(packet_bytes=1500, packet_header_bytes=0, trace=True)
    periods = 1500
    slots = _slots_of_a_delivered_message(mac, transport, periods)
    changes = sum(after - before != 100 for before, after in pairwise(slots))
    # Mean life (1 + 4) / 2 / (1 - keep) periods; one selection in 100 finds the same slot.
    rate = (1.0 - keep) / 2.5 * 0.99
    assert abs(changes / periods - rate) < 4.0 * sqrt(rate / periods)


def _slots_of_a_delivered_message(mac: Sidelink, transport: Transport, blocks: int) -> list[int]:
    """Return the slots that a message of so many blocks is sent in."""
    probe = network(line(2), mac)
    carried = np.log2(1.0 + _snr(probe, 0, 1) / 10.0**0.3) * 1e-3 * 10e6
    net = network(line(2), mac, transport=transport)
    done = drive(net, [(0.0, 0, [1], int(carried * blocks / 8), 1e6)])
    assert done[0].delivered
    instants = sorted({round(packet.arrived_s / 1e-3) for packet in list(net.packets)[:-1]})
    return [instant - 1 for instant in instants]


def test_what_was_heard_is_left_out_and_the_threshold_raised_by_3_db() -> None:
    mac = Sidelink(subchannels=2, period_slots=5, resources_per_period=1, rsrp_threshold_dbm=-100.0)
    quiet = np.zeros(5, dtype=bool)
    received_dbm = np.full((5, 2), -np.inf)
    received_dbm[0, 0], received_dbm[1, 1] = -100.0, -100.1
    left = remaining(mac, received_dbm, quiet, 1)
    assert not left[0, 0]
    assert left.sum() == 9
    # All resources at -98 dBm except one at -95 dBm: two of ten are to remain.
    received_dbm[:] = -95.0
    received_dbm[2, 1] = -98.0
    assert remaining(mac, received_dbm, quiet, 1).sum() == 10
    received_dbm[3, 0] = -96.9
    # -97 leaves one resource, -94 all.
    assert remaining(mac, received_dbm, quiet, 1).sum() == 10
    received_dbm[3, 0] = -97.1
    assert np.argwhere(remaining(mac, received_dbm, quiet, 1)).tolist() == [[2, 1], [3, 0]]
    # Slots of own transmissions are excluded, unless too few would remain.
    deaf = np.array([True, False, False, False, False])
    assert not remaining(mac, np.full((5, 2), -np.inf), deaf, 1)[0].any()
    assert remaining(mac, np.full((5, 2), -np.inf), deaf, 5).all()


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5])
def test_enough_resources_always_remain(share: float) -> None:
    rng = np.random.default_rng(1)
    mac = Sidelink(remaining_share=share, resources_per_period=30, rsrp_threshold_dbm=-128.0)
    for _ in range(50):
        received_dbm = np.where(
            rng.random((100, 4)) < 0.9, rng.uniform(-130, -40, (100, 4)), -np.inf
        )
        left = remaining(mac, received_dbm, rng.random(100) < 0.3, 30)
        assert left.sum() >= share * 400
        place, _ = select(left, rng.random(400), 30)
        assert np.unique(place).size == 30


def test_selection_is_uniform() -> None:
    rng = np.random.default_rng(2)
    left = np.ones((6, 2), dtype=bool)
    left[0] = False
    left[1, 1] = False
    hits = np.zeros((6, 2))
    draws = 4000
    for _ in range(draws):
        place, channel = select(left, rng.random(12), 1)
        hits[place, channel] += 1
    assert hits[~left].sum() == 0
    expected = draws / left.sum()
    chi2 = ((hits[left] - expected) ** 2 / expected).sum()
    assert chi2 < 23.6  # 99.5 % of chi-square with 8 degrees of freedom is 21.95, 99.7 %: 23.6


@pytest.mark.parametrize(
    ("slots", "expected"), [(1000, (5, 15)), (100, (5, 15)), (50, (10, 30)), (20, (25, 75)),
                            (10, (25, 75))]
)  # fmt: skip
def test_counter_of_short_periods(slots: int, expected: tuple[int, int]) -> None:
    mac = Sidelink(period_slots=slots, resources_per_period=1)
    assert mac.counter_range(MS) == expected


def test_a_following_message_takes_over_the_reservation() -> None:
    mac = Sidelink(counter=(10, 10), resources_per_period=1, keep_probability=0.0)
    net = network(line(2), mac)
    traffic = [(0.1 * number, 0, [1], 100, 0.1) for number in range(9)]
    done = drive(net, traffic)
    assert all(t.delivered for t in done)
    ends_s = [t.ended_s for t in done]
    # Shannon's bits end within a slot, all of these messages at the same place of it.
    assert np.allclose(np.diff(ends_s), 0.1)


def test_big_messages_get_more_resources_up_to_the_limit() -> None:
    times = {}
    for limit in (1, 10, 50):
        mac = Sidelink(subchannels=1, resources_per_period=limit)
        (done,) = drive(network(line(2), mac), [(0.0, 0, [1], 2_000_000, 1000.0)])
        assert done.delivered
        times[limit] = done.latency_s
        assert done.blocks <= limit * (done.latency_s / 0.1 + 1)
    assert times[1] / times[10] == pytest.approx(10.0, rel=0.1)
    assert times[10] / times[50] == pytest.approx(5.0, rel=0.25)
    mac = Sidelink(subchannels=1, resources_per_period=50)
    (small,) = drive(network(line(2), mac), [(0.0, 0, [1], 100, 1000.0)])
    assert small.blocks == 1


def test_fewer_blocks_arrive_from_farther_away() -> None:
    # Forty senders along a road, and one broadcast whose receivers are ever farther away.
    motion = line(45, 25.0)
    mac = Sidelink(subchannels=2, period_slots=20, resources_per_period=1, counter=(1, 3))
    phy = NrMcs(harq_processes=1, harq="none")
    net = network(motion, mac, phy=phy, fading=Rayleigh(), path_loss=LogDistance(exponent=3.0))
    traffic = [(0.001 * s, s, [1, 2, 5, 12, 30], 10**8, 4.0) for s in (0,)]
    others = [(0.0007 * s, s, [s - 1], 10**8, 4.0) for s in range(3, 45, 2)]
    done = drive(net, traffic + others, quantile=0.4)
    rate = [1.0 - t.failed_blocks / t.blocks for t in done if t.message.source == 0]
    assert min(t.blocks for t in done if t.message.source == 0) > 50
    assert rate[0] > 0.85
    assert all(near >= far - 0.05 for near, far in pairwise(rate))
    assert rate[-1] < 0.2 < rate[2]


@pytest.mark.parametrize(
    "wrong",
    [{"counter": (3, 2)}, {"counter": (0, 2)}, {"resources_per_period": 101},
     {"keep_probability": 0.9}, {"subchannels": 0}, {"rsrp_threshold_dbm": float("nan")},
     {"window_share": 0.0}, {"margin_db": -1.0}, {"repetitions": -1}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Sidelink(**wrong)


def test_the_engines_want_a_sidelink() -> None:
    net = network(line(2), Sidelink())
    setup = net._air.setup
    for engine in ENGINES["sidelink"].values():
        with pytest.raises(TypeError, match="must be a Sidelink"):
            engine(dataclasses.replace(setup, mac=Ofdma()), lambda _: None)


PHYS = [
    Shannon(gap_db=3.0, bler=0.1),
    NrMcs(),
    NrMcs(harq="chase", harq_processes=1),
    NrMcs(harq="none", subcarrier_hz=30000, harq_processes=2),
]


@st.composite
def macs(draw) -> Sidelink:
    period, share = draw(st.sampled_from([1, 5, 20, 60])), draw(st.sampled_from([0.3, 1.0]))
    width = int(np.ceil(share * period))
    return Sidelink(
        subchannels=draw(st.integers(1, 3)),
        period_slots=period,
        window_share=share,
        sensing=draw(st.booleans()),
        sensing_window_s=draw(st.sampled_from([0.01, 1.1])),
        rsrp_threshold_dbm=draw(st.sampled_from([-120.0, -90.0, -70.0])),
        remaining_share=draw(st.sampled_from([0.2, 0.5])),
        counter=(1, draw(st.integers(1, 3))),
        keep_probability=draw(st.sampled_from([0.0, 0.5, 0.8])),
        resources_per_period=draw(st.integers(1, width)),
        release_after=draw(st.integers(0, 2)),
        repetitions=draw(st.sampled_from([0, 0, 1, 2])),
        margin_db=draw(st.sampled_from([0.0, 3.0])),
    )


@st.composite
def traffics(draw, devices: int) -> list[tuple[float, int, list[int], int, float]]:
    result = []
    for _ in range(draw(st.integers(1, 8))):
        targets = draw(st.permutations(range(devices)))[: draw(st.integers(2, devices))]
        at_s = draw(st.sampled_from([0.0, 0.01, 0.0333, 0.0705]))
        size = draw(st.sampled_from([1, 200, 3000, 40_000]))
        life_s = draw(st.sampled_from([0.03, 0.12, 0.2505]))
        result.append((at_s, targets[0], list(targets[1:]), size, life_s))
    return result


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_engines_agree_to_the_last_bit(data: st.DataObject) -> None:
    devices = data.draw(st.integers(2, 6))
    mac, phy = data.draw(macs()), data.draw(st.sampled_from(PHYS))
    traffic = data.draw(traffics(devices))
    failures = data.draw(st.sampled_from([[], [(0.06, 0)], [(0.0415, 1)]]))
    area_m, seed = data.draw(st.sampled_from([100.0, 1500.0])), data.draw(st.integers(0, 99))
    csi_delay_s = data.draw(st.sampled_from([0.0, 0.004]))
    quantile, resume = data.draw(st.sampled_from([0.0, 0.5])), data.draw(st.booleans())
    motion = RandomWaypoint(speed_mps=(1.0, 30.0)).motion(devices, (area_m, area_m), seed)
    results = []
    for engine in ("windowed", "packet"):
        net = network(
            motion, mac, phy=phy, fading=Rayleigh(), path_loss=LogDistance(exponent=3.5),
            engine=engine, seed=seed, csi_delay_s=csi_delay_s, prediction="linear",
            subbands=1 + seed % 2,
            transport=Transport(
                trace=True, on_link_failure="resume" if resume else "discard",
                link_failure_timeout_s=0.04 if resume else None, retry_s=0.01,
            ),
        )  # fmt: skip
        done = drive(net, traffic, failures, quantile)
        results.append((repr(done), repr(list(net.packets)), repr(net.tx_s), repr(net.rx_s)))
    assert results[0] == results[1]
    for transfer in done:
        parts_s = (
            transfer.queue_s
            + transfer.channel_access_s
            + transfer.airtime_s
            + transfer.retransmission_s
        )
        assert transfer.latency_s == pytest.approx(parts_s, abs=1e-9)
        assert transfer.channel_access_s >= 0.0
        assert transfer.acked_bytes <= transfer.air_bytes
        assert transfer.delivered == (transfer.reason == "")
        assert not transfer.delivered or transfer.acked_bytes == transfer.air_bytes
        most = mac.resources_per_period * (transfer.latency_s / (mac.period_slots * net.slot_s) + 2)
        assert transfer.blocks <= most * transfer.attempts
