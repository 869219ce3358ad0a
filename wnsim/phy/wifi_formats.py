"""Transmission formats of Wi-Fi: rates, durations and frame errors of each scheme.

A standard has the schemes of its modulations and code rates, for a width of the channel, a guard
interval and a number of spatial streams. A scheme of n streams is received at an SNR lower by n
(the power is shared) and, for more than one, by the loss of `stream_loss_db`.

Sources: IEEE 802.11-2020, clauses 17 (OFDM), 19 (HT) and 21 (VHT), and IEEE 802.11ax-2021, clause
27 (HE): subcarriers, schemes, preambles, symbols.
"""

from __future__ import annotations

import math
from copy import copy
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np

from wnsim.core.units import Floats, db_to_linear
from wnsim.phy.wifi_coding import Decoding, hard_decisions, soft_decisions
from wnsim.phy.wifi_ldpc import parity_checks

LEGACY_PREAMBLE_NS = 20_000
# SERVICE and tail bits of the data field.
_EXTRA_BITS = 16 + 6
# Smaller error probabilities count as 0.
RAREST = 1e-12
# SNRs of the table of loss rates.
LOWEST_HAZARD_DB, _HIGHEST_DB, HAZARD_STEP_DB = -30.0, 60.0, 0.01
# Ends of frames with the short guard interval are on the grid of long symbols.
_LONG_SYMBOL_NS = 4_000

_DECODINGS = {
    "soft": soft_decisions, "hard": hard_decisions, "parity-checks": parity_checks,
}  # fmt: skip


class Standard(NamedTuple):
    """A standard's formats.

    Parameters
    ----------
    name : letter of the amendment
    subcarriers : data subcarriers by width of the channel [MHz]
    schemes : bits per subcarrier, and twelfths of the code rate, of each index (MCS)
    body_ns : duration of a symbol without its guard interval [ns]
    guards_ns : guard intervals, the default first [ns]
    most_streams : largest number of spatial streams
    most_bytes : largest length of a frame [byte]
    """

    name: str
    subcarriers: dict[int, int]
    schemes: tuple[tuple[int, int], ...]
    body_ns: int
    guards_ns: tuple[int, ...]
    most_streams: int
    most_bytes: int


_HT = ((1, 6), (2, 6), (2, 9), (4, 6), (4, 9), (6, 8), (6, 9), (6, 10))
_VHT = (*_HT, (8, 9), (8, 10))
_HE = (*_VHT, (10, 9), (10, 10))
_OFDM = ((1, 6), (1, 9), (2, 6), (2, 9), (4, 6), (4, 9), (6, 8), (6, 9))
STANDARDS = {
    each.name: each
    for each in (
        Standard("a", {20: 48}, _OFDM, 3_200, (800,), 1, 4_095),
        Standard("n", {20: 52, 40: 108}, _HT, 3_200, (800, 400), 4, 65_535),
        Standard("ac", {20: 52, 40: 108, 80: 234, 160: 468}, _VHT, 3_200, (800, 400), 4, 1_048_575),
        Standard(
            "ax",
            {20: 234, 40: 468, 80: 980, 160: 1_960},
            _HE,
            12_800,
            (800, 1_600, 3_200),
            4,
            6_500_631,
        ),
    )
}
"""Standards by the letters of their amendments."""
# Width [MHz], MCS and streams that VHT leaves out, as their coded bits do not divide.
_NO_VHT = {(20, 9, 1), (20, 9, 2), (20, 9, 4), (80, 6, 3), (160, 9, 3)}


class Scheme:
    """A modulation and code rate with a number of streams.

    Parameters
    ----------
    data_bits : data bits per OFDM symbol
    order : bits per subcarrier
    twelfths : code rate times twelve
    symbol_ns : duration of a symbol with its guard interval [ns]
    preamble_ns : duration of the preamble [ns]
    decoding : decoder of the convolutional code, or of the low-density parity-check code
    mcs, streams : index of the scheme, and number of spatial streams
    power : SNR of a stream over the SNR of all

    Attributes
    ----------
    base : the scheme itself, or that of which it is a copy on other data subcarriers
    grid_ns : the data field ends at a multiple of it [ns]
    rate_bps : rate of the data field [bit/s]
    """

    def __init__(
        self,
        data_bits: int,
        order: int,
        twelfths: int,
        symbol_ns: int,
        preamble_ns: int,
        decoding: Decoding,
        mcs: int = 0,
        streams: int = 1,
        power: float = 1.0,
    ) -> None:
        self.data_bits, self.preamble_ns = data_bits, preamble_ns
        self.mcs, self.streams = mcs, streams
        self.base = self
        self.symbol_ns, self._power = symbol_ns, power
        # Symbols of HE are longer than the grid.
        self.grid_ns = _LONG_SYMBOL_NS if symbol_ns <= _LONG_SYMBOL_NS else 1
        self.rate_bps = data_bits * 1e9 / symbol_ns
        self._order, self._twelfths = order, twelfths
        self._decode = _DECODINGS[decoding]
        self._thresholds: dict[tuple[int, float], float] = {}

    def on(self, subcarriers: int, symbol_ns: int, preamble_ns: int) -> Scheme:
        """Return the same modulation and code rate on other data subcarriers.

        Parameters
        ----------
        subcarriers : data subcarriers
        symbol_ns, preamble_ns : durations, see above [ns]
        """
        hazards, other = self.log_hazards, copy(self)
        # Loss rates are the same, and so are thresholds, which the copy shares.
        other.log_hazards = hazards
        other.data_bits = subcarriers * self._order * self.streams * self._twelfths // 12
        other.symbol_ns, other.preamble_ns = symbol_ns, preamble_ns
        other.rate_bps = other.data_bits * 1e9 / symbol_ns
        return other

    @cached_property
    def hopeless(self) -> float:
        """SNR up to which every decoded bit is lost."""
        grid = np.logspace(-3.0, 3.0, 601)
        return float(grid[self.bit_error(grid) >= 1.0].max(initial=0.0))

    def duration_ns(self, bits: int) -> int:
        """Return the duration of a frame of a number of bits, preamble included [ns]."""
        symbols = -(-(bits + _EXTRA_BITS) // self.data_bits)
        data_ns = -(-symbols * self.symbol_ns // self.grid_ns) * self.grid_ns
        return self.preamble_ns + data_ns

    def most_bits(self, duration_ns: int) -> int:
        """Return the largest number of bits of a frame of at most a duration [ns]."""
        data_ns = (duration_ns - self.preamble_ns) // self.grid_ns * self.grid_ns
        return max(data_ns // self.symbol_ns * self.data_bits - _EXTRA_BITS, 0)

    def bit_error(self, snr: Floats) -> Floats:
        """Return the error rate per bit (...,) at an SNR (...,)."""
        of_stream = np.asarray(snr, dtype=np.float64) * self._power
        return self._decode(of_stream, self._order, self._twelfths)

    def error(self, snr: Floats, bits: float) -> Floats:
        """Return the error probability of a frame; less than 1e-12 counts as 0."""
        lost = -np.expm1(bits * np.log1p(-np.minimum(self.bit_error(snr), 1.0 - 1e-15)))
        return np.asarray(np.where(lost < RAREST, 0.0, lost))

    def hazard(self, snr: float) -> float:
        """Return the loss rate of a frame per bit, from a table accurate to 1 %.

        A frame exposed to it for a number of bits survives with exp(-hazard bits).
        """
        place = (10.0 * math.log10(snr) - LOWEST_HAZARD_DB) / HAZARD_STEP_DB if snr > 0.0 else -1.0
        if place < 0.0:
            place = 0.0
        whole = int(place)
        if whole >= len(self.log_hazards) - 1:
            return 0.0
        low, high = self.log_hazards[whole : whole + 2]
        return math.exp(low + (place - whole) * (high - low))

    @cached_property
    def log_hazards(self) -> list[float]:
        """Logarithms of loss rates by SNR, see `hazard`."""
        snr = db_to_linear(np.arange(LOWEST_HAZARD_DB, _HIGHEST_DB, HAZARD_STEP_DB))
        hazard = -np.log1p(-np.minimum(self.bit_error(snr), 1.0 - 1e-15))
        values: list[float] = np.log(np.maximum(hazard, 1e-300)).tolist()
        return values

    def threshold(self, bits: int, error: float) -> float:
        """Return the SNR above which a frame's error probability is at most a target.

        The error probability decreases with the SNR; the value is accurate to 1e-9.
        """
        known = self._thresholds.get((bits, error))
        if known is None:
            low, high = 1e-3, 1e6
            while high > low * (1.0 + 1e-9):
                middle = (low * high) ** 0.5
                if float(self.error(np.array(middle), bits)) <= error:
                    high = middle
                else:
                    low = middle
            known = self._thresholds[bits, error] = high
        return known


@cache
def schemes(
    standard: str,
    width_mhz: int = 20,
    guard_ns: int = 800,
    streams: int = 1,
    decoding: Decoding = "soft",
    stream_loss_db: float = 0.0,
) -> tuple[Scheme, ...]:
    """Return the schemes of a standard with up to a number of streams, slow ones first.

    Parameters
    ----------
    standard : a, n, ac or ax
    width_mhz : width of the channel [MHz]
    guard_ns : guard interval [ns]
    streams : largest number of spatial streams
    decoding : as of `Scheme`
    stream_loss_db : loss of SNR with more than one stream, beyond the shared power [dB]
    """
    kind = STANDARDS[standard]
    symbol_ns = kind.body_ns + guard_ns
    found = []
    for count in range(1, streams + 1):
        loss = float(db_to_linear(stream_loss_db)) if count > 1 else 1.0
        for mcs, (order, twelfths) in enumerate(kind.schemes):
            coded = kind.subcarriers[width_mhz] * order * count
            if standard == "ac" and (width_mhz, mcs, count) in _NO_VHT:
                continue
            found.append(
                Scheme(
                    coded * twelfths // 12, order, twelfths, symbol_ns,
                    preamble_ns(standard, count, guard_ns), decoding, mcs, count,
                    1.0 / (count * loss),
                )
            )  # fmt: skip
    return tuple(sorted(found, key=lambda each: (each.rate_bps, each.streams)))


def preamble_ns(standard: str, streams: int, guard_ns: int) -> int:
    """Return the duration of the preamble of a frame to one receiver [ns].

    HE has training symbols of twice the length of a quarter symbol with guard intervals up to 1.6
    us, and of four times that with 3.2 us.
    """
    # Three streams are trained with four symbols.
    trained = (1, 2, 4, 4)[streams - 1]
    if standard == "a":
        return LEGACY_PREAMBLE_NS
    if standard == "n":
        return LEGACY_PREAMBLE_NS + 8_000 + 4_000 + 4_000 * trained
    if standard == "ac":
        return LEGACY_PREAMBLE_NS + 8_000 + 4_000 + 4_000 * trained + 4_000
    training_ns = (12_800 if guard_ns == 3_200 else 6_400) + guard_ns
    return LEGACY_PREAMBLE_NS + 4_000 + 8_000 + 4_000 + training_ns * trained
