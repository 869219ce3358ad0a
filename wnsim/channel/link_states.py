"""Link states, such as line of sight, as thresholded random fields.

Source: 3GPP TR 38.901, clause 7.6.3.3 (line-of-sight state from a thresholded Gaussian field, with
a soft transition).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from wnsim.channel.position_cache import CachedPositions
from wnsim.channel.shadowing import SQUARED_EXPONENTIAL, Field
from wnsim.core.units import Floats, Ints

# Width of the transition between the line-of-sight states, as the standard deviation of a
# Gaussian ramp in units of the (unit variance) field: 10 % to 90 % within 0.4, like the arctan
# ramp of TR 38.901 clause 7.6.3.3 at a few GHz.
LOS_RAMP = 0.15
# A state this close to 0 or 1 is rounded, which saves the other state's shadow fading.
_LOS_CERTAIN = 1e-6
_LOS_WAVES = 64


class Threshold:
    """Link states: 1 if the state holds, 0 if not, and in between in the transition zone.

    A Gaussian field, transformed by its distribution function, is compared with the probability
    of the state at the link's length. The comparison is a Gaussian ramp of deviation
    `LOS_RAMP` in the field's units, whose threshold is widened so that the mean state equals the
    probability exactly. TR 38.901 gives the field's decorrelation distance, not its shape; with
    an exponential one the state would flicker at each meter, so the field here is squared
    exponential: the transition from LOS to NLOS takes about ten meters.

    Parameters
    ----------
    correlation_m : decorrelation distance of the state [m]
    waves : number of plane waves of a field with an exponential autocorrelation
    draws : generator of wave vectors and phases
    """

    def __init__(self, correlation_m: float, waves: int, draws: np.random.Generator) -> None:
        # The spectrum has no tail, so fewer waves do than for an exponential autocorrelation.
        waves = max(_LOS_WAVES, waves // 4)
        self.field = Field(correlation_m, waves, draws, SQUARED_EXPONENTIAL)

    def states(
        self,
        probabilities: Sequence[Floats],
        positions_m: Floats,
        first: Ints,
        second: Ints,
        cached: CachedPositions | None = None,
    ) -> list[Floats]:
        """Return nested states of links between pairs of n moving positions.

        Parameters
        ----------
        probabilities : (L, T) probability of each state; a state holds wherever a less probable one
            does
        positions_m : (n, T, 2) positions [m]
        first, second : (L,) indices of the ends of each link
        cached : cached positions, if field values are to be kept

        Returns
        -------
        (L, T) weight of each state, 0 to 1
        """
        states = [np.array(probability, dtype=np.float64) for probability in probabilities]
        open_links = np.zeros(first.size, dtype=bool)
        for state in states:
            open_links |= np.any((state > 0.0) & (state < 1.0), axis=1)
        if not open_links.any():
            return states
        field = self.field.between(positions_m, first[open_links], second[open_links], cached)
        for state in states:
            threshold = ndtri(state[open_links]) * math.sqrt(1.0 + LOS_RAMP**2)
            weight = ndtr((threshold - field) / LOS_RAMP)
            weight[weight < _LOS_CERTAIN] = 0.0
            weight[weight > 1.0 - _LOS_CERTAIN] = 1.0
            state[open_links] = weight
        return states
