"""The Shannon bound as a radio: the rate of the known SNR, lost where the channel carries less.

Sources: Shannon, "A mathematical theory of communication", BSTJ 27, 1948; Ozarow, Shamai and
Wyner, "Information theoretic considerations for cellular mobile radio", IEEE Trans. Veh. Technol.
43, 1994 (outage).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from wnsim.params import parameters
from wnsim.units import Floats, Ints, db_to_linear


@parameters
class Shannon:
    """Ideal rate adaptation with an SNR gap, a highest spectral efficiency and a fixed loss.

    Parameters
    ----------
    gap_db : SNR gap of the modulation and coding to the bound [dB], at least 0
    max_bps_hz : highest spectral efficiency [bit/s/Hz]; none: unbounded
    bler : probability that a block is lost although the channel could carry it, 0 to below 1
    """

    model: Literal["shannon"] = "shannon"
    gap_db: float = 0.0
    max_bps_hz: float | None = None
    bler: float = 0.0

    def __post_init__(self) -> None:
        if not self.gap_db >= 0.0:
            raise ValueError(f"gap_db must be at least 0 dB, got {self.gap_db}")
        if self.max_bps_hz is not None and not self.max_bps_hz > 0.0:
            raise ValueError(f"max_bps_hz must be positive, got {self.max_bps_hz}")
        if not 0.0 <= self.bler < 1.0:
            raise ValueError(f"bler must be at least 0 and below 1, got {self.bler}")

    def blocks(
        self, snr_known: Floats, snr: Floats, bandwidth_hz: Floats, block_s: float
    ) -> tuple[Ints, Floats]:
        """Return what blocks carry, and how likely each is lost; see `Phy`."""
        chosen_bps_hz = self._efficiency(snr_known)
        shape = np.broadcast_shapes(np.shape(snr_known), np.shape(snr), np.shape(bandwidth_hz))
        bits = np.floor(np.broadcast_to(chosen_bps_hz * bandwidth_hz * block_s, shape))
        # The same SNR gives the same efficiency, so knowing the channel is never an outage.
        outage = chosen_bps_hz > self._efficiency(snr)
        error_probability = np.where(outage, 1.0, self.bler)
        return bits.astype(np.int64), np.where(bits > 0, error_probability, 0.0)

    def rate_bps(self, snr: Floats, bandwidth_hz: Floats) -> Floats:
        """Return the expected goodput at a known, constant SNR [bit/s]; see `Phy`."""
        return np.asarray(self._efficiency(snr) * bandwidth_hz * (1.0 - self.bler))

    def _efficiency(self, snr: Floats) -> Floats:
        """Return the spectral efficiency chosen for a known SNR [bit/s/Hz]."""
        bps_hz = np.log1p(np.asarray(snr) / db_to_linear(self.gap_db)) / np.log(2.0)
        if self.max_bps_hz is not None:
            bps_hz = np.minimum(bps_hz, self.max_bps_hz)
        return np.asarray(bps_hz)
