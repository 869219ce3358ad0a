"""Path loss of aerial terminals, such as drones, of TR 36.777.

Up to a height, 10 m in RMa-AV and 22.5 m in UMa-AV and UMi-AV, a terminal has the formulas of TR
38.901, and above it those of TR 36.777, so that loss and probability jump there. The loss in NLOS
is at least that in LOS, as in TR 38.901; Table B-2 says so except for UMa-AV. Decorrelation
distances are those of TR 38.901.

Scope: links of a base station with a terminal. Of two devices the higher one counts as the base
station, as in all models: a walker below a drone is a terminal on the ground. The fast fading of
Annex B.1 is left out.

Sources: 3GPP TR 36.777 V15.0.0, Tables B-1 (line-of-sight probability), B-2 (path loss) and B-3
(standard deviation of shadow fading); TR 38.901 below the heights there.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from wnsim.channel.cellular import Cellular, frequency_db, spread
from wnsim.channel.propagation import free_space_db
from wnsim.channel.rural import Rma
from wnsim.channel.urban import Uma, UmiStreetCanyon
from wnsim.core.params import parameters
from wnsim.core.units import Floats


class Aerial(Cellular):
    """Choice between the formulas of TR 38.901 and TR 36.777 by the height of the terminal.

    Subclasses state the height up to which TR 38.901 holds and the one from which on every link is
    LOS [m], and the formulas of TR 36.777.
    """

    terminal_m: ClassVar[tuple[float, float]] = (1.5, 300.0)
    ground_m: ClassVar[float] = 22.5
    clear_m: ClassVar[float] = np.inf

    def aerial_los_db(self, d3d_m: Floats, h_ut_m: Floats, frequency_hz: float) -> Floats:
        """Return the LOS path loss [dB]."""
        raise NotImplementedError

    def aerial_nlos_db(self, d3d_m: Floats, h_ut_m: Floats, frequency_hz: float) -> Floats:
        """Return the NLOS path loss [dB], where it exceeds the LOS path loss."""
        raise NotImplementedError

    def aerial_shadow_db(self, h_ut_m: Floats, los: bool) -> Floats:
        """Return the standard deviation of shadow fading [dB]."""
        raise NotImplementedError

    def sight_m(self, h_ut_m: Floats) -> tuple[Floats, Floats]:
        """Return the distances d_1 and p_1 of the LOS probability [m]."""
        raise NotImplementedError

    def los_db(self, d2d_m: Floats, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                 frequency_hz: float) -> Floats:  # fmt: skip
        """Return the LOS path loss [dB]."""
        return np.where(
            h_ut_m > self.ground_m,
            self.aerial_los_db(d3d_m, h_ut_m, frequency_hz),
            super().los_db(d2d_m, d3d_m, h_bs_m, h_ut_m, frequency_hz),
        )

    def nlos_db(self, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                   frequency_hz: float) -> Floats:  # fmt: skip
        """Return the NLOS path loss [dB], where it exceeds the LOS path loss."""
        return np.where(
            h_ut_m > self.ground_m,
            self.aerial_nlos_db(d3d_m, h_ut_m, frequency_hz),
            super().nlos_db(d3d_m, h_bs_m, h_ut_m, frequency_hz),
        )

    def shadow_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the standard deviation of shadow fading [dB] in one line-of-sight state."""
        h_ut_m = np.asarray(h_ut_m, dtype=np.float64)
        return np.where(
            h_ut_m > self.ground_m,
            self.aerial_shadow_db(h_ut_m, los),
            super().shadow_db(d2d_m, h_bs_m, h_ut_m, frequency_hz, los),
        )

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability, which grows with the height of the terminal."""
        d2d_m, h_ut_m = np.asarray(d2d_m, np.float64), np.asarray(h_ut_m, np.float64)
        near_m, decay_m = self.sight_m(h_ut_m)
        near = near_m / np.maximum(d2d_m, near_m)
        aerial = near + np.exp(-d2d_m / decay_m) * (1.0 - near)
        aerial = np.where(h_ut_m > self.clear_m, 1.0, aerial)
        ground = super().los_probability(d2d_m, h_bs_m, h_ut_m)
        return spread(np.where(h_ut_m > self.ground_m, aerial, ground), h_bs_m, h_ut_m)


@parameters
class UmaAerial(Aerial, Uma):
    """Urban macro cell with aerial terminals, UMa-AV of TR 36.777."""

    title: ClassVar[str] = "UMa-AV"
    terminal_m: ClassVar[tuple[float, float]] = Aerial.terminal_m
    clear_m: ClassVar[float] = 100.0
    range_m: ClassVar[tuple[float, float]] = (0.0, 4000.0)
    model: Literal["uma-av"] = "uma-av"  # type: ignore[assignment]

    def aerial_los_db(self, d3d_m: Floats, h_ut_m: Floats, frequency_hz: float) -> Floats:
        """Return the LOS path loss [dB], without a breakpoint."""
        return np.asarray(28.0 + 22.0 * np.log10(d3d_m) + frequency_db(frequency_hz))

    def aerial_nlos_db(self, d3d_m: Floats, h_ut_m: Floats, frequency_hz: float) -> Floats:
        """Return the NLOS path loss [dB]."""
        slope = 46.0 - 7.0 * np.log10(h_ut_m)
        return np.asarray(-17.5 + slope * np.log10(d3d_m) + _meter_db(frequency_hz))

    def aerial_shadow_db(self, h_ut_m: Floats, los: bool) -> Floats:
        """Return the standard deviation of shadow fading [dB]."""
        return 4.64 * np.exp(-0.0066 * h_ut_m) if los else np.asarray(6.0)

    def sight_m(self, h_ut_m: Floats) -> tuple[Floats, Floats]:
        """Return the distances d_1 and p_1 of the LOS probability [m]."""
        height = _lg(h_ut_m, self.ground_m)
        return np.maximum(460.0 * height - 700.0, 18.0), 4300.0 * height - 3800.0


@parameters
class UmiAerial(Aerial, UmiStreetCanyon):
    """Urban street canyon with aerial terminals, UMi-AV of TR 36.777."""

    title: ClassVar[str] = "UMi-AV"
    terminal_m: ClassVar[tuple[float, float]] = Aerial.terminal_m
    range_m: ClassVar[tuple[float, float]] = (0.0, 4000.0)
    model: Literal["umi-av"] = "umi-av"  # type: ignore[assignment]

    def aerial_los_db(self, d3d_m: Floats, h_ut_m: Floats, frequency_hz: float) -> Floats:
        """Return the LOS path loss [dB], at least that in free space."""
        slope = 22.25 - 0.5 * np.log10(h_ut_m)
        loss_db = 30.9 + slope * np.log10(d3d_m) + frequency_db(frequency_hz)
        return np.maximum(free_space_db(d3d_m, frequency_hz), loss_db)

    def aerial_nlos_db(self, d3d_m: Floats, h_ut_m: Floats, frequency_hz: float) -> Floats:
        """Return the NLOS path loss [dB], where it exceeds the LOS path loss."""
        slope = 43.2 - 7.6 * np.log10(h_ut_m)
        return np.asarray(32.4 + slope * np.log10(d3d_m) + frequency_db(frequency_hz))

    def aerial_shadow_db(self, h_ut_m: Floats, los: bool) -> Floats:
        """Return the standard deviation of shadow fading [dB]."""
        return np.maximum(5.0 * np.exp(-0.01 * h_ut_m), 2.0) if los else np.asarray(8.0)

    def sight_m(self, h_ut_m: Floats) -> tuple[Floats, Floats]:
        """Return the distances d_1 and p_1 of the LOS probability [m]."""
        height = _lg(h_ut_m, self.ground_m)
        return np.maximum(294.05 * height - 432.94, 18.0), 233.98 * height - 0.95


@parameters
class RmaAerial(Aerial, Rma):
    """Rural macro cell with aerial terminals, RMa-AV of TR 36.777.

    Parameters
    ----------
    building_m : average building height [m], 5 to 50, for terminals up to 10 m
    street_m : average street width [m], 5 to 50, likewise
    """

    title: ClassVar[str] = "RMa-AV"
    terminal_m: ClassVar[tuple[float, float]] = Aerial.terminal_m
    ground_m: ClassVar[float] = 10.0
    clear_m: ClassVar[float] = 40.0
    range_m: ClassVar[tuple[float, float]] = (0.0, 10_000.0)
    model: Literal["rma-av"] = "rma-av"  # type: ignore[assignment]

    def aerial_los_db(self, d3d_m: Floats, h_ut_m: Floats, frequency_hz: float) -> Floats:
        """Return the LOS path loss [dB]."""
        slope = np.maximum(23.9 - 1.8 * np.log10(h_ut_m), 20.0)
        return np.asarray(slope * np.log10(d3d_m) + _meter_db(frequency_hz))

    def aerial_nlos_db(self, d3d_m: Floats, h_ut_m: Floats, frequency_hz: float) -> Floats:
        """Return the NLOS path loss [dB], where it exceeds the LOS path loss."""
        slope = 35.0 - 5.3 * np.log10(h_ut_m)
        return np.asarray(-12.0 + slope * np.log10(d3d_m) + _meter_db(frequency_hz))

    def aerial_shadow_db(self, h_ut_m: Floats, los: bool) -> Floats:
        """Return the standard deviation of shadow fading [dB]."""
        return 4.2 * np.exp(-0.0046 * h_ut_m) if los else np.asarray(6.0)

    def sight_m(self, h_ut_m: Floats) -> tuple[Floats, Floats]:
        """Return the distances d_1 and p_1 of the LOS probability [m]."""
        height = _lg(h_ut_m, self.ground_m)
        near_m = np.maximum(1350.8 * height - 1602.0, 18.0)
        return near_m, np.maximum(15021.0 * height - 16053.0, 1000.0)


def _lg(h_ut_m: Floats, least_m: float) -> Floats:
    """Return the decimal logarithm of heights, of which those below the least are not used."""
    return np.asarray(np.log10(np.maximum(h_ut_m, least_m)))


def _meter_db(frequency_hz: float) -> float:
    """Return 20 lg(40 pi f / 3) of the carrier frequency in gigahertz [dB]."""
    return float(20.0 * np.log10(40.0 * np.pi * (frequency_hz / 1e9) / 3.0))
