"""Multipath delays: plane-wave coefficients that make a channel frequency selective.

A tap l of power P_l and delay tau_l is a sum of the link's plane waves with separate phases, and
the response at the frequency f from the carrier is the sum of P_l^(1/2) h_l exp(-j 2 pi f tau_l).
Taps share the directions of a link's waves, but their phases differ by a random one per tap and by
multiples of 2 pi l s_m / M in a random order s of the waves, so that no two taps are correlated,
neither over links nor over time on one link. Summed over the taps, each wave has one coefficient
per subband.

Sources: 3GPP TR 38.901, Tables 7.7.2-1 to 7.7.2-5 (TDL-A to TDL-E: `tdl_38901.csv` has their
normalized delays and the powers of their Rayleigh taps; the line-of-sight tap of D and E is the
first) and clause 7.7.3 (scaling of delays).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from wnsim.core import streams
from wnsim.core.units import Floats, Ints, db_to_linear


@dataclass(frozen=True)
class Taps:
    """Tapped delay line.

    Parameters
    ----------
    delay : (taps,) delays in units of the delay spread
    power : (taps,) mean powers of the Rayleigh part; they and the LOS power sum to 1
    sight : power of the line-of-sight tap, at delay 0
    """

    delay: Floats
    power: Floats
    sight: float


@cache
def profile(name: str) -> Taps:
    """Return a profile A to E of TR 38.901."""
    text = resources.files("wnsim.channel").joinpath("tdl_38901.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    rows = [row for row in csv.DictReader(lines) if row["profile"] == name]
    power = db_to_linear([float(row["power_db"]) for row in rows])
    sight = np.array([row["fading"] == "los" for row in rows])
    power = power / power.sum()
    delay = np.array([float(row["delay"]) for row in rows])
    return Taps(delay[~sight], power[~sight], float(power[sight].sum()))


class Delays:
    """Coefficients of all links' plane waves, for the Rayleigh part alone, of mean power 1.

    Parameters
    ----------
    taps : tapped delay line
    delay_spread_s : root mean square delay spread [s]
    bandwidth_hz : bandwidth around the carrier [Hz]
    subbands : B, number of equal subbands, with the response at their centers
    seed : seed of the scenario
    """

    def __init__(
        self, taps: Taps, delay_spread_s: float, bandwidth_hz: float, subbands: int, seed: int
    ) -> None:
        self.subbands = subbands
        centre_hz = ((np.arange(subbands) + 0.5) / subbands - 0.5) * bandwidth_hz
        angle = -2.0 * math.pi * np.outer(taps.delay * delay_spread_s, centre_hz)
        amplitude = np.sqrt(taps.power / taps.power.sum())
        # [taps, subbands]
        self._taps = amplitude[:, None] * (np.cos(angle) + 1j * np.sin(angle))
        self._key = streams.key(seed, "fading taps")

    def coefficients(
        self, low: Ints, high: Ints, phase: NDArray[np.uint16], order: Ints
    ) -> NDArray[np.complex128]:
        """Return the coefficients of links' waves.

        Parameters
        ----------
        low, high : (L,) ends of the links
        phase : (L, M) phase of each wave, in fractions 2**-16 of a turn
        order : (L, M) random order of the waves, at least as many as taps

        Returns
        -------
        (L, B, M) coefficients
        """
        taps, waves = self._taps.shape[0], order.shape[1]
        own = 2.0 * math.pi * streams.uniforms(
            self._key, low[:, None], high[:, None], np.arange(taps)
        )  # fmt: skip
        turn = 2.0 * math.pi / waves * np.outer(np.arange(taps), np.arange(waves))
        # [L, B, taps] @ [taps, M], the waves in order
        ordered = (np.exp(1j * own)[:, None] * self._taps.T) @ np.exp(1j * turn)
        values = np.take_along_axis(ordered, order[:, None], axis=-1)
        return np.asarray(values * np.exp((2j * math.pi / 65536.0) * phase)[:, None])
