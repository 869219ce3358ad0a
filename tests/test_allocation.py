"""Allocation of band and power: optimality conditions, brute force, and the air that follows it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from wnsim.channel import Rayleigh
from wnsim.core.transfer import Message
from wnsim.mac import Cell
from wnsim.mac.allocation import Demand, EqualShares, LeastEnergy, MinMax, band_for, rate_on
from wnsim.mac.resource_blocks import ResourceBlocks
from wnsim.mobility import RandomWaypoint
from wnsim.phy import NrMcs, Shannon
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan

BAND_HZ = 1e6
SHANNON = Shannon(gap_db=3.0, max_bps_hz=7.4, bler=0.1).modem(BAND_HZ, 1, 1_000_000)
RNG = np.random.default_rng(11)
START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def equal_draws() -> None:
    """Let each test begin with the same random numbers."""
    RNG.bit_generator.state = START


def demand(count: int, **known: Any) -> Demand:
    values = {
        "bits": RNG.uniform(2e5, 2e6, count), "left_s": RNG.uniform(4.0, 8.0, count),
        "snr": 10.0 ** RNG.uniform(0.0, 3.0, count), "limit": np.ones(count),
        "tx_power_w": RNG.uniform(0.1, 0.3, count), "size_bits": np.full(count, 2e6),
        "weight": np.ones(count), "device": np.arange(count),
    }  # fmt: skip
    return Demand(**values | known)


def times_s(modem: Any, asked: Demand, band: Any, power: Any) -> Any:
    """Return the duration of each transmission, the last axis being devices [s]."""
    return asked.bits / rate_on(modem, asked.snr * power, band)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_min_max_ends_together_and_no_other_shares_end_earlier(count: int) -> None:
    """Law: equal times; brute force over 4000 random shares, and shares near the found ones."""
    asked = demand(count, limit=RNG.uniform(0.5, 1.0, count))
    band, power, _ = MinMax().shares(SHANNON, asked)
    found_s = times_s(SHANNON, asked, band, power)
    assert band.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.ptp(found_s) < 1e-6 * found_s.max()
    others = RNG.dirichlet(np.ones(count), 2000)
    near = band * np.exp(1e-3 * RNG.normal(size=(2000, count)))
    for each in (others, near / near.sum(axis=1, keepdims=True)):
        last_s = times_s(SHANNON, asked, each, power).max(axis=1)
        assert last_s.min() >= found_s.max() * (1 - 1e-9)


def test_min_max_against_a_grid_for_two_devices() -> None:
    """Brute force: 100,000 divisions of the band between two devices."""
    asked = demand(2)
    band, power, _ = MinMax().shares(SHANNON, asked)
    grid = np.linspace(0.0, 1.0, 100_002)[1:-1]
    last_s = times_s(SHANNON, asked, np.stack([grid, 1 - grid], axis=1), power).max(axis=1)
    assert band[0] == pytest.approx(grid[last_s.argmin()], abs=2e-5)


def test_min_max_with_rates_in_steps_is_no_later_than_equal_parts() -> None:
    modem = NrMcs().modem(5e6, 1, 1_000_000)
    asked = demand(3, snr=np.array([3.0, 30.0, 300.0]))
    last_s = [
        times_s(modem, asked, *rule.shares(modem, asked)[:2]).max()
        for rule in (MinMax(), EqualShares())
    ]
    assert last_s[0] <= last_s[1] * (1 + 1e-9)
    # A device out of reach keeps an equal part.
    far = demand(2, snr=np.array([1e-5, 30.0]))
    assert MinMax().shares(modem, far)[0] == pytest.approx([0.5, 0.5])


def energy_j(asked: Demand, band: Any) -> Any:
    """Return the radiated energy of shares (..., n) that meet the deadlines exactly [J]."""
    phy = Shannon(gap_db=3.0, max_bps_hz=7.4, bler=0.1)
    efficiency = asked.bits / (asked.left_s * BAND_HZ * (1 - phy.bler) * band)
    feasible = efficiency <= 7.4 * (1 + 1e-9)
    power = 10**0.3 * band * (2.0 ** np.minimum(efficiency, 8.0) - 1.0) / asked.snr
    feasible &= power <= asked.limit * (1 + 1e-9)
    return np.where(
        feasible.all(axis=-1), (asked.left_s * asked.tx_power_w * power).sum(axis=-1), np.inf
    )


@pytest.mark.parametrize("count", [2, 3, 6])
def test_least_energy_meets_deadlines_and_its_optimality_conditions(count: int) -> None:
    """Law (KKT): equal marginal energies of all shares above their least; brute force besides."""
    asked = demand(count)
    band, power, _ = LeastEnergy(reserve_s=0.0).shares(SHANNON, asked)
    assert band.sum() == pytest.approx(1.0, abs=1e-9)
    assert times_s(SHANNON, asked, band, power) == pytest.approx(asked.left_s, rel=1e-9)
    least = band_for(SHANNON, asked.snr, asked.bits / asked.left_s)
    inside = band > least * (1 + 1e-6)
    assert inside.sum() > 1
    step = 1e-5 * band[inside][:, None] * np.eye(count)[inside]
    up, down = energy_j(asked, band + step), energy_j(asked, band - step)
    slope = (up - down) / (2e-5 * band[inside])
    assert np.ptp(slope) < 1e-5 * abs(slope).max()
    # A share at its least would spend more band at less benefit than the others.
    others = RNG.dirichlet(np.ones(count), 4000)
    near = band * np.exp(1e-3 * RNG.normal(size=(4000, count)))
    for each in (others, near / near.sum(axis=1, keepdims=True)):
        assert energy_j(asked, each).min() >= energy_j(asked, band) * (1 - 1e-9)


def test_least_energy_that_cannot_be_in_time_ends_together() -> None:
    asked = demand(3, left_s=np.full(3, 0.2))
    late = LeastEnergy().shares(SHANNON, asked)[:2]
    assert np.array_equal(late, MinMax().shares(SHANNON, asked)[:2])


def test_a_margin_and_a_limit_bound_the_power() -> None:
    asked = demand(3)
    band, power, _ = LeastEnergy(reserve_s=0.0).shares(SHANNON, asked)
    same, more, _ = LeastEnergy(margin_db=3.0, reserve_s=0.0).shares(SHANNON, asked)
    assert np.array_equal(same, band)
    assert more == pytest.approx(np.minimum(power * 10**0.3, 1.0))


@pytest.fixture
def uploads(make_network: Any) -> Callable[..., Any]:
    """Return a runner of simultaneous uploads over a constant channel; gives network."""

    def run(rule: Any, lifetime_s: float = 60.0, bler: float = 0.0) -> Any:
        places = tuple((x, 0.0) for x in (200.0, 900.0, 2500.0, 6000.0))
        network = make_network(
            places, stations_m=((0.0, 0.0),), mac=Cell(allocation=rule), bandwidth_hz=BAND_HZ,
            phy=Shannon(gap_db=3.0, max_bps_hz=7.4, bler=bler), tx_power_dbm=10.0,
        )  # fmt: skip
        sizes = (250_000, 100_000, 200_000, 50_000)
        events = [
            network.send(Message(device, network.server, size, lifetime_s))
            for device, size in enumerate(sizes)
        ]
        network.env.run(until=network.env.all_of(events))
        network.close()
        return network

    return run


def test_transmissions_end_in_the_same_slot_on_the_air(uploads: Callable[..., Any]) -> None:
    """Law: at the instant of the closed form, whatever the interval of the allocation."""
    for every_s in (0.05, 1e6):
        network = uploads(MinMax(every_s=every_s))
        ends_s = np.array([each.ended_s for each in network.transfers])
        # Each slot carries whole bits, of at least a thousand.
        assert np.ptp(ends_s) < 2 * network.slot_s
        snapshot = network.snapshot()
        snr = 2.0 ** (snapshot.uplink_bps / BAND_HZ) - 1.0
        assert (snr < 2.0**7.3).any()
    equal = uploads(EqualShares())
    assert ends_s.max() < max(each.ended_s for each in equal.transfers)


def test_less_energy_and_all_in_time_on_the_air(uploads: Callable[..., Any]) -> None:
    network = uploads(LeastEnergy(reserve_s=0.01), lifetime_s=3.0)
    assert all(each.delivered for each in network.transfers)
    assert [each.latency_s for each in network.transfers] == pytest.approx([2.99] * 4, abs=0.005)
    fast = uploads(MinMax())
    # Time on air at full power, and so energy.
    assert network.tx_s.sum() < 0.5 * fast.tx_s.sum()


@pytest.mark.parametrize(
    "rule",
    [
        MinMax(every_s=0.04),
        LeastEnergy(every_s=0.03, margin_db=3.0, reserve_s=0.03),
        ResourceBlocks(noise_rise_db=(0.0, 9.0, 3.0), energy_j=0.002),
    ],
)
def test_engines_allocate_alike_to_the_last_bit(make_network: Any, rule: Any) -> None:
    """Two cells that interfere, fading and motion; starts in, and out of step with, the slots."""
    seen = []
    for engine in ("windowed", "packet"):
        network = make_network(
            motion=RandomWaypoint(speed_mps=(5, 20)).motion(5, (400.0, 400.0), 3),
            stations_m=((100.0, 100.0), (300.0, 300.0)), engine=engine, fading=Rayleigh(),
            mac=Cell(allocation=rule), bandwidth_hz=BAND_HZ, csi_delay_s=0.003,
            phy=Shannon(gap_db=3.0, bler=0.1),
        )  # fmt: skip

        def later(network: Any, device: int) -> Any:
            yield network.timeout(0.0123 * device)
            for target in (network.server, (device + 1) % 5):
                yield network.send(Message(device, target, 8_000 + 3_000 * device, 0.2))

        network.env.run(
            until=network.env.all_of(
                [network.env.process(later(network, device)) for device in range(5)]
            )
        )
        network.close()
        seen.append((list(map(repr, network.transfers)), network.tx_s.tolist()))
        assert sum(each.carried_bytes for each in network.transfers) > 50_000
    assert seen[0] == seen[1]


# Resource blocks.

RISE_DB = (0.0, 6.0, 12.0)


@pytest.mark.parametrize("energy_j", [None, 0.3])
def test_blocks_are_assigned_for_the_most_examples(energy_j: float | None) -> None:
    """Against all assignments, with the error rate by quadrature over fading."""
    rule = ResourceBlocks(noise_rise_db=RISE_DB, energy_j=energy_j, waterfall_db=6.0)
    for _ in range(10):
        asked = demand(
            3, snr=10.0 ** RNG.uniform(-1.0, 1.5, 3), weight=RNG.uniform(1.0, 40.0, 3),
            bits=RNG.uniform(2e5, 2e6, 3),
        )  # fmt: skip
        snr, rate_bps, power = rule.links(SHANNON, asked)
        value = np.zeros((3, 3))
        for device, block in np.ndindex(3, 3):
            in_time = asked.bits[device] <= rate_bps[device, block] * asked.left_s[device]
            if power[device, block] > 0.0 and in_time:
                value[device, block] = asked.weight[device] * arrives(snr[device, block])
        best = max(value[range(3), each].sum() for each in itertools.permutations(range(3)))
        band, used, noise = rule.shares(SHANNON, asked)
        assert noise is not None
        block = [rule.noise.tolist().index(each) for each in noise.tolist()]
        assert sorted(block) == [0, 1, 2]
        assert value[range(3), block].sum() == pytest.approx(best, rel=1e-6)
        assert band.tolist() == [1 / 3] * 3
        alike = value[range(3), block] > 0.0
        assert used[alike] == pytest.approx(power[range(3), block][alike])


def arrives(mean: float) -> float:
    """Return the mean of exp(-m / s) over Rayleigh fading, for m of 6 dB."""
    waterfall = 10**0.6
    found, _ = quad(
        lambda s: np.exp(-waterfall / s - s / mean) / mean, 0, 60 * max(mean, 1.0), limit=400,
        points=[waterfall],
    )  # fmt: skip
    return float(found)


def test_power_takes_the_energy_that_is_left() -> None:
    """Law: the energy of what is left is its part of the whole, or power is full, or none does."""
    rule = ResourceBlocks(noise_rise_db=RISE_DB, energy_j=0.15)
    kinds = set()
    for _ in range(20):
        asked = demand(4, snr=10.0 ** RNG.uniform(-2.5, 3.5, 4))
        _, _, power = rule.links(SHANNON, asked)
        for device, block in np.ndindex(4, 3):
            snr = float(asked.snr[device] * 3 / rule.noise[block] / SHANNON.gap)
            left_j = float(0.15 * asked.bits[device] / asked.size_bits[device])
            full_j = float(asked.tx_power_w[device] * asked.bits[device] / (BAND_HZ / 3 * 0.9))
            found, missing_j = power[device, block], partial(beyond_j, full_j, snr, left_j)
            if missing_j(1.0) <= 0.0:
                kinds.add("full")
                assert found == 1.0
            elif missing_j(1e-9) < 0.0:
                kinds.add("part" if found * snr < 2**7.4 - 1 else "part at the highest rate")
                assert found == pytest.approx(brentq(missing_j, 1e-9, 1.0, xtol=1e-14), rel=1e-6)
            else:
                kinds.add("none")
                assert found == 0.0
    assert kinds == {"full", "part", "part at the highest rate", "none"}


def beyond_j(full_j: float, snr: float, left_j: float, share: float) -> float:
    """Return the energy that a share of the power takes, less what is left [J].

    Parameters
    ----------
    full_j : energy at full power and 1 bit/s/Hz [J]
    snr : at full power, over the gap
    """
    return float(share * full_j / min(np.log2(1 + share * snr), 7.4)) - left_j


def test_a_message_takes_the_time_of_its_block_on_the_air(make_network: Any) -> None:
    """Law: size over rate at the SNR of the block; one message more than blocks waits."""
    places = tuple((x, 0.0) for x in (300.0, 350.0, 400.0, 450.0))
    rule = ResourceBlocks(noise_rise_db=(0.0, 10.0, 20.0))
    network = make_network(
        places, stations_m=((0.0, 0.0),), mac=Cell(allocation=rule), bandwidth_hz=BAND_HZ,
        phy=Shannon(gap_db=3.0), tx_power_dbm=-10.0,
    )  # fmt: skip
    known = network.snapshot()
    snr, rate_bps = network.block_links(known, 8e6)
    assert snr == pytest.approx(known.uplink_snr[:, None] * 3 / 10 ** np.array([0.0, 1.0, 2.0]))
    assert rate_bps == pytest.approx(BAND_HZ / 3 * np.log2(1 + snr / 10**0.3))
    # Of equal weights, the weakest device gains most by the best block.
    events = [
        network.send(Message(device, network.server, 100_000, 600.0, weight=weight))
        for device, weight in enumerate((1.0, 1.0, 1.0, 50.0))
    ]
    network.env.run(until=network.env.all_of(events[:1]))
    network.env.run(until=network.env.all_of(events))
    network.close()
    by_device = {each.message.source: each for each in network.transfers}
    first = sorted(network.transfers, key=lambda each: each.started_s)[:3]
    assert [each.message.source for each in first] == [0, 1, 2]
    assert by_device[3].started_s >= min(each.ended_s for each in first)
    # The first that ends had one block all the time.
    ended = min(first, key=lambda each: each.ended_s)
    times_s = 8e5 / rate_bps[ended.message.source]
    assert min(abs(times_s - ended.latency_s)) < 2 * network.slot_s


CELL = """
name: cell
base_stations: {count: 1}
traffic: {size_bytes: 1000}
"""


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            ["mac={model: cell, allocation: {model: least-energy}}", "radio.phy={model: nr}"],
            "least-energy needs a radio.phy of model shannon, got nr",
        ),
        (
            [
                "mac={model: cell, allocation: {model: resource-blocks, energy_j: 1}}",
                "radio.phy={model: nr}",
            ],
            "resource-blocks with energy_j needs a radio.phy of model shannon, got nr",
        ),
        (
            ["mac={model: cell, allocation: {model: resource-blocks, noise_rise_db: []}}"],
            "noise_rise_db",
        ),
        (
            ["mac={model: cell, allocation: {model: resource-blocks, noise_rise_db: [-1]}}"],
            "noise_rise_db",
        ),
        (["mac={model: cell, allocation: {model: water-filling}}"], "'water-filling'"),
        (["mac={model: ofdma, allocation: {model: min-max}}"], "mac.allocation"),
    ],
)
def test_impossible_allocations_are_refused(
    settings: list[str], complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "cell.yaml"
    path.write_text(CELL, "utf-8")
    with pytest.raises(ScenarioError, match=complaint):
        plan(str(path), settings)
