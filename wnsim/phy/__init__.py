"""From signal-to-noise ratio to bits: what a block of air time carries and how often it fails."""

from __future__ import annotations

from typing import Protocol

from wnsim.phy.nr import NrMcs
from wnsim.phy.shannon import Shannon
from wnsim.units import Floats, Ints

__all__ = ["PHY", "NrMcs", "Phy", "Shannon"]


class Phy(Protocol):
    """What the network asks of a radio with link adaptation; parameters of a model."""

    def blocks(
        self, snr_known: Floats, snr: Floats, bandwidth_hz: Floats, block_s: float
    ) -> tuple[Ints, Floats]:
        """Return what blocks carry, and how likely each is lost.

        Parameters
        ----------
        snr_known : (L, K) SNR that the transmitter knew when it chose the rate, linear
        snr : (L, K) SNR that holds, linear
        bandwidth_hz : (L, 1) bandwidth of each link [Hz]
        block_s : duration of a block [s]

        Returns
        -------
        bits : (L, K) whole bits carried in a block if it is received, 0 if nothing is sent
        error_probability : (L, K) probability that the block is lost, 0 if nothing is sent
        """
        ...

    def rate_bps(self, snr: Floats, bandwidth_hz: Floats) -> Floats:
        """Return the expected goodput at a known, constant SNR.

        Parameters
        ----------
        snr : (...,) SNR, linear
        bandwidth_hz : (...,) bandwidth [Hz]

        Returns
        -------
        (...,) goodput [bit/s]
        """
        ...


PHY: dict[str, type[Phy]] = {"shannon": Shannon, "nr": NrMcs}
