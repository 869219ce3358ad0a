"""Path loss of TR 38.901 in offices.

Sources: 3GPP TR 38.901, Tables 7.4.1-1 (path loss, standard deviation of shadow fading), 7.4.2-1
(line-of-sight probability), 7.5-6 (decorrelation distance of shadow fading) and 7.6.3.1-2
(decorrelation distance of the line-of-sight state).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from wnsim.channel.cellular import Cellular, frequency_db, spread
from wnsim.core.params import parameters
from wnsim.core.units import Floats


@parameters
class Inh(Cellular):
    """Indoor office of TR 38.901, on one floor.

    Parameters
    ----------
    variant : `mixed` or `open` office; they differ in the LOS probability
    """

    title: ClassVar[str] = "InH"
    site_m: ClassVar[tuple[float, float]] = (3.0, 3.0)
    terminal_m: ClassVar[tuple[float, float]] = (1.0, 1.0)
    range_m: ClassVar[tuple[float, float]] = (1.0, 150.0)
    los_correlation_m: ClassVar[float] = 10.0
    sigmas_db: ClassVar[tuple[float, float]] = (8.03, 3.0)
    correlations_m: ClassVar[tuple[float, float]] = (6.0, 10.0)
    model: Literal["inh"] = "inh"
    variant: Literal["mixed", "open"] = "mixed"

    def los_db(self, d2d_m: Floats, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                 frequency_hz: float) -> Floats:  # fmt: skip
        """Return the LOS path loss [dB]."""
        return np.asarray(32.4 + 17.3 * np.log10(d3d_m) + frequency_db(frequency_hz))

    def nlos_db(self, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                   frequency_hz: float) -> Floats:  # fmt: skip
        """Return the NLOS path loss [dB]."""
        return np.asarray(17.3 + 38.3 * np.log10(d3d_m) + 24.9 * np.log10(frequency_hz / 1e9))

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability, which does not depend on the heights."""
        # 1 up to a first distance, then one exponential, and another beyond a second distance.
        first_m, near_m, second_m, far_m, share = {
            "mixed": (1.2, 4.7, 6.5, 32.6, 0.32),
            "open": (5.0, 70.8, 49.0, 211.7, 0.54),
        }[self.variant]
        d2d_m = np.asarray(d2d_m, dtype=np.float64)
        near = np.exp(-np.maximum(d2d_m - first_m, 0.0) / near_m)
        far = share * np.exp(-np.maximum(d2d_m - second_m, 0.0) / far_m)
        # TR 38.901: the limit belongs to the far part of the mixed office, to the near one of the
        # open.
        last_near = d2d_m < second_m if self.variant == "mixed" else d2d_m <= second_m
        return spread(np.where(last_near, near, far), h_bs_m, h_ut_m)
