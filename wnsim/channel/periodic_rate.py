"""Bits carried by a rate that repeats, and when they are carried, with outages."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from wnsim.core.units import Floats

# Rounding of a number of bits: absolute, and relative.
SLACK_BITS, SLACK = 1e-6, 1e-12


class PeriodicRate:
    """Piecewise linear rate that repeats after a period.

    Parameters
    ----------
    samples : (S, 2) instants [s] and rates [bit/s]; before the first, its rate holds
    end_s : end of the first pass, after the last instant [s]
    linear : whether rates between samples are interpolated, rather than held
    """

    def __init__(self, samples: Floats, end_s: float, *, linear: bool) -> None:
        self._when_s = np.append(samples[:, 0], end_s)
        self._rate_bps = samples[:, 1]
        length_s = np.diff(self._when_s)
        self._slope = np.zeros(length_s.size)
        if linear:
            self._slope[:-1] = np.diff(self._rate_bps) / length_s[:-1]
        bits = length_s * (self._rate_bps + 0.5 * self._slope * length_s)
        # Bits from the first instant to each, and those of a pass.
        self._bits = np.concatenate([[0.0], np.cumsum(bits)])
        self._period_s = float(self._when_s[-1] - self._when_s[0])

    def carried(self, t_s: float) -> float:
        """Return the bits from the first instant to another one [bit]; negative before it."""
        since_s = t_s - float(self._when_s[0])
        if since_s < 0.0:
            return since_s * float(self._rate_bps[0])
        passes, within_s = divmod(since_s, self._period_s)
        place = self._piece(self._when_s, float(self._when_s[0]) + within_s)
        rest_s = max(float(self._when_s[0]) + within_s - float(self._when_s[place]), 0.0)
        part = rest_s * (self._rate_bps[place] + 0.5 * self._slope[place] * rest_s)
        return float(passes * self._bits[-1] + self._bits[place] + part)

    def when_s(self, bits: float) -> float:
        """Return the first instant at which so many bits are carried [s]; infinite if never."""
        first_s, rate_bps = float(self._when_s[0]), float(self._rate_bps[0])
        if bits <= 0.0:
            return first_s + bits / rate_bps if rate_bps > 0.0 else first_s
        whole = float(self._bits[-1])
        if whole <= 0.0:
            return math.inf
        # Sums of rounded numbers must not miss the end of a piece.
        slack = SLACK_BITS + SLACK * bits
        passes = max(math.ceil((bits - slack) / whole) - 1, 0)
        rest = bits - passes * whole
        place = min(int(np.searchsorted(self._bits, rest - slack)), self._slope.size)
        place = max(place - 1, 0)
        missing = rest - float(self._bits[place])
        rate_bps, slope = float(self._rate_bps[place]), float(self._slope[place])
        # Root of rate x + slope x^2 / 2 = missing, in the form that allows a slope of zero.
        root = math.sqrt(max(rate_bps**2 + 2.0 * slope * missing, 0.0))
        within_s = 2.0 * missing / (rate_bps + root) if rate_bps + root > 0.0 else 0.0
        return passes * self._period_s + float(self._when_s[place]) + within_s

    def arrivals_s(
        self, now_s: float, bits: Sequence[float], dark_s: Sequence[tuple[float, float]]
    ) -> Floats:
        """Return when numbers of bits, counted from an instant, are carried [s].

        Parameters
        ----------
        now_s : the instant [s]
        bits : (n,) numbers of bits
        dark_s : start and end of outages, by start [s]

        Returns
        -------
        (n,) instants, infinite if never [s]
        """
        arrivals_s = np.full(len(bits), math.inf)
        missing = np.array(bits, dtype=np.float64)
        for begin_s, end_s in _light(now_s, math.inf, dark_s):
            base = self.carried(begin_s)
            for place in np.flatnonzero(np.isinf(arrivals_s)).tolist():
                reached_s = max(self.when_s(base + float(missing[place])), begin_s)
                if reached_s <= end_s:
                    arrivals_s[place] = reached_s
            if not np.isinf(arrivals_s).any() or math.isinf(end_s):
                break
            missing -= self.carried(end_s) - base
        return arrivals_s

    def carried_between(
        self, now_s: float, until_s: float, dark_s: Sequence[tuple[float, float]]
    ) -> float:
        """Return the bits carried between two instants, outages excluded [bit]."""
        return sum(
            self.carried(end_s) - self.carried(begin_s)
            for begin_s, end_s in _light(now_s, until_s, dark_s)
        )

    @staticmethod
    def _piece(when_s: Floats, t_s: float) -> int:
        """Return the piece that an instant of the first pass is in."""
        return min(int(np.searchsorted(when_s, t_s, side="right")), when_s.size - 1) - 1


def _light(
    now_s: float, until_s: float, dark_s: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Return the intervals between two instants that no outage covers [s]."""
    light: list[tuple[float, float]] = []
    for since_s, over_s in dark_s:
        if since_s >= until_s:
            break
        if since_s > now_s:
            light.append((now_s, since_s))
        now_s = max(now_s, over_s)
    return [*light, (now_s, until_s)] if now_s < until_s else light
