"""Urban path loss of TR 38.901: street canyon and macro cell.

Sources: 3GPP TR 38.901, Tables 7.4.1-1 (path loss, standard deviation of shadow fading), 7.4.2-1
(line-of-sight probability), 7.5-6 (decorrelation distance of shadow fading) and 7.6.3.1-2
(decorrelation distance of the line-of-sight state).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from wnsim import kernels
from wnsim.channel.cellular import ROUNDED_SPEED_OF_LIGHT_MPS, Cellular, frequency_db, spread
from wnsim.channel.mean_loss import IndoorShadow
from wnsim.core.params import parameters
from wnsim.core.units import Floats

_ENVIRONMENT_HEIGHT_M = 1.0


@parameters
class UmiStreetCanyon(Cellular):
    """Urban street canyon of TR 38.901, with base stations below the rooftops."""

    title: ClassVar[str] = "UMi"
    site_m: ClassVar[tuple[float, float]] = (10.0, 10.0)
    terminal_m: ClassVar[tuple[float, float]] = (1.5, 22.5)
    sigmas_db: ClassVar[tuple[float, float]] = (7.82, 4.0)
    correlations_m: ClassVar[tuple[float, float]] = (13.0, 10.0)
    indoor_shadow: ClassVar[IndoorShadow | None] = IndoorShadow(7.0, 7.0)
    model: Literal["umi"] = "umi"

    def los_db(self, d2d_m: Floats, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                 frequency_hz: float) -> Floats:  # fmt: skip
        """Return PL1 up to the breakpoint and PL2 beyond [dB]; antennas must be above 1 m."""
        break_m = _break_m(h_bs_m, h_ut_m, frequency_hz, self.title)
        far_db = 9.5 * np.log10(break_m**2 + (h_bs_m - h_ut_m) ** 2)
        slopes_db = np.where(
            d2d_m <= break_m, 21.0 * np.log10(d3d_m), 40.0 * np.log10(d3d_m) - far_db
        )
        return np.asarray(32.4 + slopes_db + frequency_db(frequency_hz))

    def nlos_db(self, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                   frequency_hz: float) -> Floats:  # fmt: skip
        """Return the NLOS path loss [dB]."""
        return np.asarray(
            22.4
            + 35.3 * np.log10(d3d_m)
            + 21.3 * np.log10(frequency_hz / 1e9)
            - 0.3 * (h_ut_m - 1.5)
        )

    def terms(
        self, d2d_m: Floats, h_bs_m: Floats, h_ut_m: Floats, frequency_hz: float
    ) -> tuple[Floats, Floats, Floats]:
        """Return LOS probability and path loss, LOS and NLOS, in one call; see `PathLoss`."""
        carrier_db, nlos_db = frequency_db(frequency_hz), 21.3 * np.log10(frequency_hz / 1e9)
        return _terms(
            d2d_m, h_bs_m, h_ut_m, frequency_hz, self.title,
            (32.4, 21.0, 9.5, carrier_db), (22.4, 35.3, float(nlos_db), 0.3), 36.0, False,
        )  # fmt: skip

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability, which does not depend on the heights."""
        # At 18 m and below the table says 1, which the formula gives at 18 m.
        d2d_m = np.maximum(np.asarray(d2d_m, dtype=np.float64), 18.0)
        probability = 18.0 / d2d_m + np.exp(-d2d_m / 36.0) * (1.0 - 18.0 / d2d_m)
        return spread(probability, h_bs_m, h_ut_m)


@parameters
class Uma(Cellular):
    """Urban macro cell of TR 38.901, with base stations above the rooftops.

    The effective environment height is 1 m for every terminal. For terminals above 13 m the table
    draws a larger one with some probability, which only moves the breakpoint of the LOS path loss
    nearer.
    """

    title: ClassVar[str] = "UMa"
    site_m: ClassVar[tuple[float, float]] = (25.0, 25.0)
    terminal_m: ClassVar[tuple[float, float]] = (1.5, 22.5)
    sigmas_db: ClassVar[tuple[float, float]] = (6.0, 4.0)
    correlations_m: ClassVar[tuple[float, float]] = (50.0, 37.0)
    indoor_shadow: ClassVar[IndoorShadow | None] = IndoorShadow(7.0, 7.0)
    model: Literal["uma"] = "uma"

    def los_db(self, d2d_m: Floats, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                 frequency_hz: float) -> Floats:  # fmt: skip
        """Return PL1 up to the breakpoint and PL2 beyond [dB]; antennas must be above 1 m."""
        break_m = _break_m(h_bs_m, h_ut_m, frequency_hz, self.title)
        far_db = 9.0 * np.log10(break_m**2 + (h_bs_m - h_ut_m) ** 2)
        slopes_db = np.where(
            d2d_m <= break_m, 22.0 * np.log10(d3d_m), 40.0 * np.log10(d3d_m) - far_db
        )
        return np.asarray(28.0 + slopes_db + frequency_db(frequency_hz))

    def nlos_db(self, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                   frequency_hz: float) -> Floats:  # fmt: skip
        """Return the NLOS path loss [dB]."""
        return np.asarray(
            13.54 + 39.08 * np.log10(d3d_m) + frequency_db(frequency_hz) - 0.6 * (h_ut_m - 1.5)
        )

    def terms(
        self, d2d_m: Floats, h_bs_m: Floats, h_ut_m: Floats, frequency_hz: float
    ) -> tuple[Floats, Floats, Floats]:
        """Return LOS probability and path loss, LOS and NLOS, in one call; see `PathLoss`."""
        carrier_db = frequency_db(frequency_hz)
        return _terms(
            d2d_m, h_bs_m, h_ut_m, frequency_hz, self.title,
            (28.0, 22.0, 9.0, carrier_db), (13.54, 39.08, carrier_db, 0.6), 63.0, True,
        )  # fmt: skip

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability, larger for terminals above 13 m."""
        d2d_m = np.maximum(np.asarray(d2d_m, dtype=np.float64), 18.0)
        street = 18.0 / d2d_m + np.exp(-d2d_m / 63.0) * (1.0 - 18.0 / d2d_m)
        # The table ends at 23 m.
        height = (np.clip(np.asarray(h_ut_m) - 13.0, 0.0, 10.0) / 10.0) ** 1.5
        above = 1.25 * height * (d2d_m / 100.0) ** 3 * np.exp(-d2d_m / 150.0)
        probability = np.where(d2d_m > 18.0, np.minimum(street * (1.0 + above), 1.0), 1.0)
        return spread(probability, h_bs_m, h_ut_m)


def _terms(
    d2d_m: Floats,
    h_bs_m: Floats,
    h_ut_m: Floats,
    frequency_hz: float,
    title: str,
    los: tuple[float, float, float, float],
    nlos: tuple[float, float, float, float],
    street_m: float,
    above_street: bool,
) -> tuple[Floats, Floats, Floats]:
    """Return LOS probability and both path losses; see `wnsim.kernels.path_loss.urban`."""
    per_m = 4.0 * frequency_hz / ROUNDED_SPEED_OF_LIGHT_MPS
    *terms, lowest_m = kernels.path_loss.urban(
        d2d_m, h_bs_m, h_ut_m, per_m, los, nlos, street_m, above_street
    )
    _check_height(lowest_m, title)
    return terms[0], terms[1], terms[2]


def _check_height(lowest_m: float, title: str) -> None:
    """Raise ValueError unless the lowest antenna is above the environment."""
    if lowest_m <= _ENVIRONMENT_HEIGHT_M:
        raise ValueError(
            "antenna height must be above the effective environment height of "
            f"{_ENVIRONMENT_HEIGHT_M:g} m in {title}, got {lowest_m:g}"
        )


def _break_m(h_bs_m: Floats, h_ut_m: Floats, frequency_hz: float, title: str) -> Floats:
    """Return the breakpoint distance in UMi and UMa [m]."""
    _check_height(min(float(np.min(h_bs_m)), float(np.min(h_ut_m))), title)
    return (
        (4.0 * frequency_hz / ROUNDED_SPEED_OF_LIGHT_MPS)
        * (h_bs_m - _ENVIRONMENT_HEIGHT_M)
        * (h_ut_m - _ENVIRONMENT_HEIGHT_M)
    )
