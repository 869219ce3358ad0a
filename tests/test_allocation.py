"""Allocation of band and power: optimality conditions, brute force, and the air that follows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wnsim.channel import Rayleigh
from wnsim.core.transfer import Message
from wnsim.mac import Cell
from wnsim.mac.allocation import Demand, EqualShares, LeastEnergy, MinMax, band_for, rate_on
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
        "tx_power_w": RNG.uniform(0.1, 0.3, count),
    }  # fmt: skip
    return Demand(**values | known)


def times_s(modem: Any, asked: Demand, band: Any, power: Any) -> Any:
    """Return the duration of each transmission, the last axis being devices [s]."""
    return asked.bits / rate_on(modem, asked.snr * power, band)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_min_max_ends_together_and_no_other_shares_end_earlier(count: int) -> None:
    """Law: equal times; brute force over 4000 random shares, and shares near the found ones."""
    asked = demand(count, limit=RNG.uniform(0.5, 1.0, count))
    band, power = MinMax().shares(SHANNON, asked)
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
    band, power = MinMax().shares(SHANNON, asked)
    grid = np.linspace(0.0, 1.0, 100_002)[1:-1]
    last_s = times_s(SHANNON, asked, np.stack([grid, 1 - grid], axis=1), power).max(axis=1)
    assert band[0] == pytest.approx(grid[last_s.argmin()], abs=2e-5)


def test_min_max_with_rates_in_steps_is_no_later_than_equal_parts() -> None:
    modem = NrMcs().modem(5e6, 1, 1_000_000)
    asked = demand(3, snr=np.array([3.0, 30.0, 300.0]))
    last_s = [
        times_s(modem, asked, *rule.shares(modem, asked)).max()
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
    band, power = LeastEnergy(reserve_s=0.0).shares(SHANNON, asked)
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
    late = LeastEnergy().shares(SHANNON, asked)
    assert np.array_equal(late, MinMax().shares(SHANNON, asked))


def test_a_margin_and_a_limit_bound_the_power() -> None:
    asked = demand(3)
    band, power = LeastEnergy(reserve_s=0.0).shares(SHANNON, asked)
    same, more = LeastEnergy(margin_db=3.0, reserve_s=0.0).shares(SHANNON, asked)
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
    "rule", [MinMax(every_s=0.04), LeastEnergy(every_s=0.03, margin_db=3.0, reserve_s=0.03)]
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
