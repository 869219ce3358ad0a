"""Wi-Fi radios: their parameters, the choice of a rate, and rates as other models ask for them.

Sources: IEEE 802.11-2020, 10.3 (interframe spaces) and 10.6.6 (rates of control frames).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints
from wnsim.phy.inverse import snr_for
from wnsim.phy.modem import Outcome, Slots, State, mean_of_bands
from wnsim.phy.wifi_coding import Decoder, Decoding
from wnsim.phy.wifi_formats import LEGACY_PREAMBLE_NS, STANDARDS, Scheme, schemes

SLOT_NS, SIFS_NS, DIFS_NS = 9_000, 16_000, 34_000
# Time until a started carrier is detected.
SENSE_NS = 4_000
# Time after a frame by which its acknowledgement must have started.
TIMEOUT_NS = SIFS_NS + SLOT_NS + LEGACY_PREAMBLE_NS
# Data bits per symbol of the basic rates 6, 12 and 24 Mbit/s.
_BASIC = (24, 48, 96)
BANDWIDTH_HZ = 20e6


@parameters
class Wifi:
    """Radio of IEEE 802.11a, n, ac or ax; to be used with `csma`.

    `radio.bandwidth_hz` is the width of the channel: 20 MHz with `a`, up to 40 with `n`, 80 or 160
    with `ac` and `ax`.

    Scope: errors on a channel that is flat over the band (with several subbands their mean gain
    counts), with perfect interleaving. The convolutional code is by its reduced union bound: short
    frames of 16- and 64-QAM need 0.1 to 0.5 dB more than simulated ones. The low-density
    parity-check code has codewords of 1,944 bits, also in frames that are shorter. The physical
    header is not lost separately. Channels have one gain: streams share the power, and lose
    `stream_loss_db`. Without `mac.aggregation` a frame holds one packet, and the higher rates bring
    little. At 5 GHz, without signal extension.

    Parameters
    ----------
    standard : `a` (OFDM, 6 to 54 Mbit/s), `n` (HT, MCS 0 to 7), `ac` (VHT, MCS 0 to 9) or `ax` (HE,
        MCS 0 to 11)
    guard_interval_us : guard interval of a symbol, 0.8; with `n` and `ac` also 0.4, with `ax` 1.6
        and 3.2 [us]
    streams : largest number of spatial streams, with `a` one; the rate is chosen among all schemes
        of up to as many
    stream_loss_db : loss of SNR with more than one stream, beyond the power shared by them [dB]
    mcs : index of the scheme of all data frames, with `streams` streams; default: chosen by SNR
    rate_mbps : rate of all data frames [Mbit/s], one of the standard's; by default, on each link
        the highest rate whose error probability at the mean SNR is at most `target_error`
    target_error : target error ratio of a full-size packet, between 0 and 1
    code : `convolutional`, or with `n`, `ac` and `ax` `ldpc`, the low-density parity-check code,
        which needs 1 to 2 dB less; `ax` has it in channels of more than 20 MHz, and with MCS 10 and
        11. Control frames are always in the convolutional code
    decoder : soft- or hard-decision decoder of the convolutional code; `hard` needs about 3 dB more
    """

    model: Literal["wifi"] = "wifi"
    standard: Literal["a", "n", "ac", "ax"] = "a"
    guard_interval_us: float = Field(default=0.8, gt=0, le=10)
    streams: int = Field(default=1, ge=1, le=4)
    stream_loss_db: float = Field(default=3.0, ge=0, le=30)
    mcs: int | None = Field(default=None, ge=0, le=11)
    rate_mbps: float | None = Field(default=None, gt=0, le=1e4)
    target_error: float = Field(default=0.1, gt=0, lt=1)
    code: Literal["convolutional", "ldpc"] = "convolutional"
    decoder: Decoder = "soft"

    def __post_init__(self) -> None:
        kind = STANDARDS[self.standard]
        known = ", ".join(f"{guard / 1e3:g}" for guard in kind.guards_ns)
        if self._guard_ns not in kind.guards_ns:
            raise ValueError(
                f"guard_interval_us must be one of {known} with standard {self.standard}, got "
                f"{self.guard_interval_us:g}"
            )
        if self.streams > kind.most_streams:
            raise ValueError(f"streams must be 1 with standard a, got {self.streams}")
        if self.code == "ldpc" and self.standard == "a":
            raise ValueError("code ldpc must be used with wifi standard n, ac or ax, got a")
        if self.mcs is not None and self.rate_mbps is not None:
            raise ValueError("mcs and rate_mbps exclude each other, got both")
        if self.mcs is not None and self.mcs >= len(kind.schemes):
            raise ValueError(
                f"mcs must be at most {len(kind.schemes) - 1} with standard {self.standard}, got "
                f"{self.mcs}"
            )
        if self.rate_mbps is not None:
            rates = [self._rates(width) for width in kind.subcarriers]
            if all(each.fixed is None for each in rates):
                raise ValueError(_no_rate(self.rate_mbps, rates[0]))

    def rates(self, bandwidth_hz: float) -> WifiRates:
        """Return the schemes on a channel of a bandwidth [Hz].

        Raises
        ------
        ValueError
            if the standard has no such channel, or the chosen scheme does not exist on it
        """
        widths = STANDARDS[self.standard].subcarriers
        width = next((each for each in widths if each * 1e6 == bandwidth_hz), None)
        if width is None:
            known = " or ".join(f"{each}" for each in widths)
            raise ValueError(
                f"bandwidth_hz must be {known} MHz with wifi standard {self.standard}, got "
                f"{bandwidth_hz:g} Hz"
            )
        found = self._rates(width)
        if found.fixed is None and self.rate_mbps is not None:
            raise ValueError(_no_rate(self.rate_mbps, found))
        if found.fixed is None and self.mcs is not None:
            raise ValueError(
                f"mcs {self.mcs} does not exist with {self.streams} streams on {width} MHz"
            )
        return found

    def modem(self, bandwidth_hz: float, subbands: int, block_ns: int) -> WifiModem:
        """Return the modem of a band; see `Phy`."""
        return WifiModem(self.rates(bandwidth_hz), block_ns)

    @property
    def is_fixed(self) -> bool:
        """Whether all data frames have one scheme."""
        return self.mcs is not None or self.rate_mbps is not None

    @property
    def _guard_ns(self) -> int:
        return round(1e3 * self.guard_interval_us)

    def _rates(self, width_mhz: int) -> WifiRates:
        decoding: Decoding = "parity-checks" if self.code == "ldpc" else self.decoder
        found = schemes(
            self.standard, width_mhz, self._guard_ns, self.streams, decoding, self.stream_loss_db
        )  # fmt: skip
        fixed = None
        for each in found:
            is_mcs = self.mcs == each.mcs and self.streams == each.streams
            rate = self.rate_mbps
            is_rate = rate is not None and abs(each.rate_bps / 1e6 - rate) < 0.05
            if fixed is None and (is_mcs or is_rate):
                fixed = each
        return WifiRates(found, fixed, self.target_error, self.decoder)


def _no_rate(rate_mbps: float, found: WifiRates) -> str:
    known = ", ".join(f"{scheme.rate_bps / 1e6:.4g}" for scheme in found.schemes)
    return f"rate_mbps must be one of {known}, got {rate_mbps:g}"


class WifiRates:
    """Schemes on a channel, and the choice among them.

    Parameters
    ----------
    schemes : slow ones first
    fixed : scheme of all data frames; None: chosen by SNR
    target_error : target error ratio of a packet
    decoder : of control frames, `soft` or `hard`
    """

    def __init__(
        self,
        schemes: tuple[Scheme, ...],
        fixed: Scheme | None,
        target_error: float,
        decoder: Decoder,
    ) -> None:
        self.schemes, self.fixed = schemes, fixed
        self.target_error = target_error
        self._decoder = decoder

    def scheme(self, snr: float, bits: int) -> Scheme:
        """Return the scheme for packets of a number of bits at a mean SNR (linear)."""
        if self.fixed is not None:
            return self.fixed
        good = [each for each in self.schemes if snr >= each.threshold(bits, self.target_error)]
        return good[-1] if good else self.schemes[0]

    def control(self, data: Scheme) -> Scheme:
        """Return the acknowledgement's scheme: the highest basic rate up to the data frame's."""
        good = [each for each in self._basic if each.rate_bps <= data.rate_bps]
        return good[-1]

    @property
    def slowest(self) -> Scheme:
        """Lowest basic rate."""
        return self._basic[0]

    @cached_property
    def _basic(self) -> list[Scheme]:
        """Basic rates; control frames are repeated in each 20 MHz of a wider channel."""
        legacy = schemes("a", decoding=self._decoder)
        return [each for each in legacy if each.data_bits in _BASIC]


class WifiModem:
    """Rates of a Wi-Fi radio; it has no slots, so `start` and `scan` raise an error."""

    fluid = False
    memoryless = True
    memory: np.dtype[Any] = np.dtype([("nothing", np.int8)])
    # Packet size for which rates are reported [bit].
    _BITS = 12_000

    def __init__(self, rates: WifiRates, slot_ns: int) -> None:
        self.slot_ns = slot_ns
        self._rates = rates

    def start(self, size_bits: Ints, broadcast: NDArray[np.bool_]) -> State:
        """Raise ValueError; see `Modem`."""
        _refuse()

    def scan(self, state: State, slots: Slots) -> Outcome:
        """Raise ValueError; see `Modem`."""
        _refuse()

    def rate_bps(self, snr: Floats, share: Floats) -> Floats:
        """Return the rate of the data field less its errors, without contention [bit/s]."""
        snr = np.asarray(snr, dtype=np.float64)
        fixed = self._rates.fixed
        best = np.zeros(snr.shape)
        for place, scheme in enumerate(self._rates.schemes if fixed is None else (fixed,)):
            threshold = scheme.threshold(self._BITS, self._rates.target_error)
            good = np.full(snr.shape, place == 0) | (snr >= threshold)
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
