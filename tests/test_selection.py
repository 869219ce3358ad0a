"""Client selection: laws of each rule, and what reports and over-selection do in a session."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import linear_sum_assignment

from fl.config import (
    AgeOfUpdate,
    AllClients,
    BatteryAware,
    BestChannel,
    DeadlineGreedy,
    ExpectedLoss,
    ImportanceChannel,
    Learning,
    ProportionalFair,
    RandomClients,
    RoundRobin,
    Server,
)
from fl.session import PROTOCOLS
from fl.session.quadratic_trainer import QuadraticTrainer
from fl.session.selection import (
    Choice,
    LastRound,
    Reports,
    SelectionContext,
    draw_probabilities,
    selector_of,
)
from fl.session.server import NOTICE_BYTES, REPORT_BYTES
from wnsim.core.params import parameters
from wnsim.core.resource_blocks import block_error
from wnsim.mac import Cell
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan

BITS = 8e6


def choice(count: int, wanted: int, number: int = 1, **known: Any) -> Choice:
    """Return a choice among all devices."""
    blank = dict.fromkeys(
        ("uplink_bps", "downlink_bps", "compute_s", "battery", "uplink_snr"), np.ones(count)
    ) | dict.fromkeys(("block_snr", "block_bps"), np.empty((count, 0)))
    age = known.pop("age", np.zeros(count, dtype=np.int64))
    distance = known.pop("distance", np.full(count, np.nan))
    average_bits = known.pop("average_bits", BITS)
    return Choice(
        number, np.arange(count), wanted, Reports(**blank | known),
        LastRound((), (), age, distance), BITS, average_bits,
    )  # fmt: skip


def select(config: Any, asked: Choice, **context: Any) -> list[int]:
    count = asked.devices.size
    settings = {"weight": np.ones(count)} | context
    return list(selector_of(config, SelectionContext(count, 3, **settings))(asked))


def test_round_robin_serves_each_device_once_in_a_turn() -> None:
    selector = selector_of(RoundRobin(), SelectionContext(7, 3))
    served = [device for number in range(7) for device in selector(choice(7, 3, number))]
    assert served == [device % 7 for device in range(21)]


def test_random_clients_are_drawn_equally_often() -> None:
    selector = selector_of(RandomClients(), SelectionContext(6, 3))
    drawn = Counter(each for number in range(600) for each in selector(choice(6, 2, number)))
    # Binomial: 200 of 600 with standard deviation 11.5; six deviations.
    assert all(abs(drawn[device] - 200) < 6 * 11.5 for device in range(6))


def test_age_is_bounded_by_the_length_of_a_turn() -> None:
    """Law: with k of n, no update is older than ceil(n / k) - 1 rounds."""
    age = np.zeros(8, dtype=np.int64)
    selector = selector_of(AgeOfUpdate(), SelectionContext(8, 3))
    for number in range(40):
        chosen = selector(choice(8, 3, number, age=age))
        age = age + 1
        age[list(chosen)] = 0
        assert age.max() <= 2


def test_best_channel_takes_the_highest_rates() -> None:
    rates = np.array([3.0, 9.0, 1.0, 7.0, np.nan])
    assert select(BestChannel(), choice(5, 2, uplink_bps=rates)) == [1, 3]


def test_proportional_fairness_gives_equal_time_whatever_the_rates() -> None:
    """Law: at constant rates the ratio to the average served equalizes the number of rounds."""
    rates = np.array([1.0, 50.0, 7.0, 0.2, 20.0])
    selector = selector_of(ProportionalFair(memory_rounds=20), SelectionContext(5, 3))
    served = Counter(
        each for number in range(500) for each in selector(choice(5, 2, number, uplink_bps=rates))
    )
    assert max(served.values()) - min(served.values()) <= 2


def duration_s(asked: Choice, order: tuple[int, ...]) -> float:
    """Return the expected duration of a round whose uploads have this order."""
    known, uploaded_s = asked.reports, 0.0
    for device in order:
        uploaded_s = max(uploaded_s, known.compute_s[device])
        uploaded_s += BITS / known.uplink_bps[device]
    return uploaded_s + sum(asked.average_bits / known.downlink_bps[device] for device in order)


def test_deadline_greedy_meets_its_deadline_and_is_best_if_all_compute_equally_long() -> None:
    """Against all subsets: with equal computing times the quickest devices are the most."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        known = {name: rng.exponential(1e6, 6) for name in ("uplink_bps", "downlink_bps")}
        compute_s = rng.exponential(20.0, 6)
        config = DeadlineGreedy(round_s=60.0)
        unequal = choice(6, 6, **known, compute_s=compute_s)
        assert duration_s(unequal, tuple(select(config, unequal))) <= 60.0
        equal = choice(6, 6, **known, compute_s=np.full(6, 4.0))
        chosen = select(config, equal)
        most = max(
            size
            for size in range(7)
            for each in itertools.combinations(range(6), size)
            if size == 0 or duration_s(equal, each) <= 60.0
        )
        assert len(chosen) == most


@pytest.mark.parametrize("channel_weight", [0.0, 0.3, 0.9])
def test_importance_and_channel_satisfy_their_optimality_conditions(channel_weight: float) -> None:
    """Law (KKT): c t - (1 - c) v^2 / p^2 is equal for all devices, the multiplier of sum p = 1."""
    rng = np.random.default_rng(7)
    importance, time_s = rng.exponential(size=8), rng.exponential(3.0, 8)
    found = draw_probabilities(importance, time_s, channel_weight)
    share, cost = importance / importance.sum(), time_s / time_s.mean()
    slope = channel_weight * cost - (1 - channel_weight) * share**2 / found**2
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.ptp(slope) < 1e-6 * abs(slope).max()

    def objective(p: Any) -> Any:
        variance = (share**2 / p).sum(axis=-1)
        return (1 - channel_weight) * variance + channel_weight * (p * cost).sum(axis=-1)

    assert (objective(rng.dirichlet(np.ones(8), 2000)) >= objective(found)).all()


def test_block_errors_are_the_mean_over_fading() -> None:
    """Law: the integral of 1 - exp(-m / s) over an exponential distribution of s, by quadrature."""
    for waterfall, mean in ((1.0, 0.1), (1.005, 3.0), (0.2, 40.0), (2.0, 1e4)):
        found, _ = quad(faded_error, 0, 40 * mean, (waterfall, mean), limit=400, points=[waterfall])
        assert block_error(waterfall, np.array([mean]))[0] == pytest.approx(found, rel=1e-6)


def faded_error(snr: float, waterfall: float, mean: float) -> float:
    return float(-np.expm1(-waterfall / snr) * np.exp(-snr / mean) / mean)


def test_expected_loss_is_the_least_of_all_assignments() -> None:
    """Against all assignments of devices to blocks, and scipy's Hungarian algorithm."""
    rng = np.random.default_rng(11)
    config = ExpectedLoss(round_s=8.0)
    for _ in range(20):
        weight, snr = rng.integers(1, 40, 6).astype(float), rng.exponential(0.7, 6)
        rate_bps, compute_s = rng.exponential(6e6, 6), rng.exponential(2.0, 6)
        asked = choice(6, 3, uplink_bps=rate_bps, uplink_snr=snr, compute_s=compute_s)
        in_time = compute_s + BITS / (rate_bps / 3) <= 8.0
        gain = np.where(in_time, weight * (1 - block_error(10**0.0023, 3 * snr)), 0.0)
        chosen = select(config, asked, weight=weight)
        best = max(gain[list(each)].sum() for each in itertools.permutations(range(6), 3))
        row, column = linear_sum_assignment(-np.tile(gain[:, None], (1, 3)))
        assert gain[chosen].sum() == pytest.approx(best) == pytest.approx(gain[row].sum())
        assert in_time[chosen].all()
        assert len(column) == 3


def test_expected_loss_on_unequal_blocks_is_the_least_of_all_assignments() -> None:
    """Against all ways to give at most so many devices a block of their own."""
    rng = np.random.default_rng(12)
    for most in (2, 3):
        for _ in range(10):
            weight, compute_s = rng.integers(1, 40, 5).astype(float), rng.exponential(2.0, 5)
            snr, rate_bps = rng.exponential(0.7, (5, 3)), rng.exponential(3e6, (5, 3))
            asked = choice(5, most, block_snr=snr, block_bps=rate_bps, compute_s=compute_s)
            in_time = compute_s[:, None] + BITS / rate_bps <= 8.0
            gain = np.where(in_time, weight[:, None] * (1 - block_error(10**0.0023, snr)), 0.0)
            best = {
                devices: max(
                    sum(gain[device, block] for device, block in zip(devices, blocks, strict=True))
                    for blocks in itertools.permutations(range(3), len(devices))
                )
                for devices in itertools.combinations(range(5), most)
            }
            chosen = tuple(select(ExpectedLoss(round_s=8.0), asked, weight=weight))
            reached = max(value for devices, value in best.items() if {*chosen} <= {*devices})
            assert len(chosen) <= most
            assert reached == pytest.approx(max(best.values()))
            assert all(gain[device].max() > 0.0 for device in chosen)


def test_nobody_is_selected_who_cannot_be_in_time() -> None:
    asked = choice(4, 2, uplink_bps=np.array([1e9, 1e5, np.nan, 1e9]), uplink_snr=np.ones(4))
    assert select(ExpectedLoss(round_s=2.0), asked) == [0, 3]
    assert select(ExpectedLoss(round_s=1.0), asked) == []


def test_importance_without_channel_is_proportional_and_zero_is_never_drawn() -> None:
    found = draw_probabilities(np.array([1.0, 3.0, 0.0]), np.array([5.0, 1.0, 1.0]), 0.0)
    assert found == pytest.approx([0.25, 0.75, 0.0])
    rates = np.array([1.0, 0.0, 1.0, 1.0])
    asked = choice(4, 3, uplink_bps=rates, distance=np.array([1.0, 9.0, 0.0, np.nan]))
    # Device 1 is out of reach, 2 has not changed; 3 has no update yet and counts as much as 1.
    assert set(select(ImportanceChannel(), asked)) == {0, 3}


def test_batteries_below_the_reserve_are_spared() -> None:
    battery = np.array([0.1, 0.9, 0.3, 0.5])
    assert select(BatteryAware(reserve=0.4), choice(4, 3, battery=battery)) == [1, 3]


@pytest.fixture
def served(make_network: Any) -> Callable[..., Any]:
    """Return a runner of a session with a server; gives network and session."""

    def run(
        protocol: Server, distances_m: Any = (100.0, 200.0, 300.0, 400.0), rounds: int = 3,
        compute_s: Callable[[int, float], float] = lambda device, flops: 1.0 + device,
        **options: Any,
    ) -> Any:  # fmt: skip
        places = tuple((x, 0.0) for x in distances_m)
        network = make_network(places, stations_m=((0.0, 0.0),), **{"mac": Cell()} | options)
        count = len(places)
        trainer: Any = QuadraticTrainer([float(device) for device in range(count)], 0.5)
        learning = Learning(rounds=rounds, evaluate_every=1, protocol=protocol)
        session = PROTOCOLS[Server](
            network, trainer, learning, compute_s, count, 1, lambda number, time_s, accuracy: None
        )
        network.env.run(until=session.done)
        network.close()
        return network, session

    return run


def clients(session: Any) -> list[list[int]]:
    """Return the clients of each round."""
    last = max(row.round for row in session.rounds)
    return [
        sorted(row.device for row in session.rounds if row.round == number)
        for number in range(1, last + 1)
    ]


def test_reports_are_paid_for_on_the_air(served: Callable[..., Any]) -> None:
    network, session = served(Server(share=0.5, selection=BestChannel()))
    assert clients(session) == [[0, 1]] * 3
    control = [t for t in network.transfers if t.message.kind == "control"]
    up = [t for t in control if t.message.target == network.server]
    assert [(t.message.source, t.message.size_bytes) for t in up[:4]] == [
        (device, REPORT_BYTES) for device in range(4)
    ]
    assert len(up) == 3 * 4
    # Before the first average a notice tells the clients that they are selected.
    down = [(t.message.round, t.message.target, t.message.size_bytes) for t in control[4:6]]
    assert down == [(1, 0, NOTICE_BYTES), (1, 1, NOTICE_BYTES)]
    assert len(control) == 3 * 4 + 2
    last = max(t.ended_s for t in up if t.message.round == 1)
    assert min(t.sent_s for t in network.transfers if t.message.kind == "update") > last + 1.0


SEEN: list[Choice] = []


@parameters
class Watching:
    """The first devices; what the selection sees is kept."""

    model: Literal["here:Watching"] = "here:Watching"
    reports: bool = False

    def selector(self, context: SelectionContext) -> Any:
        def select(asked: Choice) -> Any:
            SEEN.append(asked)
            return asked.devices[: asked.count]

        return select


def watching(reports: bool, **settings: Any) -> Server:
    """Return a server whose selection is a user-defined one."""
    SEEN.clear()
    protocol = Server(**settings)
    object.__setattr__(protocol, "selection", Watching(reports=reports))
    return protocol


@parameters
class Returning:
    """Whatever the test says."""

    model: Literal["here:Returning"] = "here:Returning"
    reports: bool = False
    found: Any = None

    def selector(self, context: SelectionContext) -> Any:
        return lambda choice: self.found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "must return numbers of devices, got None"),
        ([0.0, math.nan], "must return numbers of devices"),
        ([0, 9], "may be selected, got 9"),
        ([1, 1], "each device once"),
        ([0, 1, 2], "at most 2 devices, got 3"),
    ],
)
def test_what_a_selection_returns_is_checked(
    served: Callable[..., Any], found: Any, message: str
) -> None:
    protocol = Server(share=0.5)
    object.__setattr__(protocol, "selection", Returning(found=found))
    with pytest.raises(ValueError, match=message):
        served(protocol)


def test_selections_without_reports_cost_nothing_and_know_nothing(
    served: Callable[..., Any],
) -> None:
    network, session = served(watching(False, share=0.25))
    assert clients(session) == [[0]] * 3
    assert not any(t.message.kind == "control" for t in network.transfers)
    assert all(np.isnan(value).all() for each in SEEN for value in vars(each.reports).values())
    assert [each.last.age.tolist() for each in SEEN] == [[0] * 4, [0, 1, 1, 1], [0, 2, 2, 2]]
    # The state of device 0, whose optimum is 0, remains where it starts.
    assert SEEN[1].last.distance[0] == 0.0
    assert np.isnan(SEEN[1].last.distance[1:]).all()


def test_a_device_that_cannot_report_is_not_selected(served: Callable[..., Any]) -> None:
    network, session = served(
        watching(True, report_deadline_s=0.01), (100.0, 95_000.0), bandwidth_hz=1e4
    )
    assert clients(session) == [[0]] * 3
    assert {t.reason for t in network.transfers if t.message.source == 1} == {"deadline"}
    for each in SEEN:
        known = [np.isfinite(value) for value in vars(each.reports).values()]
        assert all(each[0].all() for each in known)
        assert not any(each[1].any() for each in known)
    rate_bps = network.snapshot().uplink_bps
    assert SEEN[0].reports.uplink_bps[0] == rate_bps[0]
    # The rate of the mean SNR on the whole band, by Shannon's formula.
    snr = SEEN[0].reports.uplink_snr[0]
    assert snr == network.snapshot().uplink_snr[0]


def test_over_selection_counts_the_first_and_waits_for_no_other(
    served: Callable[..., Any],
) -> None:
    """Law: the average of the fastest; a device takes 1 s more than the one before."""
    network, session = served(
        Server(share=0.5, selection=BestChannel(), over_selection=1.5), rounds=2
    )
    first = [row for row in session.rounds if row.round == 1]
    assert {row.device for row in first} == {0, 1, 2}
    # The first round ends with device 1, after 2 s; device 2 is busy then, so that 3 is next.
    second = [row for row in session.rounds if row.round == 2]
    assert {row.device for row in second} == {0, 1, 3}
    assert 2.0 < min(row.start_s for row in second) < 2.1
    assert max(row.end_s for row in first) > 3.0
    # x <- x - (x - c) / 2 from the average of devices 0 and 1 only: 0.25; then again.
    average = np.mean([0.5 * (0.25 + each) for each in (0.0, 1.0)])
    assert session.current(0).value() == pytest.approx(average)
    assert network.in_flight == 0
    assert not any(store.items for store in network.inbox)


def test_of_updates_that_arrive_together_the_first_are_counted(
    served: Callable[..., Any],
) -> None:
    _, session = served(
        watching(False, share=0.5, over_selection=2.0), (100.0, 100.0), rounds=2,
        compute_s=lambda device, flops: 1.0, mac=Cell(scheduler="equal"),
    )  # fmt: skip
    assert len({row.end_s for row in session.rounds if row.round == 1}) == 1
    assert SEEN[1].last.selected == (0, 1)
    assert SEEN[1].last.counted == (0,)
    assert SEEN[1].last.age.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"selection": AllClients(), "share": 0.5}, "takes all devices, got share 0.5"),
        ({"selection": AllClients(), "over_selection": 1.5}, "selection all leaves none"),
        ({"selection": DeadlineGreedy(), "over_selection": 2.0}, "as many devices as meet"),
    ],
)
def test_impossible_combinations_are_refused(settings: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Server(**settings)


SERVED = """
name: served
base_stations: {count: 1}
mac: {model: cell}
fl: {tasks: [home], protocol: {model: server}}
"""


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["fl.protocol.selection={model: battery-aware}"], "needs energy.battery_j"),
        (["fl.protocol.selection={model: fedcs}"], "'fedcs'"),
        (["fl.protocol.selection={model: 'mine:Own'}"], "--plugin mine"),
        (["fl.protocol.selection={model: deadline-greedy, round_s: 0}"], "greater than 0"),
    ],
)
def test_a_scenario_says_what_a_selection_needs(
    settings: list[str], complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "served.yaml"
    path.write_text(SERVED, "utf-8")
    with pytest.raises(ScenarioError, match=complaint):
        plan(str(path), settings)
