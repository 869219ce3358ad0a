"""Link states, such as line of sight, as thresholded random fields.

Source: 3GPP TR 38.901 V19.4.0, clause 7.6.3.3 (soft line-of-sight state).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from wnsim import kernels
from wnsim.channel.shadowing import SQUARED_EXPONENTIAL, Field
from wnsim.core.units import Floats, Ints

_LOS_WAVES = 64


class Threshold:
    """Soft link states: near 1 where a state holds, near 0 elsewhere, in between at its edges.

    A state is 1/2 + arctan(sqrt(20/lambda) (F - G)) / pi, with a field G of unit variance and the
    quantile F of its probability at the link's length: it is above 1/2 with this probability, and
    its transition is the narrower the shorter the wavelength lambda [m] is. TR 38.901 gives the
    field's decorrelation distance, not its shape; with an exponential one the state would flicker
    at each meter, so the field here is squared exponential.

    Parameters
    ----------
    correlation_m : decorrelation distance of the state [m]
    waves : number of plane waves of a field with an exponential autocorrelation
    draws : generator of wave vectors and phases
    wavelength_m : wavelength of the carrier [m]
    """

    def __init__(
        self, correlation_m: float, waves: int, draws: np.random.Generator, wavelength_m: float
    ) -> None:
        self._steepness = math.sqrt(20.0 / wavelength_m)
        # The spectrum has no tail, so fewer waves do than for an exponential autocorrelation.
        waves = max(_LOS_WAVES, waves // 4)
        self.field = Field(correlation_m, waves, draws, SQUARED_EXPONENTIAL)

    def states(
        self,
        probabilities: Sequence[Floats],
        positions_m: Floats,
        first: Ints,
        second: Ints,
    ) -> list[Floats]:
        """Return nested states of links between pairs of n moving positions.

        Parameters
        ----------
        probabilities : (L, T) probability of each state; a state holds wherever a less probable one
            does
        positions_m : (n, T, 2 or 3) positions [m]
        first, second : (L,) indices of the ends of each link

        Returns
        -------
        (L, T) each soft state, 0 to 1
        """
        from scipy.special import ndtri

        # States of probability 0 or 1 do not depend on the field.
        if not any(((each > 0.0) & (each < 1.0)).any() for each in probabilities):
            return list(probabilities)
        field = self.field.between(positions_m, first, second)
        return [
            kernels.link_states.soft(ndtri(each), field, self._steepness) for each in probabilities
        ]
