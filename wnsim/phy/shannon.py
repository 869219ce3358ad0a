"""Shannon rate model: the rate of the estimated SINR, lost where the channel supports less.

Sources: Shannon, "A mathematical theory of communication", BSTJ 27, 1948; Ozarow, Shamai and
Wyner, "Information theoretic considerations for cellular mobile radio", IEEE Trans. Veh. Technol.
43, 1994 (outage).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.core.params import parameters
from wnsim.core.units import NS_PER_S, Floats, Ints, db_to_linear
from wnsim.kernels.layout import plain
from wnsim.phy.inverse import factor_to
from wnsim.phy.modem import Outcome, Slots, State, efficiency


@parameters
class Shannon:
    """Ideal rate adaptation with an SNR gap, a maximum spectral efficiency and a fixed error ratio.

    Scope: a slot is a coherence block, whose bits flow evenly; a lost slot is known to be lost at
    once and its bits are retransmitted.

    Parameters
    ----------
    gap_db : SNR gap of modulation and coding to capacity [dB], at least 0
    max_bps_hz : maximum spectral efficiency [bit/s/Hz]; None: unbounded
    bler : probability that a block is lost although the channel supports it, 0 to below 1
    """

    model: Literal["shannon"] = "shannon"
    gap_db: float = 0.0
    max_bps_hz: float | None = None
    bler: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.gap_db < float("inf"):
            raise ValueError(f"gap_db must be at least 0 dB, got {self.gap_db}")
        if self.max_bps_hz is not None and not self.max_bps_hz > 0.0:
            raise ValueError(f"max_bps_hz must be positive, got {self.max_bps_hz}")
        if not 0.0 <= self.bler < 1.0:
            raise ValueError(f"bler must be at least 0 and below 1, got {self.bler}")

    def modem(self, bandwidth_hz: float, subbands: int, block_ns: int) -> ShannonModem:
        """Return the modem of a band; see `Phy`."""
        return ShannonModem(self, bandwidth_hz, block_ns)


class ShannonModem:
    """Shannon rate modem; see `Modem`.

    Attributes
    ----------
    gap : SNR gap to capacity, linear
    goodput_hz : band, reduced by the blocks that are lost [Hz]
    max_bps_hz : maximum spectral efficiency [bit/s/Hz], or none
    """

    fluid = True
    memoryless = True
    memory: np.dtype[Any] = np.dtype([("nothing", np.int8)])

    def __init__(self, phy: Shannon, bandwidth_hz: float, slot_ns: int) -> None:
        self.slot_ns = slot_ns
        self._phy = phy
        self.max_bps_hz = phy.max_bps_hz
        self.gap = float(db_to_linear(phy.gap_db))
        self.goodput_hz = bandwidth_hz * (1.0 - phy.bler)
        self._bandwidth_hz = bandwidth_hz

    def start(self, size_bits: Ints, broadcast: NDArray[np.bool_]) -> State:
        """Return an empty state; see `Modem`."""
        return np.zeros(size_bits.size, dtype=self.memory)

    def scan(self, state: State, slots: Slots) -> Outcome:
        """Return the outcome of slots; see `Modem`."""
        most_bps_hz = self._phy.max_bps_hz
        bits, kind = kernels.slots.shannon(
            plain(slots.known),
            plain(slots.sinr),
            plain(slots.share),
            plain(slots.active),
            plain(slots.draws),
            self.gap,
            math.inf if most_bps_hz is None else most_bps_hz,
            self._bandwidth_hz * self.slot_ns / NS_PER_S,
            self._phy.bler,
        )
        return Outcome(bits, kind)

    def rate_bps(self, snr: Floats, share: Floats) -> Floats:
        """Return the expected goodput at a known, constant SNR [bit/s]; see `Modem`."""
        chosen = self._efficiency(np.asarray(snr)[..., None])
        return np.asarray(chosen * share * self._bandwidth_hz * (1.0 - self._phy.bler))

    def factor(self, known: Floats, rate_bps: Floats, share: Floats) -> Floats:
        """Return the factor on SNRs for a goodput; see `Modem`."""
        bps_hz = rate_bps / (share * self._bandwidth_hz * (1.0 - self._phy.bler))
        found = factor_to(bps_hz, known / self.gap)
        if self._phy.max_bps_hz is not None:
            found = np.where(bps_hz <= self._phy.max_bps_hz, found, np.inf)
        return found

    def _efficiency(self, sinr: Floats) -> Floats:
        """Return the spectral efficiency chosen for an estimated SINR (..., B) [bit/s/Hz]."""
        bps_hz = efficiency(sinr / self.gap)
        if self._phy.max_bps_hz is not None:
            bps_hz = np.minimum(bps_hz, self._phy.max_bps_hz)
        return bps_hz
