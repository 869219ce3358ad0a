"""Kernels of slots and of interference: equal to the same calculation on arrays."""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import numpy as np
import pytest

from wnsim.air.quality import predict
from wnsim.air.scheduled.attempt_table import AttemptTable
from wnsim.air.scheduled.window import Buffers, Window
from wnsim.kernels import interference, slots
from wnsim.phy.modem import IDLE, NEW, NEW_LOST, OUTCOMES, efficiency


def rayleigh(draws: np.random.Generator, *shape: int) -> np.ndarray:
    """Return power gains with exponential distribution."""
    return np.asarray(draws.exponential(1e-9, shape))


@pytest.mark.parametrize(("delay", "terms"), [(0, 0), (3, 1), (3, 2), (3, 3)])
@pytest.mark.parametrize("constant", [True, False])
def test_sinr_is_as_on_arrays(delay: int, terms: int, constant: bool) -> None:
    draws = np.random.default_rng(1)
    pairs, first, count, base, sample_slots = 12, 20, 9, 4, 2
    gains = rayleigh(draws, pairs, 20, 2)
    pair, receiver = np.array([3, 0, 7]), np.array([0, 0, 0, 2, 2])
    interfering = np.array([1, 2, 4, 5, 6])
    power_w, noise_w = np.array([0.2, 0.1, 0.3]), draws.uniform(1e-12, 1e-11, (3, count))
    density, emitted_w = draws.random((3, count)), draws.random((5, count))
    if constant:
        density, noise_w, emitted_w = density[:, :1], noise_w[:, :1], emitted_w[:, :1]
    found = slots.sinr(
        gains, base, sample_slots, first, count, delay, terms, pair, power_w, density, noise_w,
        receiver, interfering, emitted_w,
    )  # fmt: skip
    when = np.arange(first, first + count)

    def at(rows: np.ndarray, age: int) -> np.ndarray:
        return gains[rows[:, None], np.maximum(when - age, 0) // sample_slots - base]

    past = [at(pair, term * delay) for term in range(1, terms + 1)] or [at(pair, 0)]
    interference_w = np.zeros((3, count, 2))
    np.add.at(interference_w, receiver, emitted_w[..., None] * at(interfering, delay))
    signal_w = power_w[:, None, None] * predict(past)
    assert np.array_equal(
        found, signal_w * density[..., None] / (noise_w[..., None] + interference_w)
    )


@pytest.mark.parametrize("most_bps_hz", [math.inf, 3.0])
def test_shannon_rate_is_as_on_arrays(most_bps_hz: float) -> None:
    draws = np.random.default_rng(2)
    sinr = draws.exponential(20.0, (5, 40, 2))
    known = sinr * draws.choice([0.5, 1.0, 1.5], (5, 40, 1))
    known[0, 0] = sinr[0, 0] = 0.0
    share, active = draws.choice([1.0, 0.3], (5, 40)), draws.random((5, 40)) < 0.9
    errors = draws.random((5, 40))
    bits, kind = slots.shannon(known, sinr, share, active, errors, 2.0, most_bps_hz, 1e4, 0.1)
    chosen = np.minimum(efficiency(known / 2.0), most_bps_hz)
    sent = np.where(active, np.floor(chosen * share * 1e4), 0.0)
    possible = np.minimum(efficiency(sinr / 2.0), most_bps_hz)
    lost = (chosen > possible * (1.0 + 1e-12)) | (errors < 0.1)
    expected = np.where(sent > 0, np.where(lost, NEW_LOST, NEW), IDLE)
    assert np.array_equal(kind, expected)
    # Logarithms of the C library and of NumPy may differ in the last bit, before rounding down.
    assert np.abs(bits - np.where(lost, 0, sent)).max() <= 1
    assert set(kind.flat) == {IDLE, NEW, NEW_LOST}


def test_ends_and_sums_are_as_on_arrays() -> None:
    draws = np.random.default_rng(3)
    table = np.zeros(6, AttemptTable().table.dtype)
    rows, first_slot, count = np.array([4, 1, 2]), 100, 30
    table["size"], table["acked"], table["begin"] = 4000, 200, [0, 90, 110, 0, 100, 0]
    table["limit"] = [0, 10**12, 120_500, 0, 10**12, 0]
    kind = draws.choice([IDLE, NEW, NEW_LOST], (6, count)).astype(np.int8)
    kind[2, :10] = IDLE
    bits = np.where(kind == NEW, 300, 0)
    bits[1] //= 4
    sinr, share = draws.exponential(10.0, (6, count, 2)), draws.random((6, count))
    power, average = draws.random((6, count)), draws.random((6, count))
    for fluid in (False, True):
        slots.predict_ends(table, rows, bits, first_slot, 1000, fluid)
        for row in rows.tolist():
            acked = 200 + np.cumsum(bits[row])
            done, due_ns = -1, table["limit"][row]
            if acked[-1] >= 4000:
                slot = int(np.argmax(acked >= 4000))
                missing = 4000 - acked[slot] + bits[row, slot]
                part = -(-missing * 1000 // bits[row, slot]) if fluid else 1000
                ends_ns = (first_slot + slot) * 1000 + part
                if ends_ns <= due_ns:
                    done, due_ns = slot, ends_ns
            assert (table["done"][row], table["due"][row]) == (done, due_ns)
    slots.commit(
        table, rows, 20, first_slot, bits, kind, sinr, share, power, average, 1e-3, 2e7
    )  # fmt: skip
    for row in rows.tolist():
        used = np.flatnonzero(kind[row, :20] != IDLE)
        counts = np.bincount(kind[row, :20], minlength=OUTCOMES)
        counts[IDLE] -= max(table["begin"][row] - first_slot, 0)
        assert table["counts"][row].tolist() == counts.tolist()
        assert table["acked"][row] == 200 + bits[row, :20].sum()
        possible = efficiency(sinr[row, used]) * share[row, used] * 2e4
        assert table["capacity"][row] == pytest.approx(possible.sum(), rel=1e-13)
        assert table["snr"][row] == pytest.approx(sinr[row, used].mean(axis=1).sum(), rel=1e-13)
        assert table["airtime"][row] == pytest.approx(power[row, used].sum() * 1e-3, rel=1e-13)
        assert table["average"][row] == average[row, 19]
    assert not table[[0, 3, 5]]["counts"].any()


@pytest.mark.parametrize("patterned", [True, False])
def test_shares_are_written_as_on_arrays(patterned: bool) -> None:
    draws = np.random.default_rng(6)
    rows, offset, slots_of_window = np.array([3, 0, 2]), 2, 6
    share, power, average = draws.random((3, 4, slots_of_window))
    active = draws.random((4, slots_of_window)) < 0.5
    width = slots_of_window - offset if patterned else 1
    new_share, new_power, new_average = draws.random((3, 3, width))
    new_active = draws.random((3, width)) < 0.5
    new_share[1], new_power[1] = share[0, 2], power[0, 2]
    new_active[1] = active[0, 2]
    written = [each.copy() for each in (share, power, active, average)]
    shares = [new_share, new_power, new_active, new_average if patterned else np.empty((0, 0))]
    differs = slots.assign(*written, rows, offset, *shares)
    assert differs.tolist() == [True, False, True]
    for found, before, new in zip(written, (share, power, active, average), shares, strict=True):
        expected = before.copy()
        if new.size:
            expected[rows, offset:] = new
        assert np.array_equal(found, expected)


def test_slots_left_are_as_on_arrays() -> None:
    draws = np.random.default_rng(7)
    table = np.zeros(30, AttemptTable().table.dtype)
    table["size"], table["acked"] = draws.integers(500, 9000, 30), draws.integers(0, 500, 30)
    table["begin"] = draws.integers(90, 101, 30)
    rows = draws.permutation(30)[:17]
    pace = np.maximum(table["acked"], 1) / np.maximum(100 - table["begin"], 1)
    left = np.sort(((table["size"] - table["acked"]) / pace)[rows])
    assert slots.slots_left(table, rows, 100, 0.9) == left[int(0.9 * 16)]


def test_emitters_and_changes_are_as_with_dictionaries() -> None:
    draws = np.random.default_rng(4)
    name = draws.integers(0, 6, 30) << 32 | draws.integers(0, 2, 30)
    mean_w, power_w = draws.random(30), draws.random((30, 4))
    first, mean_sum_w, power_sum_w = interference.emitters(name, mean_w, power_w)
    names = np.unique(name)
    assert np.array_equal(name[first], names)
    for place, each in enumerate(names):
        assert first[place] == np.argmax(name == each)
        # Added one after another, in the order given.
        assert mean_sum_w[place] == reduce(add, mean_w[name == each].tolist())
        for slot in range(4):
            assert power_sum_w[place, slot] == reduce(add, power_w[name == each, slot].tolist())
    before, before_w = names[1:], mean_sum_w[1:].copy()
    before_w[2] += 1.0
    now, now_w = np.delete(names, 5), np.delete(mean_sum_w, 5)
    found = interference.changed(now, now_w, before, before_w, 7)
    differ = set(zip(now, now_w, strict=True)) ^ set(zip(before, before_w, strict=True))
    assert set(np.flatnonzero(found)) == {each >> 32 for each, _ in differ}


def test_interferers_are_audible_emitters_of_the_same_carrier() -> None:
    draws = np.random.default_rng(5)
    nodes, links = 12, 8
    heard = [np.flatnonzero(draws.random(nodes) < 0.4) for _ in range(nodes)]
    audible, sizes = np.concatenate(heard), np.array([each.size for each in heard])
    end = np.cumsum(sizes)
    begin = end - sizes
    # Sorted by node, then group.
    node, group = np.array([0, 2, 2, 5, 7, 9, 9, 9]), np.array([0, 1, 2, 0, 1, 0, 1, 2])
    carrier = np.array([0, 0, 1, 0, 1, 0, 0, 1])
    source, target = draws.integers(0, nodes, (2, links))
    own_group, own_carrier = draws.integers(0, 3, links), draws.integers(0, 2, links)
    receiver, emitter = interference.pairs(
        node, group, carrier, source, target, own_group, own_carrier, audible, begin, end
    )
    expected = [
        (row, other)
        for row in range(links)
        for other in range(node.size)
        if node[other] in heard[target[row]]
        and node[other] != source[row]
        and group[other] != own_group[row]
        and carrier[other] == own_carrier[row]
    ]
    assert list(zip(receiver, emitter, strict=True)) == expected
    assert expected
    marked = np.zeros(nodes, dtype=bool)
    marked[[2, 9]] = True
    found = interference.affected(marked, target, audible, begin, end)
    assert found.tolist() == [bool({2, 9} & set(heard[each])) for each in target]


def test_nodes_that_exceed_a_threshold_are_as_on_arrays() -> None:
    draws = np.random.default_rng(8)
    node, received_w = np.array([1, 4, 5, 9, 12]), draws.random(5)
    received_w[2] = 4.0 * received_w[3]
    for source in (9, 12, 3):
        own_w = received_w[node == source].sum()
        expected = node[(4.0 * received_w > own_w) & (node != source)]
        found = interference.exceeding(node, received_w, source, 4.0)
        assert np.array_equal(found, expected)


def test_windows_use_the_memory_of_earlier_ones() -> None:
    buffers, state = Buffers(), np.zeros(2, dtype=[("nothing", np.int8)])
    window = Window(2, 8, 3, state, buffers)
    window.sinr[:], window.bits[:] = 7.0, 9
    window.clear([1])
    assert not window.sinr[1].any()
    assert not window.bits[1].any()
    larger = window.enlarged(4)
    assert np.array_equal(larger.sinr[:2], window.sinr)
    assert not np.shares_memory(larger.sinr, window.sinr)
    following = Window(3, 5, 3, state, buffers)
    assert following.sinr.shape == (3, 5, 3)
    assert np.shares_memory(following.sinr, larger.sinr)
