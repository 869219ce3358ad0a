"""Wi-Fi radios on 20 MHz: rates, frame durations and frame errors.

A frame is lost with probability 1 - (1 - p)^bits. With a soft-decision decoder, p is the error
event rate of the convolutional code by the union bound, at the SNR at which BPSK has the same
information per bit as the modulation; where the bound counts events several times, it is reduced to
simulated error rates of short frames. With a hard-decision decoder, p is the bit error rate by the
union and Bhattacharyya bounds.

Sources: IEEE 802.11-2020, clauses 17 (OFDM) and 19 (HT): durations and rates; Proakis, "Digital
communications" (bit errors of M-QAM with Gray labels, union bounds for convolutional codes);
Caire, Taricco and Biglieri, "Bit-interleaved coded modulation", IEEE Trans. Inf. Theory 44, 1998
(information per bit); Haccoun and Begin, IEEE Trans. Commun. 37, 1989, and Frenger, Orten, Ottosson
and Svensson, "Multi-rate convolutional codes", Chalmers, 1998 (weight spectra of the punctured code
133, 171); Pei and Henderson, "Validation of OFDM error rate model in ns-3", 2010 (the hard decoder,
known as the NIST model).
"""

from __future__ import annotations

import csv
import math
from functools import cache, cached_property
from importlib import resources
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints, db_to_linear, linear_to_db
from wnsim.phy.bicm import information, snr_grid_db
from wnsim.phy.inverse import snr_for
from wnsim.phy.modem import Outcome, Slots, State, mean_of_bands

SLOT_NS, SIFS_NS, DIFS_NS = 9_000, 16_000, 34_000
# Time until a started carrier is detected.
SENSE_NS = 4_000
LEGACY_PREAMBLE_NS, HT_PREAMBLE_NS = 20_000, 36_000
# Time after a frame by which its acknowledgement must have started.
TIMEOUT_NS = SIFS_NS + SLOT_NS + LEGACY_PREAMBLE_NS
_SYMBOL_NS, _SHORT_SYMBOL_NS = 4_000, 3_600
# SERVICE and tail bits of the data field.
_EXTRA_BITS = 16 + 6
_BASIC = (24, 48, 96)
BANDWIDTH_HZ = 20e6
Decoder = Literal["soft", "hard"]
# Smaller error probabilities count as 0.
RAREST = 1e-12
# SNRs of the table of loss rates.
_LOWEST_DB, _HIGHEST_DB, _STEP_DB = -30.0, 60.0, 0.01

# By twelfths of the code rate: information bits per period of the puncturing, the free distance,
# and of each weight from there on the number of error events, and of information bits in error in
# them; zero where there is no such weight.
_SPECTRA: dict[int, tuple[int, int, tuple[float, ...], tuple[float, ...]]] = {
    6: (1, 10,
        (11, 0, 38, 0, 193, 0, 1331, 0, 7275, 0, 40406, 0, 234969),
        (36, 0, 211, 0, 1404, 0, 11633, 0, 77433, 0, 502690, 0, 3322763, 0, 21292910, 0,
         134365911)),
    8: (2, 6,
        (1, 16, 48, 158, 642, 2435, 9174),
        (3, 70, 285, 1276, 6160, 27128, 117019, 498860, 2103891, 8784123)),
    9: (3, 5,
        (8, 31, 160, 892, 4512),
        (42, 201, 1492, 10469, 62935, 379644, 2253373, 13073811, 75152755, 428005675)),
    10: (5, 4,
         (14, 69, 654, 4996, 39677),
         (92, 528, 8694, 79453, 792114, 7375573, 67884974, 610875423, 5427275376,
          47664215639)),
}  # fmt: skip

# By twelfths of the code rate: how many of the error events that the union bound counts begin, at
# 1e-4 of them per bit, 1e-3 and so on; from a simulated decoder. Fewer than 1e-5 are counted
# well, and at 100 per bit all is lost.
_OVERLAP: dict[int, tuple[float, ...]] = {
    6: (0.698, 0.423, 0.171, 0.0584, 0.0156, 0.00386),
    8: (0.762, 0.559, 0.308, 0.121, 0.0356),
    9: (0.922, 0.683, 0.384, 0.160, 0.0486),
    10: (0.832, 0.555, 0.296, 0.110, 0.0318),
}


class Scheme:
    """Modulation with a code rate.

    Parameters
    ----------
    standard : a or n
    data_bits : data bits per OFDM symbol
    order : bits per subcarrier
    twelfths : code rate times twelve
    short_guard : whether symbols have the short guard interval
    decoder : `soft` or `hard`

    Attributes
    ----------
    rate_bps : rate of the data field [bit/s]
    hopeless : SNR up to which every decoded bit is lost
    """

    def __init__(
        self,
        standard: str,
        data_bits: int,
        order: int,
        twelfths: int,
        short_guard: bool,
        decoder: Decoder,
    ) -> None:
        self.data_bits = data_bits
        self.preamble_ns = LEGACY_PREAMBLE_NS if standard == "a" else HT_PREAMBLE_NS
        self._symbol_ns = _SHORT_SYMBOL_NS if short_guard else _SYMBOL_NS
        self.rate_bps = data_bits * 1e9 / self._symbol_ns
        self._order, self._twelfths = order, twelfths
        self._decode = _soft if decoder == "soft" else _hard
        self._thresholds: dict[tuple[int, float], float] = {}
        grid = np.logspace(-3.0, 3.0, 601)
        self.hopeless = float(grid[self.bit_error(grid) >= 1.0].max(initial=0.0))

    def duration_ns(self, bits: int) -> int:
        """Return the duration of a frame of a number of bits, preamble included [ns]."""
        symbols = -(-(bits + _EXTRA_BITS) // self.data_bits)
        # With the short guard interval the end is still on the grid of long symbols.
        data_ns = -(-symbols * self._symbol_ns // _SYMBOL_NS) * _SYMBOL_NS
        return self.preamble_ns + data_ns

    def bit_error(self, snr: Floats) -> Floats:
        """Return the error rate per bit (...,) at an SNR (...,)."""
        return self._decode(np.asarray(snr, dtype=np.float64), self._order, self._twelfths)

    def error(self, snr: Floats, bits: float) -> Floats:
        """Return the error probability of a frame; less than 1e-12 counts as 0."""
        lost = -np.expm1(bits * np.log1p(-np.minimum(self.bit_error(snr), 1.0 - 1e-15)))
        return np.asarray(np.where(lost < RAREST, 0.0, lost))

    def hazard(self, snr: float) -> float:
        """Return the loss rate of a frame per bit, from a table accurate to 1 %.

        A frame exposed to it for a number of bits survives with exp(-hazard bits).
        """
        place = (10.0 * math.log10(snr) - _LOWEST_DB) / _STEP_DB if snr > 0.0 else -1.0
        if place < 0.0:
            place = 0.0
        whole = int(place)
        if whole >= len(self._log_hazards) - 1:
            return 0.0
        low, high = self._log_hazards[whole : whole + 2]
        return math.exp(low + (place - whole) * (high - low))

    @cached_property
    def _log_hazards(self) -> list[float]:
        """Logarithms of loss rates by SNR."""
        snr = db_to_linear(np.arange(_LOWEST_DB, _HIGHEST_DB, _STEP_DB))
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


def _hard(snr: Floats, order: int, twelfths: int) -> Floats:
    """Return the bit error probability after a hard-decision decoder, at most 1."""
    from scipy.special import erfc

    if order == 1:
        raw = 0.5 * erfc(np.sqrt(snr))
    else:
        levels = 2.0 ** (order / 2)
        scale = 1.5 / (levels * levels - 1.0)
        raw = (1.0 - 1.0 / levels) / (order / 2) * erfc(np.sqrt(scale * snr))
    period, first, _, weights = _SPECTRA[twelfths]
    distance = np.sqrt(4.0 * raw * (1.0 - raw))
    # Horner's rule: additions and multiplications only, the same for one value or for many.
    total = np.zeros_like(distance)
    for weight in reversed(weights):
        total = total * distance + weight
    for _ in range(first):
        total = total * distance
    return np.asarray(np.minimum(total / (2.0 * period), 1.0))


def _soft(snr: Floats, order: int, twelfths: int) -> Floats:
    """Return the error event rate per bit of a soft-decision decoder, at most 1."""
    from scipy.special import erfc

    binary = snr
    if order > 1:
        # SNR at which BPSK has the same information per bit as this modulation.
        per_bit, of_bpsk = information(order)[0] / order, information(2)[0] / 2.0
        grid_db = snr_grid_db()
        interpolated = np.interp(linear_to_db(snr), grid_db, per_bit)
        binary = db_to_linear(np.interp(interpolated, of_bpsk, grid_db)) / 2.0
    period, first, events, _ = _SPECTRA[twelfths]
    total = np.zeros_like(binary)
    for extra, count in enumerate(events):
        if count:
            total = total + 0.5 * count * erfc(np.sqrt((first + extra) * binary))
    bound = np.maximum(total / period, 1e-300)
    shares = np.array([1.0, *_OVERLAP[twelfths], 0.01])
    tens = np.array([*range(-5, shares.size - 6), 2.0])
    share_db = np.interp(linear_to_db(bound), 10.0 * tens, linear_to_db(shares))
    return np.asarray(np.minimum(bound * db_to_linear(share_db), 1.0))


@cache
def schemes(
    standard: str, short_guard: bool = False, decoder: Decoder = "soft"
) -> tuple[Scheme, ...]:
    """Return the modulation and coding schemes of a standard, slow ones first."""
    text = resources.files("wnsim.phy").joinpath("wifi_rates.csv").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        Scheme(
            standard,
            int(row["data_bits"]),
            int(row["bits_per_subcarrier"]),
            int(row["rate_over_twelve"]),
            short_guard,
            decoder,
        )
        for row in csv.DictReader(lines)
        if row["standard"] == standard
    )


@parameters
class Wifi:
    """Radio of IEEE 802.11a or 802.11n with one antenna on 20 MHz; to be used with `csma`.

    Scope: errors by the reduced union bound on a channel that is flat over the band (with several
    subbands their mean gain counts), with perfect interleaving; short frames of 16- and 64-QAM need
    0.1 to 0.5 dB more than simulated ones; the physical header is not lost separately; no
    aggregation, one spatial stream.

    Parameters
    ----------
    standard : `a` (OFDM, 6 to 54 Mbit/s) or `n` (HT, MCS 0 to 7)
    short_guard : whether the short guard interval is used, with standard n only
    rate_mbps : rate of all data frames [Mbit/s], one of the standard's; by default, on each link
        the highest rate whose error probability at the mean SNR is at most `target_error`
    target_error : target error ratio of a full-size packet, between 0 and 1
    decoder : soft- or hard-decision decoder; `hard` needs about 3 dB more
    """

    model: Literal["wifi"] = "wifi"
    standard: Literal["a", "n"] = "a"
    short_guard: bool = False
    rate_mbps: float | None = Field(default=None, gt=0, le=1e3)
    target_error: float = Field(default=0.1, gt=0, lt=1)
    decoder: Decoder = "soft"

    def __post_init__(self) -> None:
        if self.short_guard and self.standard == "a":
            raise ValueError("short_guard must be false with standard a, got true")
        if self.rate_mbps is not None and self._fixed() is None:
            known = ", ".join(f"{scheme.rate_bps / 1e6:.4g}" for scheme in self.schemes)
            raise ValueError(f"rate_mbps must be one of {known}, got {self.rate_mbps:g}")

    @cached_property
    def schemes(self) -> tuple[Scheme, ...]:
        """Modulation and coding schemes, slow ones first."""
        return schemes(self.standard, self.short_guard, self.decoder)

    def scheme(self, snr: float, bits: int) -> Scheme:
        """Return the scheme for packets of a number of bits at a mean SNR (linear)."""
        fixed = self._fixed()
        if fixed is not None:
            return fixed
        good = [each for each in self.schemes if snr >= each.threshold(bits, self.target_error)]
        return good[-1] if good else self.schemes[0]

    def control(self, data: Scheme) -> Scheme:
        """Return the acknowledgement's scheme: the highest basic rate up to the data frame's."""
        legacy = [each for each in schemes("a", False, self.decoder) if each.data_bits in _BASIC]
        good = [each for each in legacy if each.rate_bps <= data.rate_bps]
        return good[-1]

    @property
    def slowest(self) -> Scheme:
        """Lowest basic rate."""
        return schemes("a", False, self.decoder)[0]

    def modem(self, bandwidth_hz: float, subbands: int, block_ns: int) -> WifiModem:
        """Return the modem of a band; see `Phy`."""
        if bandwidth_hz != BANDWIDTH_HZ:
            raise ValueError(f"bandwidth_hz must be 20 MHz with wifi, got {bandwidth_hz:g} Hz")
        return WifiModem(self, block_ns)

    def _fixed(self) -> Scheme | None:
        """Return the scheme of the given rate, if there is one."""
        for scheme in self.schemes:
            if self.rate_mbps is not None and abs(scheme.rate_bps / 1e6 - self.rate_mbps) < 0.05:
                return scheme
        return None


class WifiModem:
    """Rates of a Wi-Fi radio; it has no slots, so `start` and `scan` raise an error."""

    fluid = False
    memoryless = True
    memory: np.dtype[Any] = np.dtype([("nothing", np.int8)])
    # Packet size for which rates are reported [bit].
    _BITS = 12_000

    def __init__(self, phy: Wifi, slot_ns: int) -> None:
        self.slot_ns = slot_ns
        self._phy = phy

    def start(self, size_bits: Ints, broadcast: NDArray[np.bool_]) -> State:
        """Raise ValueError; see `Modem`."""
        _refuse()

    def scan(self, state: State, slots: Slots) -> Outcome:
        """Raise ValueError; see `Modem`."""
        _refuse()

    def rate_bps(self, snr: Floats, share: Floats) -> Floats:
        """Return the rate of the data field less its errors, without contention [bit/s]."""
        snr = np.asarray(snr, dtype=np.float64)
        fixed = self._phy.rate_mbps is not None
        best = np.zeros(snr.shape)
        for place, scheme in enumerate(self._phy.schemes):
            if fixed and scheme is not self._phy.scheme(0.0, self._BITS):
                continue
            threshold = scheme.threshold(self._BITS, self._phy.target_error)
            good = np.full(snr.shape, fixed or place == 0) | (snr >= threshold)
            goodput = scheme.rate_bps * (1.0 - scheme.error(snr, self._BITS))
            best = np.where(good, goodput, best)
        return np.asarray(best * share)

    def factor(self, known: Floats, rate_bps: Floats, share: Floats) -> Floats:
        """Return the factor on SNRs for a rate, from the mean of the subbands' gains."""
        snr = snr_for(lambda ratio: self.rate_bps(ratio, share), np.asarray(rate_bps))
        with np.errstate(divide="ignore"):
            return np.asarray(snr / mean_of_bands(known))


def _refuse() -> NoReturn:
    raise ValueError("the radio wifi must be used with the medium access csma, got a scheduled one")
