"""Empirical path loss over large cells: Okumura-Hata and its extension by COST 231.

The formulas give a median in which line of sight makes no difference. Shadow fading is 0 dB unless
the scenario gives `sigma_db`.

Sources: Hata, "Empirical formula for propagation loss in land mobile radio services", IEEE Trans.
Veh. Technol. 29, 1980; COST Action 231, "Digital mobile radio towards future generation systems:
final report", EUR 18957, 1999, section 4.4.1 (COST 231-Hata).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from wnsim.channel.mean_loss import AlwaysLineOfSight
from wnsim.channel.propagation import distance_m
from wnsim.core.params import parameters
from wnsim.core.units import Floats

_SITE_M = (30.0, 200.0)
_TERMINAL_M = (1.0, 10.0)


class _Median(AlwaysLineOfSight):
    """Common part of both models."""

    title: ClassVar[str]
    carrier_hz: ClassVar[tuple[float, float]]
    range_m: ClassVar[tuple[float, float]] = (1000.0, 20_000.0)

    def median_db(self, frequency_mhz: float, h_bs_m: Floats, h_ut_m: Floats) -> Floats:
        """Return the path loss at 1 km [dB]."""
        raise NotImplementedError

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss [dB], equal in both line-of-sight states."""
        km = distance_m(d2d_m, h_bs_m, h_ut_m) / 1e3
        h_bs_m, h_ut_m = np.asarray(h_bs_m, np.float64), np.asarray(h_ut_m, np.float64)
        lowest_m = min(float(np.min(h_bs_m)), float(np.min(h_ut_m)))
        if not lowest_m > 0.0:
            raise ValueError(f"antenna height must be positive in {self.title}, got {lowest_m:g}")
        slope_db = 44.9 - 6.55 * np.log10(h_bs_m)
        return np.asarray(
            self.median_db(frequency_hz / 1e6, h_bs_m, h_ut_m) + slope_db * np.log10(km)
        )

    def notes(self, h_bs_m: float, h_ut_m: float, frequency_hz: float) -> list[str]:
        """Return a note for each way in which a use leaves the formula's validity range."""
        notes = []
        for what, value, (least, most), unit in (
            ("base stations", h_bs_m, _SITE_M, "m"),
            ("terminals", h_ut_m, _TERMINAL_M, "m"),
            ("carriers", frequency_hz / 1e6, [each / 1e6 for each in self.carrier_hz], "MHz"),
        ):
            if not least <= value <= most:
                notes.append(
                    f"{self.title} is for {what} at {least:g} to {most:g} {unit}, got {value:g} "
                    f"{unit}"
                )
        return notes


@parameters
class OkumuraHata(_Median):
    """Okumura-Hata, 150 to 1500 MHz.

    Parameters
    ----------
    environment : `small-city`, `large-city`, `suburban` or `open`
    """

    title: ClassVar[str] = "Okumura-Hata"
    carrier_hz: ClassVar[tuple[float, float]] = (150e6, 1500e6)
    model: Literal["okumura-hata"] = "okumura-hata"
    environment: Literal["small-city", "large-city", "suburban", "open"] = "small-city"

    def median_db(self, frequency_mhz: float, h_bs_m: Floats, h_ut_m: Floats) -> Floats:
        """Return the path loss at 1 km [dB]."""
        decades = np.log10(frequency_mhz)
        loss_db = 69.55 + 26.16 * decades - 13.82 * np.log10(h_bs_m)
        if self.environment == "large-city":
            loss_db -= _large_city_db(frequency_mhz, h_ut_m)
        else:
            loss_db -= _small_city_db(frequency_mhz, h_ut_m)
        if self.environment == "suburban":
            loss_db -= 2.0 * np.log10(frequency_mhz / 28.0) ** 2 + 5.4
        if self.environment == "open":
            loss_db -= 4.78 * decades**2 - 18.33 * decades + 40.94
        return np.asarray(loss_db)


@parameters
class Cost231Hata(_Median):
    """COST 231-Hata, 1500 to 2000 MHz.

    Parameters
    ----------
    environment : `medium-city`, also for suburbs, or `metropolitan`, 3 dB more
    """

    title: ClassVar[str] = "COST 231-Hata"
    carrier_hz: ClassVar[tuple[float, float]] = (1500e6, 2000e6)
    model: Literal["cost231-hata"] = "cost231-hata"
    environment: Literal["medium-city", "metropolitan"] = "medium-city"

    def median_db(self, frequency_mhz: float, h_bs_m: Floats, h_ut_m: Floats) -> Floats:
        """Return the path loss at 1 km [dB]."""
        more_db = 3.0 if self.environment == "metropolitan" else 0.0
        return np.asarray(
            46.3
            + 33.9 * np.log10(frequency_mhz)
            - 13.82 * np.log10(h_bs_m)
            - _small_city_db(frequency_mhz, h_ut_m)
            + more_db
        )


def _small_city_db(frequency_mhz: float, h_ut_m: Floats) -> Floats:
    """Return the correction for the terminal's height in small and medium cities [dB]."""
    decades = np.log10(frequency_mhz)
    return np.asarray((1.1 * decades - 0.7) * h_ut_m - (1.56 * decades - 0.8))


def _large_city_db(frequency_mhz: float, h_ut_m: Floats) -> Floats:
    """Return the correction for the terminal's height in large cities [dB]."""
    if frequency_mhz < 300.0:
        return np.asarray(8.29 * np.log10(1.54 * h_ut_m) ** 2 - 1.1)
    return np.asarray(3.2 * np.log10(11.75 * h_ut_m) ** 2 - 4.97)
