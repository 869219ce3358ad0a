"""Kernels: equal to the same calculation on arrays, and what their cache relies on."""

from __future__ import annotations

import ast
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wnsim.channel import Rayleigh, TappedDelayLine, Uma, UmiStreetCanyon
from wnsim.channel.links import LinkRows
from wnsim.channel.path_loss import PATH_LOSS
from wnsim.channel.plane_waves import PlaneWaves
from wnsim.channel.propagation_scene import terms_of
from wnsim.core.units import db_to_linear, linear_to_db
from wnsim.kernels import gains, link_geometry, link_states, plane_waves, random_fields, sidelink
from wnsim.phy import NrMcs, Slots
from wnsim.phy.nr import NrModem
from wnsim.phy.nr_arrays import NrModemOfArrays

KERNELS = Path(__file__).parent.parent / "wnsim" / "kernels"


def slots_of(seed: int, links: int, count: int, bands: int) -> Slots:
    """Return slots of links at 0 to 30 dB, estimated with an error of 2 dB."""
    draws = np.random.default_rng(seed)
    sinr = 10 ** draws.uniform(0.0, 3.0, (links, count, bands))
    sinr[draws.random((links, count)) < 0.05] = 0.0
    return Slots(
        known=sinr * 10 ** draws.normal(0.0, 0.2, sinr.shape),
        sinr=sinr,
        share=np.repeat(draws.choice([1.0, 0.5, 0.01], (links, 1)), count, axis=1),
        active=draws.random((links, count)) < draws.uniform(0.2, 1.1, (links, 1)),
        draws=draws.random((links, count)),
    )


@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize(
    "phy",
    [
        NrMcs(),
        NrMcs(table=2, harq_processes=3, max_transmissions=2, outer_step_db=0.5),
        NrMcs(harq="chase", harq_processes=4, max_transmissions=3),
        NrMcs(table=3, harq="none", outer_step_db=0.0, target_bler=0.01),
    ],
    ids=["ir", "256-qam", "chase", "none"],
)
def test_harq_is_as_on_arrays(phy: NrMcs, bands: int) -> None:
    kernel, arrays = NrModem(phy, 20e6, bands), NrModemOfArrays(phy, 20e6, bands)
    size_bits = np.array([10**9, 10**9, 300_000, 50_000, 3000] * 4)
    states = [
        modem.start(size_bits, np.arange(size_bits.size) % 7 == 3) for modem in (kernel, arrays)
    ]
    kinds: set[int] = set()
    for seed in range(5):
        slots = slots_of(seed, size_bits.size, 50 if seed else 1, bands)
        found, expected = kernel.scan(states[0], slots), arrays.scan(states[1], slots)
        assert np.array_equal(found.kind, expected.kind)
        assert np.array_equal(found.bits, expected.bits)
        kinds |= set(found.kind.flat)
    assert kinds == ({0, 1, 2} if phy.harq == "none" else {0, 1, 2, 3, 4})
    for name in ("turn", "left", "sent", "offset_db"):
        assert states[0][name] == pytest.approx(states[1][name], rel=1e-12)
    waiting = states[0]["sent"] > 0
    for name in ("error", "mean", "variance"):
        assert states[0][name][waiting] == pytest.approx(states[1][name][waiting], rel=1e-9)


@pytest.mark.parametrize(("waves", "axes", "power"), [(256, 2, 1), (64, 3, 2), (100, 3, 1)])
def test_random_fields_are_sums_of_cosines(waves: int, axes: int, power: int) -> None:
    """The equation of `wnsim.channel.shadowing`, in double precision."""
    draws = np.random.default_rng(1)
    vectors = draws.normal(0.0, 0.02, (2, 4, waves))
    # Links as short as the decorrelation distance among them.
    positions_m = 3000.0 * draws.random((9, 5, axes))
    positions_m[1] = positions_m[0] + 4.0
    first, second = np.array([0, 2, 5, 5, 1]), np.array([1, 3, 4, 0, 2])
    found = random_fields.values(vectors, 10.0, power, positions_m, first, second)
    one_m, other_m = positions_m[first], positions_m[second]
    total = np.zeros((5, 5))
    for a_m, b_m in ((one_m, other_m), (other_m, one_m)):
        turns = a_m @ vectors[0, :axes] + b_m @ vectors[1, :axes] + vectors[:, 3].sum(axis=0)
        total += np.cos(2.0 * np.pi * turns).sum(axis=-1)
    apart = np.linalg.norm(one_m - other_m, axis=-1) / 10.0
    expected = total / np.sqrt(waves * (1.0 + np.exp(-2.0 * apart**power)))
    # Single precision: 3e-7 of each cosine, whose errors add up at worst like the cosines.
    assert found == pytest.approx(expected, abs=2.0 * 3e-7 * np.sqrt(waves))
    assert found.std() > 0.1


def test_ends_of_links_are_as_on_arrays() -> None:
    draws = np.random.default_rng(3)
    one, other = draws.integers(0, 40, (2, 25))
    nodes, first, second = link_geometry.members(one, other)
    assert np.array_equal(nodes, np.unique([one, other]))
    assert np.array_equal(nodes[first], one)
    assert np.array_equal(nodes[second], other)
    positions_m = 500.0 * draws.random((nodes.size, 3, 3))
    found, nearest_m, farthest_m = link_geometry.distances(positions_m, first, second)
    apart_m = positions_m[first] - positions_m[second]
    assert np.array_equal(found, np.hypot(apart_m[..., 0], apart_m[..., 1]))
    assert (nearest_m, farthest_m) == (found.min(), found.max())


def test_ends_that_are_not_known_are_found_once() -> None:
    known = np.zeros(9, dtype=bool)
    known[[2, 5]] = True
    one, other = np.array([7, 2, 1, 7]), np.array([5, 1, 8, 2])
    assert link_geometry.missing(known, one, other).tolist() == [1, 7, 8]
    assert np.flatnonzero(known).tolist() == [1, 2, 5, 7, 8]
    assert not link_geometry.missing(known, one, other).size


def on_move(move: np.ndarray, t_s: np.ndarray) -> np.ndarray:
    """Return positions (T, 2) on a move (3, 2) between two knots."""
    share = (t_s - move[0, 0]) / (move[0, 1] - move[0, 0])
    return move[1:, 0] + share[:, None] * (move[1:, 1] - move[1:, 0])


def test_devices_on_paths_are_as_on_arrays() -> None:
    draws = np.random.default_rng(9)
    knots = draws.random((3, 12))
    knots[0] = np.cumsum(knots[0]) - knots[0, 0]
    t_s = np.array([-2.0, knots[0, 3], 0.4, 0.95 * knots[0, 9], 0.1])
    positions_m, move = np.empty((5, 2)), np.empty((3, 2))
    link_geometry.on_path(knots, 10, t_s, positions_m, move)
    for at_s, found_m in zip(np.maximum(t_s, 0.0), positions_m, strict=True):
        left = int(np.flatnonzero(knots[0] <= at_s)[-1])
        assert np.array_equal(found_m, on_move(knots[:, left : left + 2], np.array([at_s]))[0])
    assert np.array_equal(move, knots[:, 8:10])


def test_devices_on_straight_moves_are_as_on_arrays() -> None:
    draws = np.random.default_rng(4)
    moves = 100.0 * draws.random((9, 3, 2))
    moves[:, 0] = [[0.0, 5.0], [0.0, 3.0], [2.0, 9.0]] * 3
    devices, t_s = np.array([4, 0, 2, 8, 7]), np.array([-1.0, 3.5, 0.25])
    positions_m = np.full((5, 3, 2), np.nan)
    found = link_geometry.on_moves(moves, devices, t_s, positions_m)
    assert found.tolist() == [False, True, False, False, False]
    assert np.array_equal(positions_m[1], on_move(moves[0], np.maximum(t_s, 0.0)))
    assert np.isnan(positions_m[~found]).all()
    found = link_geometry.on_moves(moves, devices, np.array([2.0, 2.9]), positions_m)
    assert found.all()


def test_link_states_are_as_on_arrays() -> None:
    draws = np.random.default_rng(5)
    quantile, field = draws.normal(0.0, 1.0, (2, 40, 3))
    quantile[0] = -np.inf, 0.0, np.inf
    state = link_states.soft(quantile, field, 15.0)
    # The C library's functions may differ from NumPy's in the last bit.
    assert state == pytest.approx(0.5 + np.arctan(15.0 * (quantile - field)) / np.pi, rel=1e-15)
    assert state[0, [0, 2]].tolist() == [0.0, 1.0]
    in_db, out_db = draws.uniform(-150.0, -50.0, (2, 40, 3))
    power = state**2 * db_to_linear(in_db) + (1.0 - state**2) * db_to_linear(out_db)
    found = link_states.mixed_db(state, in_db, out_db)
    assert found == pytest.approx(linear_to_db(power), rel=1e-14)
    assert found[0, [0, 2]].tolist() == [pytest.approx(out_db[0, 0], rel=1e-14), in_db[0, 2]]
    # Where the state does not hold at all, its gain does not count.
    assert link_states.mixed_db(state[:1], np.full((1, 3), -np.inf), out_db[:1])[0, 0] > -150.0


@pytest.mark.parametrize("model", [UmiStreetCanyon(), Uma()], ids=["umi", "uma"])
def test_urban_path_loss_is_as_on_arrays(model: UmiStreetCanyon | Uma) -> None:
    draws = np.random.default_rng(6)
    d2d_m = draws.choice([1.0, 30.0, 3000.0], (200, 3)) * draws.random((200, 3))
    d2d_m[0] = 0.0, 18.0, 5000.0
    for instants in (1, 3):
        h_bs_m, h_ut_m = draws.uniform(1.2, 30.0, (2, 200, instants))
        ends = d2d_m, h_bs_m, h_ut_m
        probability, los_db, nlos_db = model.terms(*ends, 3.5e9)
        # The C library's functions may differ from NumPy's in the last bit.
        assert probability == pytest.approx(model.los_probability(*ends), rel=1e-14)
        assert los_db == pytest.approx(model.loss_db(*ends, 3.5e9, True), rel=1e-14)
        assert nlos_db == pytest.approx(model.loss_db(*ends, 3.5e9, False), rel=1e-14)
    with pytest.raises(ValueError, match=f"of 1 m in {model.title}, got 0.5"):
        model.terms(d2d_m, h_bs_m, np.full((200, 1), 0.5), 3.5e9)


def test_terms_are_not_those_of_a_model_that_was_changed() -> None:
    class Open(UmiStreetCanyon):
        def los_probability(self, d2d_m: Any, h_bs_m: Any, h_ut_m: Any) -> Any:
            return np.ones(np.shape(d2d_m))

    class Renamed(UmiStreetCanyon):
        title = "UMi by another name"

    assert terms_of(Open()) is None
    assert terms_of(Renamed()) is not None
    ends = np.full((1, 1), 300.0), np.full((1, 1), 25.0), np.full((1, 1), 60.0)
    for kind in PATH_LOSS.values():
        model: Any = kind()
        terms = terms_of(model)
        if terms is not None:
            assert [float(each[0, 0]) for each in terms(*ends, 2e9)] == pytest.approx(
                [
                    float(model.los_probability(*ends)[0, 0]),
                    *(float(model.loss_db(*ends, 2e9, los)[0, 0]) for los in (True, False)),
                ]
            )
    assert {name for name, kind in PATH_LOSS.items() if terms_of(kind())} == {"umi", "uma"}


def test_links_are_numbered_in_the_order_of_first_requests() -> None:
    draws, rows = np.random.default_rng(7), LinkRows(5000)
    known: dict[tuple[int, int], int] = {}
    for size in (0, 3, 40, 700, 700, 700):
        low, high = np.sort(draws.choice([50, 2**31], (size, 1)) * draws.random((size, 2))).T
        low, high = low.astype(np.int64), high.astype(np.int64)
        found, new = rows(low, high)
        before = len(known)
        links = list(zip(low.tolist(), high.tolist(), strict=True))
        expected = [known.setdefault(link, len(known)) for link in links]
        assert found.tolist() == expected
        assert [expected[each] for each in new] == list(range(before, len(known)))
        assert len(rows) == len(known)


def test_numbered_links_beyond_the_capacity_replace_all_others() -> None:
    rows = LinkRows(3)
    rows(np.array([0, 1]), np.array([2, 3]))
    found, new = rows(np.array([4, 1, 4, 5]), np.array([6, 3, 6, 9]))
    assert (found.tolist(), new.tolist(), len(rows)) == ([0, 1, 0, 2], [0, 1, 3], 3)
    # More than the capacity at once are kept until the next ones.
    found, new = rows(np.arange(5), np.arange(5) + 1)
    assert (found.tolist(), new.tolist()) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    assert rows(np.array([3]), np.array([4]))[1].size == 0
    assert rows(np.array([0]), np.array([7]))[0].tolist() == [0]


def test_grid_points_around_instants_are_as_on_arrays() -> None:
    draws = np.random.default_rng(8)
    for t_s in (np.arange(-3, 40) * 0.05, np.sort(draws.uniform(-2.0, 9.0, 50)), np.empty(0)):
        grid, left, right, fraction = gains.neighbors(t_s, 150)
        steps = t_s * 1000.0 / 150
        before = np.floor(steps)
        after = before + (steps > before)
        assert np.array_equal(grid, np.unique([before, after]))
        assert np.array_equal(grid[left], before)
        assert np.array_equal(grid[right], after)
        assert np.array_equal(fraction, steps - before)


@pytest.mark.parametrize("fading", [Rayleigh(), TappedDelayLine()], ids=["flat", "tdl"])
def test_power_gains_are_those_of_amplitudes(fading: Rayleigh | TappedDelayLine) -> None:
    draws = np.random.default_rng(10)
    waves = fading.process(3.5e9, 100e6, 3, 1)
    assert isinstance(waves, PlaneWaves)
    places_m = 100.0 * draws.random((6, 4, 2))
    source, target = np.array([3, 0, 5]), np.array([1, 4, 2])
    gain_db = draws.uniform(-90.0, -60.0, (3, 50))
    found = waves.power_grid(source, target, places_m, 7, 0.064, 20, 5, gain_db)
    amplitude = waves.response_grid(
        source, target, places_m[source], places_m[target], 7, 0.064, 20
    )[:, 5:55]
    expected = db_to_linear(gain_db)[..., None] * np.abs(amplitude) ** 2
    assert found == pytest.approx(expected, rel=1e-12)
    assert np.array_equal(found, gains.power_gains(gain_db, amplitude, 0))


def test_ring_buffers_keep_what_was_written_last() -> None:
    ring, stamp = np.zeros((4, 8)), np.full((4, 8), -1)
    rows, grid = np.array([2, 0]), np.array([6, 7, 9])
    values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    gains.keep(ring, stamp, rows, grid, values)
    assert np.array_equal(gains.kept(ring, rows, grid), values)
    assert [each.tolist() for each in gains.stale(stamp, rows, grid)] == [[], []]
    # Point 14 takes the place of point 6.
    gains.keep(ring, stamp, rows[:1], np.array([14]), values[:1, :1])
    assert [each.tolist() for each in gains.stale(stamp, rows, grid)] == [[0], [0]]
    assert [each.tolist() for each in gains.stale(stamp, np.array([0, 1]), grid)] == [
        [1], [0, 1, 2]
    ]  # fmt: skip


def test_waves_are_stratified_draws() -> None:
    words = np.random.default_rng(2).integers(0, 2**32, (4, 6, 32), dtype=np.uint64)
    table = np.empty((6, 4, 32), dtype=np.uint16)
    order = plane_waves.fill_table(words, table)
    ranks = [np.argsort(word, axis=-1, kind="stable") for word in words[2:]]
    strata = np.broadcast_to(np.arange(32), (6, 32)), *ranks
    halves = words[0] >> 16, words[0] & 0xFFFF, words[1] >> 16, words[1] & 0xFFFF
    for column in range(3):
        expected = (strata[column] * 65536.0 + halves[column]) // 32
        assert np.array_equal(table[:, column], expected)
    assert np.array_equal(table[:, 3], halves[3])
    assert np.array_equal(order, np.take_along_axis(ranks[0], ranks[1], axis=-1))


def test_a_direct_wave_is_as_on_arrays() -> None:
    draws = np.random.default_rng(3)
    links, chunks, samples, bands, per_m, share = 4, 3, 20, 2, 19.7, 0.8
    edges_m = draws.uniform(-300.0, 300.0, (links, chunks + 1, 2))
    shape = (links, chunks * samples, bands)
    values = draws.normal(size=shape) + 1j * draws.normal(size=shape)
    part = np.arange(samples)[:, None] / samples
    apart_m = edges_m[:, :-1, None] + part * np.diff(edges_m, axis=1)[:, :, None]
    turn = per_m * np.hypot(*np.moveaxis(apart_m.reshape(links, -1, 2), -1, 0))
    expected = np.sqrt(share) * np.exp(-2j * np.pi * turn)[..., None] + np.sqrt(1 - share) * values
    plane_waves.add_direct(values, edges_m, samples, per_m, np.sqrt(share), np.sqrt(1 - share))
    assert np.abs(values - expected).max() < 5e-7


@pytest.mark.parametrize("keeps", [False, True])
def test_the_resources_of_a_grant_are_as_on_arrays(keeps: bool) -> None:
    draws = np.random.default_rng(6)
    base, begin, until, period = 900, 1000, 1400, 60
    for periods in (1, 3, 50):
        slots = 980 + draws.choice(period, 7, replace=False)
        channels = draws.integers(0, 5, 7)
        channel, announced = np.full(until - base, -1, np.int16), np.zeros(until - base, bool)
        sidelink.enter(
            channel, announced, base, begin, slots, channels, period, periods, keeps
        )  # fmt: skip
        number = np.arange(periods)
        used = slots[:, None] + period * number
        inside = (used >= begin) & (used < until)
        expected, more = np.full(channel.shape, -1), np.zeros(channel.shape, bool)
        expected[used[inside] - base] = np.broadcast_to(channels[:, None], used.shape)[inside]
        more[used[inside] - base] = np.broadcast_to(
            keeps | (number + 1 < periods), used.shape
        )[inside]  # fmt: skip
        assert np.array_equal(channel, expected)
        assert np.array_equal(announced, more)


@pytest.mark.parametrize("fluid", [False, True])
def test_records_of_blocks_are_as_on_arrays(fluid: bool) -> None:
    draws = np.random.default_rng(7)
    rows, blocks, outcomes, slot_ns = 40, 30, 5, 1_000_000
    kind = draws.integers(0, outcomes, (rows, blocks)).astype(np.int8)
    bits = np.where(kind % 2 == 1, draws.integers(0, 4000, kind.shape), 0)
    heard, ratio, possible = draws.random(kind.shape) < 0.7, *draws.random((2, *kind.shape))
    start = draws.integers(0, 99, (2, rows)), draws.integers(0, 9, (rows, outcomes))
    snr, capacity = draws.random((2, rows))
    sent = kind != 0
    added = (
        (start[0][0], bits), (start[0][1], sent & heard),
        (start[1], (kind[..., None] == np.arange(outcomes)) & sent[..., None]),
        (snr, np.where(sent, ratio, 0.0)), (capacity, np.where(sent, possible, 0.0)),
    )  # fmt: skip
    found = sidelink.running_sums(bits, kind, heard, ratio, possible, *start[0], *start[1:], snr,
                                  capacity, 0)  # fmt: skip
    for (first, more), sums in zip(added, found, strict=True):
        expected = np.cumsum(
            np.concatenate([first[:, None], more], axis=1), axis=1, dtype=first.dtype
        )
        assert np.array_equal(sums, expected)

    acked, size = start[0][0], draws.integers(100, 80_000, rows)
    slots = np.sort(draws.choice(500, blocks, replace=False)) + 7
    limit = draws.integers(50, 600, rows) * slot_ns
    done, due = sidelink.complete(bits, acked, size, limit, slots, slot_ns, fluid)
    for row in range(rows):
        over = np.flatnonzero(acked[row] + bits[row].cumsum() >= size[row])
        ends_ns, block = limit[row] + 1, -1
        if over.size:
            block = over[0]
            ends_ns = (slots[block] + 1) * slot_ns
            if fluid:
                missing = int(size[row] - acked[row] - bits[row, :block].sum())
                share = Fraction(missing, int(max(bits[row, block], 1)))
                ends_ns += math.ceil(share * slot_ns) - slot_ns
        in_time = ends_ns <= limit[row]
        assert (done[row], due[row]) == ((block, ends_ns) if in_time else (-1, limit[row]))
    assert 0 < (done >= 0).sum() < rows


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.py")), ids=lambda path: path.stem)
def test_what_a_kernel_calls_stands_in_its_own_file(path: Path) -> None:
    # The cache of a kernel is not renewed when another file changes.
    if path.stem in ("__init__", "compiling", "csma_records", "harq_records", "layout"):
        return
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    assert names <= {
        "__future__",
        "math",
        "numpy",
        "numpy.typing",
        "typing",
        "wnsim.kernels.compiling",
    }


SCAN = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_kernels import slots_of
from wnsim.phy import NrMcs
modem = NrMcs().modem(20e6, 2, 1_000_000)
state = modem.start(np.full(4, 10**6), np.zeros(4, dtype=bool))
outcome = modem.scan(state, slots_of(1, 4, 60, 2))
print(outcome.bits.tobytes().hex(), state["left"].tolist(), state["offset_db"].tobytes().hex())
"""


# The environment of processes that compile, whether this one does or not.
_COMPILING = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}


def outcome_with(**environment: str) -> str:
    """Return the outcome of slots in a new process."""
    code = SCAN.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=_COMPILING | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_results_do_not_depend_on_compilation_and_its_cache(tmp_path: Path) -> None:
    cold = outcome_with(NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert list((tmp_path / "cache").rglob("*.nbc"))
    assert outcome_with(NUMBA_CACHE_DIR=str(tmp_path / "cache")) == cold
    assert outcome_with(NUMBA_DISABLE_JIT="1") == cold


def test_a_kernel_is_compiled_where_no_cache_can_be_kept(tmp_path: Path) -> None:
    code = (
        "from wnsim.kernels.compiling import compiled\n"
        "@compiled\ndef inverse(x):\n    return 1.0 / x\nprint(inverse(4.0), inverse(0.0))"
    )
    (tmp_path / "inverse.py").write_text(code, "utf-8")
    done = subprocess.run(
        [sys.executable, "inverse.py"],
        cwd=tmp_path,
        env=_COMPILING | {"NUMBA_CACHE_DIR": "/proc/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0.25 inf\n"
