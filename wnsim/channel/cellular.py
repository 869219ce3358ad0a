"""Common part of the path-loss models of TR 38.901: base station and terminal, LOS and NLOS.

The roles of the two ends are those of `PathLoss`: a base station is one even below the terminal's
height; between two devices the formulas are an extrapolation. Distances below 1 m count as 1 m. The
optional NLOS formulas of the table are left out.

Sources: 3GPP TR 38.901, Tables 7.4.1-1 (path loss, standard deviation of shadow fading), 7.4.2-1
(line-of-sight probability), 7.5-6 (decorrelation distance of shadow fading) and 7.6.3.1-2
(decorrelation distance of the line-of-sight state).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from wnsim.channel.mean_loss import BuildingsOnly
from wnsim.channel.propagation import distance_m
from wnsim.core.units import Floats

# TR 38.901 writes break points with this rounded speed of light.
ROUNDED_SPEED_OF_LIGHT_MPS = 3.0e8


class Cellular(BuildingsOnly):
    """Common part of the scenarios of TR 38.901.

    Subclasses state the heights of base station and terminal [m] and the carrier frequencies [Hz]
    they are valid for, and standard deviation [dB] and decorrelation distance [m] of shadow fading,
    NLOS and LOS.
    """

    title: ClassVar[str]
    site_m: ClassVar[tuple[float, float]]
    terminal_m: ClassVar[tuple[float, float]]
    carrier_hz: ClassVar[tuple[float, float]] = (0.5e9, 100e9)
    range_m: ClassVar[tuple[float, float]] = (10.0, 5000.0)
    los_correlation_m: ClassVar[float] = 50.0
    sigmas_db: ClassVar[tuple[float, float]]
    correlations_m: ClassVar[tuple[float, float]]

    def los_db(self, d2d_m: Floats, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                 frequency_hz: float) -> Floats:  # fmt: skip
        """Return the LOS path loss [dB]."""
        raise NotImplementedError

    def nlos_db(self, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                   frequency_hz: float) -> Floats:  # fmt: skip
        """Return the NLOS path loss [dB], where it exceeds the LOS path loss."""
        raise NotImplementedError

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss in one line-of-sight state.

        Parameters
        ----------
        d2d_m : (...,) ground distance [m]
        h_bs_m, h_ut_m : (...,) antenna heights of base station and terminal [m]
        frequency_hz : carrier frequency [Hz]
        los : True for LOS, False for NLOS

        Returns
        -------
        (...,) path loss [dB]

        Raises
        ------
        ValueError
            if an antenna is too low for the formulas
        """
        d3d_m = distance_m(d2d_m, h_bs_m, h_ut_m)
        d2d_m = np.asarray(d2d_m, dtype=np.float64)
        h_bs_m, h_ut_m = np.asarray(h_bs_m, np.float64), np.asarray(h_ut_m, np.float64)
        los_db = self.los_db(d2d_m, d3d_m, h_bs_m, h_ut_m, frequency_hz)
        if los:
            return los_db
        return np.maximum(los_db, self.nlos_db(d3d_m, h_bs_m, h_ut_m, frequency_hz))

    def shadow_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the standard deviation of shadow fading [dB] in one line-of-sight state."""
        return np.asarray(self.sigmas_db[los])

    def shadow_correlation_m(self, los: bool) -> float:
        """Return the decorrelation distance of shadow fading [m] in one line-of-sight state."""
        return self.correlations_m[los]

    def notes(self, h_bs_m: float, h_ut_m: float, frequency_hz: float) -> list[str]:
        """Return a note for each way in which a use leaves the validity range of TR 38.901.

        Parameters
        ----------
        h_bs_m, h_ut_m : antenna heights of base station and terminal [m]
        frequency_hz : carrier frequency [Hz]
        """
        notes = []
        if not self.site_m[0] <= h_bs_m <= self.site_m[1]:
            notes.append(
                f"{self.title} is specified for a base station at {_span(self.site_m)} m; between "
                f"antennas at {h_bs_m:g} m and {h_ut_m:g} m it is an extrapolation"
            )
        if not self.terminal_m[0] <= h_ut_m <= self.terminal_m[1]:
            notes.append(
                f"{self.title} is for terminals at {_span(self.terminal_m)} m, "
                f"the terminal's antenna is at {h_ut_m:g} m"
            )
        if not self.carrier_hz[0] <= frequency_hz <= self.carrier_hz[1]:
            least, most = (value / 1e9 for value in self.carrier_hz)
            notes.append(
                f"{self.title} is specified for carriers from {least:g} to {most:g} GHz, "
                f"the carrier is at {frequency_hz / 1e9:g} GHz"
            )
        return notes


def frequency_db(frequency_hz: float) -> float:
    """Return 20 lg of the carrier frequency in gigahertz [dB]."""
    return float(20.0 * np.log10(frequency_hz / 1e9))


def spread(probability: Floats, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
    """Broadcast a probability to the shape of the heights."""
    shape = np.broadcast_shapes(probability.shape, np.shape(h_bs_m), np.shape(h_ut_m))
    return np.broadcast_to(probability, shape)


def _span(span: tuple[float, float]) -> str:
    """Return a range as text."""
    least, most = span
    return f"{least:g}" if least == most else f"{least:g} to {most:g}"
