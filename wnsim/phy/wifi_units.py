"""Resource units of 802.11ax: parts of a channel for several stations at once (OFDMA).

A channel of 20, 40, 80 or 160 MHz is a unit of 242, 484, 996 or 1,992 tones. A unit is divided in
two halves, down to 26 tones; in the middle of 242 and of 996 tones another one of 26 is left over.

Sources: IEEE 802.11ax-2021, 27.3.2 (units and their places), 27.3.11 (preambles, signal field B),
27.5 (data subcarriers).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from wnsim.phy.wifi_formats import LEGACY_PREAMBLE_NS, STANDARDS, Scheme

SUBCARRIERS = {26: 24, 52: 48, 106: 102, 242: 234, 484: 468, 996: 980, 1992: 1960}
"""Data subcarriers by tones of a unit."""
_WHOLE = {20: 242, 40: 484, 80: 996, 160: 1992}
_HALF = {52: 26, 106: 52, 242: 106, 484: 242, 996: 484, 1992: 996}
_WITH_MIDDLE = (242, 996)
_SMALLEST = 26
# Bits of a symbol of signal field B in its slowest scheme, its duration, and its parts: allocation
# of units for each 20 MHz, for the unit in the middle of 80 MHz, station, and check with tail.
_SYMBOL_BITS, _SYMBOL_NS = 26, 4_000
_ALLOCATION_BITS, _MIDDLE_BITS, _STATION_BITS, _CHECK_BITS = 8, 1, 21, 4 + 6
# Guard interval of triggered frames at least.
_TRIGGERED_GUARD_NS = 1_600


class Unit(NamedTuple):
    """A resource unit.

    Parameters
    ----------
    tones : 26, 52, 106, 242, 484, 996 or 1,992
    first : its first place, in units of 26 tones from the lower edge of the channel
    """

    tones: int
    first: int

    @property
    def places(self) -> int:
        """Number of units of 26 tones into which it can be divided."""
        return _places(self.tones)

    def halves(self) -> tuple[Unit, Unit]:
        """Return the two units into which it is divided, without the one in the middle."""
        tones = _HALF[self.tones]
        return Unit(tones, self.first), Unit(tones, self.first + self.places - _places(tones))

    def middle(self) -> Unit | None:
        """Return the unit of 26 tones between its halves, if there is one."""
        if self.tones not in _WITH_MIDDLE:
            return None
        return Unit(_SMALLEST, self.first + self.places // 2)

    def covered(self, other: Unit) -> float:
        """Return the share of another unit's power that falls into this one.

        Of two units one contains the other one, or they have no tone in common.
        """
        end, other_end = self.first + self.places, other.first + other.places
        if self.first <= other.first and other_end <= end:
            return 1.0
        if other.first <= self.first and end <= other_end:
            return self.tones / other.tones
        return 0.0


@cache
def _places(tones: int) -> int:
    if tones == _SMALLEST:
        return 1
    return 2 * _places(_HALF[tones]) + (tones in _WITH_MIDDLE)


def whole(width_mhz: int) -> Unit:
    """Return the unit that is a whole channel of a width [MHz]."""
    return Unit(_WHOLE[width_mhz], 0)


@cache
def units(width_mhz: int, tones: int) -> tuple[Unit, ...]:
    """Return the units of a size in a channel of a width [MHz], in order."""
    found, left = [], [whole(width_mhz)]
    while left:
        unit = left.pop()
        if unit.tones == tones:
            found.append(unit)
        elif unit.tones > tones:
            middle = unit.middle()
            left += unit.halves() if middle is None else (*unit.halves(), middle)
    return tuple(sorted(found, key=lambda each: each.first))


def split_equally(width_mhz: int, count: int) -> list[Unit]:
    """Return units of one size, the largest of which there are enough.

    Raises
    ------
    ValueError
        if the channel has fewer units
    """
    for tones in sorted(SUBCARRIERS, reverse=True):
        if tones <= _WHOLE[width_mhz] and len(units(width_mhz, tones)) >= count:
            return list(units(width_mhz, tones)[:count])
    raise ValueError(
        f"a channel of {width_mhz} MHz has {whole(width_mhz).places} units, got {count} stations"
    )


def split_by_weight(width_mhz: int, weights: Sequence[float]) -> list[Unit]:
    """Return a unit for each weight, larger ones for larger weights.

    The channel is halved again and again; at each step the weights are divided into two groups that
    are about equal, the heaviest first to the lighter group.

    Raises
    ------
    ValueError
        if the channel has fewer units
    """
    if len(weights) > whole(width_mhz).places:
        return split_equally(width_mhz, len(weights))
    found: list[Unit] = [whole(width_mhz)] * len(weights)
    left = [(whole(width_mhz), sorted(range(len(weights)), key=lambda each: -weights[each]))]
    while left:
        unit, members = left.pop()
        if len(members) < 2:
            for each in members:
                found[each] = unit
            continue
        halves = unit.halves()
        room, middle = halves[0].places, unit.middle()
        if len(members) > 2 * room and middle is not None:
            found[members.pop()] = middle
        groups: tuple[list[int], list[int]] = ([], [])
        sums = [0.0, 0.0]
        for each in members:
            side = int(sums[1] < sums[0])
            if len(groups[side]) == room:
                side = 1 - side
            groups[side].append(each)
            sums[side] += weights[each]
        left += zip(halves, groups, strict=True)
    return found


def downlink_preamble_ns(width_mhz: int, stations: int, streams: int, guard_ns: int) -> int:
    """Return the duration of the preamble of a frame to several stations [ns].

    Signal field B, in its slowest scheme, names the stations; from 40 MHz on it has two channels,
    which share them.

    Parameters
    ----------
    width_mhz : width of the channel [MHz]
    stations : how many
    streams : largest number of spatial streams
    guard_ns : guard interval [ns]
    """
    named = stations if width_mhz == 20 else -(-stations // 2)
    parts = max(width_mhz // 40, 1)
    bits = _ALLOCATION_BITS * parts + _MIDDLE_BITS * (width_mhz >= 80) + _CHECK_BITS
    bits += _STATION_BITS * named + _CHECK_BITS * -(-named // 2)
    symbols = -(-bits // _SYMBOL_BITS)
    short_ns = 4_000
    return _preamble_ns(short_ns, streams, guard_ns) + symbols * _SYMBOL_NS


def triggered_preamble_ns(streams: int, guard_ns: int) -> int:
    """Return the duration of the preamble of a triggered frame [ns].

    Its short training field is twice as long as that of other frames.

    Parameters
    ----------
    streams : largest number of spatial streams
    guard_ns : guard interval, see `triggered_guard_ns` [ns]
    """
    short_ns = 8_000
    return _preamble_ns(short_ns, streams, guard_ns)


def triggered_guard_ns(guard_ns: int) -> int:
    """Return the guard interval of triggered frames, at least 1.6 us [ns]."""
    return max(guard_ns, _TRIGGERED_GUARD_NS)


def _preamble_ns(short_ns: int, streams: int, guard_ns: int) -> int:
    """Return the duration of a preamble without signal field B [ns]."""
    trained = (1, 2, 4, 4)[streams - 1]
    body_ns = STANDARDS["ax"].body_ns
    training_ns = (body_ns if guard_ns == 3_200 else body_ns // 2) + guard_ns
    return LEGACY_PREAMBLE_NS + 4_000 + 8_000 + short_ns + training_ns * trained


class UnitFormats:
    """Schemes in the resource units of a channel.

    Parameters
    ----------
    width_mhz : width of the channel [MHz]
    streams : largest number of spatial streams
    guard_ns : guard interval [ns]
    """

    def __init__(self, width_mhz: int, streams: int, guard_ns: int) -> None:
        self.width_mhz = width_mhz
        self._whole = whole(width_mhz)
        self._streams, self._guard_ns = streams, guard_ns
        self._known: dict[tuple[Scheme, int, int], Scheme] = {}

    def share(self, unit: Unit) -> float:
        """Return the share of the channel that a unit has, by its tones."""
        return unit.tones / self._whole.tones

    def downlink(self, scheme: Scheme, unit: Unit, stations: int) -> Scheme:
        """Return a scheme in a unit of a frame to a number of stations."""
        preamble_ns = downlink_preamble_ns(self.width_mhz, stations, self._streams, self._guard_ns)
        return self._in_unit(scheme, unit, self._guard_ns, preamble_ns)

    def triggered(self, scheme: Scheme, unit: Unit) -> Scheme:
        """Return a scheme in a unit of a triggered frame."""
        guard_ns = triggered_guard_ns(self._guard_ns)
        preamble_ns = triggered_preamble_ns(self._streams, guard_ns)
        return self._in_unit(scheme, unit, guard_ns, preamble_ns)

    def _in_unit(self, scheme: Scheme, unit: Unit, guard_ns: int, preamble_ns: int) -> Scheme:
        key = scheme, unit.tones, preamble_ns
        found = self._known.get(key)
        if found is None:
            symbol_ns = STANDARDS["ax"].body_ns + guard_ns
            found = scheme.on(SUBCARRIERS[unit.tones], symbol_ns, preamble_ns)
            self._known[key] = found
        return found
