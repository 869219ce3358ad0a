"""Resource units of 802.11ax: the standard's tables, places in a channel, preambles."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wnsim.phy.wifi_formats import preamble_ns, schemes
from wnsim.phy.wifi_units import (
    SUBCARRIERS,
    Unit,
    UnitFormats,
    downlink_preamble_ns,
    split_by_weight,
    split_equally,
    triggered_preamble_ns,
    units,
    whole,
)

# IEEE 802.11ax-2021, 27.5: tones, guard interval [ns], and rates of one stream [Mbit/s] by MCS.
RATES = [
    (26, 800, (0.9, 1.8, 2.6, 3.5, 5.3, 7.1, 7.9, 8.8, 10.6, 11.8, 13.2, 14.7)),
    (26, 3200, (0.8, 1.5, 2.3, 3.0, 4.5, 6.0, 6.8, 7.5, 9.0, 10.0, 11.3, 12.5)),
    (52, 800, (1.8, 3.5, 5.3, 7.1, 10.6, 14.1, 15.9, 17.6, 21.2, 23.5, 26.5, 29.4)),
    (106, 800, (3.8, 7.5, 11.3, 15.0, 22.5, 30.0, 33.8, 37.5, 45.0, 50.0, 56.3, 62.5)),
    (242, 1600, (8.1, 16.3, 24.4, 32.5, 48.8, 65.0, 73.1, 81.3, 97.5, 108.3, 121.9, 135.4)),
    (484, 800, (17.2, 34.4, 51.6, 68.8, 103.2, 137.6, 154.9, 172.1, 206.5, 229.4, 258.1, 286.8)),
    (996, 800, (36.0, 72.1, 108.1, 144.1, 216.2, 288.2, 324.3, 360.3, 432.4, 480.4, 540.4, 600.5)),
]
# Table 27-8 of the standard: units of each size in channels of 20 to 160 MHz.
COUNTS = {
    26: (9, 18, 37, 74), 52: (4, 8, 16, 32), 106: (2, 4, 8, 16), 242: (1, 2, 4, 8),
    484: (0, 1, 2, 4), 996: (0, 0, 1, 2), 1992: (0, 0, 0, 1),
}  # fmt: skip
WIDTHS = (20, 40, 80, 160)


@pytest.mark.parametrize(("tones", "guard_ns", "rates"), RATES)
def test_rates_are_those_of_the_standards_tables(
    tones: int, guard_ns: int, rates: tuple[float, ...]
) -> None:
    formats = UnitFormats(160, 1, guard_ns)
    unit = units(160, tones)[0]
    found = [
        formats.downlink(each, unit, 2).rate_bps / 1e6 for each in schemes("ax", 160, guard_ns)
    ]
    assert found == pytest.approx(rates, abs=0.061)


def test_triggered_frames_have_longer_guard_intervals() -> None:
    """Law: at least 1.6 us (IEEE 802.11ax-2021, 9.3.1.22: the trigger names no shorter one)."""
    slowest = schemes("ax", 20)[0]
    found = UnitFormats(20, 1, 800).triggered(slowest, whole(20))
    assert found.rate_bps == pytest.approx(117 / 14.4e-6)
    assert found.threshold(1000, 0.1) == slowest.threshold(1000, 0.1)


@pytest.mark.parametrize("tones", COUNTS)
def test_channels_have_as_many_units_as_in_the_standard(tones: int) -> None:
    for width, count in zip(WIDTHS, COUNTS[tones], strict=True):
        found = units(width, tones)
        assert len(found) == count
        for place, unit in enumerate(found):
            assert 0 <= unit.first <= unit.first + unit.places <= whole(width).places
            assert all(unit.covered(other) == 0.0 for other in found[place + 1 :])


def test_power_falls_into_units_by_their_tones() -> None:
    channel, (low, high) = whole(80), whole(80).halves()
    assert (channel.covered(low), low.covered(low), low.covered(high)) == (1.0, 1.0, 0.0)
    assert low.covered(channel) == 484 / 996
    assert channel.middle() == Unit(26, 18)
    assert whole(40).middle() is None
    for tones in (52, 106, 242, 484, 996, 1992):
        unit = units(160, tones)[-1]
        middle = unit.middle()
        parts = [*unit.halves(), *(() if middle is None else (middle,))]
        # Some tones at the edges of parts are unused.
        assert 0.98 < sum(each.covered(unit) for each in parts) <= 1.0
        assert all(a.covered(b) == 0.0 for a in parts for b in parts if a is not b)


WEIGHTS = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=74)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(WEIGHTS, st.sampled_from(WIDTHS))
def test_units_of_stations_have_no_tone_in_common(weights: list[float], width: int) -> None:
    weights = weights[: whole(width).places]
    for found in (split_by_weight(width, weights), split_equally(width, len(weights))):
        assert len(found) == len(weights)
        for place, unit in enumerate(found):
            assert unit in units(width, unit.tones)
            assert all(unit.covered(other) == 0.0 for other in found[place + 1 :])
    (tones,) = {unit.tones for unit in split_equally(width, len(weights))}
    for larger in SUBCARRIERS:
        if tones < larger <= whole(width).tones:
            assert len(units(width, larger)) < len(weights)
    # Half of all the weight, or more, gets half of the channel, or more.
    heaviest = max(range(len(weights)), key=lambda each: weights[each])
    if weights[heaviest] >= 0.5 * math.fsum(weights) and len(weights) <= whole(width).places // 2:
        assert split_by_weight(width, weights)[heaviest] in (whole(width), *whole(width).halves())


def test_units_follow_queues() -> None:
    assert split_by_weight(80, [1.0, 2.0, 1.0]) == [
        Unit(242, 19), Unit(484, 0), Unit(242, 28)
    ]  # fmt: skip
    assert split_by_weight(20, [5.0]) == [whole(20)]
    assert len(set(split_by_weight(20, [1.0] * 9))) == 9
    with pytest.raises(ValueError, match="a channel of 20 MHz has 9 units, got 10 stations"):
        split_by_weight(20, [1.0] * 10)


def test_preambles() -> None:
    """Law: that of a frame to one, and signal field B, or a short training field of 8 us."""
    one_ns = preamble_ns("ax", 1, 800)
    # 8 + 10 bits, and 2 stations in 52 bits: 3 symbols of 26 bits.
    assert downlink_preamble_ns(20, 2, 1, 800) == one_ns + 3 * 4_000
    # 8 + 10 bits, and 9 stations in 4 blocks of 52 bits and one of 31: 10 symbols.
    assert downlink_preamble_ns(20, 9, 1, 800) == one_ns + 10 * 4_000
    # Half of 8 stations in each of two channels: 2 x 8 + 1 + 10 bits, and 2 x 52: 6 symbols.
    assert downlink_preamble_ns(80, 8, 1, 800) == one_ns + 6 * 4_000
    assert triggered_preamble_ns(1, 1600) == preamble_ns("ax", 1, 1600) + 4_000
