"""Path loss of satellites and high-altitude platforms, of TR 38.811.

All terms follow from the elevation angle of the higher end as seen from the lower one, and from the
slant range: free space in line of sight, clutter loss in addition without. As in the standard, the
tables hold at the reference elevation angle nearest to that of the link, from 10 to 90 degrees; the
S-band columns hold below 6 GHz and the Ka-band ones above.

Scope: outdoor links; the loss into buildings is that of `channel.penetration`. Absorption by gases,
scintillation, rain and clouds are left out: together about 1 dB and less below 6 GHz at most
latitudes, and several decibels at low elevations in Ka band. The decorrelation distances are those
of the urban tables; that of the line-of-sight state, for which there is none, is 50 m, as in TR
38.901, Table 7.6.3.1-2.

Sources: 3GPP TR 38.811 V15.4.0, Tables 6.6.1-1 (probability of line of sight), 6.6.2-1 to 6.6.2-3
(shadow fading and clutter loss, in `ntn_38811.csv`), eq. (6.6-2) (free space); Tables 6.7.2-3 and
-4 (decorrelation distances).
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from wnsim.channel.mean_loss import BuildingsOnly
from wnsim.channel.propagation import distance_m
from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints

# Carrier from which on the columns of the Ka band hold [Hz].
_KA_HZ = 6e9
# Carriers of the bands of the tables [Hz].
_BANDS_HZ = ((1.9e9, 4e9), (19e9, 40e9))
_REFERENCES = 9


@parameters
class NonTerrestrial(BuildingsOnly):
    """Satellite or high-altitude platform, TR 38.811.

    Parameters
    ----------
    environment : surroundings of the lower end; `suburban` is that of rural areas, too
    """

    title: ClassVar[str] = "NTN"
    los_correlation_m: ClassVar[float] = 50.0
    range_m: ClassVar[tuple[float, float]] = (0.0, np.inf)
    model: Literal["ntn"] = "ntn"
    environment: Literal["dense-urban", "urban", "suburban"] = "suburban"

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the mean path loss [dB] in one line-of-sight state (eq. 6.6-2)."""
        loss_db = 32.45 + 20.0 * np.log10((frequency_hz / 1e9) * distance_m(d2d_m, h_bs_m, h_ut_m))
        if los:
            return np.asarray(loss_db)
        clutter_db = self._column("clutter_db", frequency_hz)
        return np.asarray(loss_db + clutter_db[_reference(d2d_m, h_bs_m, h_ut_m)])

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability."""
        percent = self._column("los_percent", 0.0)
        return np.asarray(percent[_reference(d2d_m, h_bs_m, h_ut_m)] / 100.0)

    def shadow_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the standard deviation of shadow fading [dB]."""
        sigma_db = self._column("los_sigma_db" if los else "nlos_sigma_db", frequency_hz)
        return np.asarray(sigma_db[_reference(d2d_m, h_bs_m, h_ut_m)])

    def shadow_correlation_m(self, los: bool) -> float:
        """Return the decorrelation distance of shadow fading [m]."""
        return 37.0 if los else 50.0

    def notes(self, h_bs_m: float, h_ut_m: float, frequency_hz: float) -> list[str]:
        """Return a note if the carrier is in neither band of the tables."""
        if any(low_hz <= frequency_hz <= high_hz for low_hz, high_hz in _BANDS_HZ):
            return []
        bands = "1.9 to 4 GHz and 19 to 40 GHz"
        return [f"{self.title} has tables for {bands}, not {frequency_hz / 1e9:g} GHz"]

    def _column(self, name: str, frequency_hz: float) -> Floats:
        """Return a column (9,) of the tables for an environment and a carrier."""
        return _table()[self.environment, "ka" if frequency_hz >= _KA_HZ else "s", name]


def _reference(d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Ints:
    """Return the index of the reference elevation angle that is nearest, 0 for 10 degrees."""
    rise_m = np.abs(np.asarray(h_bs_m, np.float64) - np.asarray(h_ut_m, np.float64))
    elevation_deg = np.degrees(np.arctan2(rise_m, np.asarray(d2d_m, np.float64)))
    nearest = np.floor(elevation_deg / 10.0 + 0.5).astype(np.int64)
    return np.clip(nearest, 1, _REFERENCES) - 1


@cache
def _table() -> dict[tuple[str, str, str], Floats]:
    """Return each column (9,) of the tables, by environment, band and name."""
    text = resources.files("wnsim.channel").joinpath("ntn_38811.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in csv.DictReader(lines):
        place = row.pop("environment"), row.pop("band")
        for name, value in row.items():
            found.setdefault((*place, name), []).append(float(value))
    return {place: np.array(values) for place, values in found.items()}
