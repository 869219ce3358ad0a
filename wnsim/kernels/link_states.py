"""Kernels of link states: soft states of a random field, and the mean power of two states."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from wnsim.core.units import Floats


@compiled
def soft(quantile: Floats, field: Floats, steepness: float) -> Floats:
    """Return soft states; see `wnsim.channel.link_states`.

    Parameters
    ----------
    quantile : (L, T) quantiles of the states' probabilities, infinite for 0 and 1
    field : (L, T) field of unit variance
    steepness : of the transition between the states

    Returns
    -------
    (L, T) 1/2 + arctan(steepness (quantile - field)) / pi
    """
    result = np.empty(field.shape)
    for link in range(field.shape[0]):
        for instant in range(field.shape[1]):
            ahead = quantile[link, instant] - field[link, instant]
            result[link, instant] = 0.5 + math.atan(steepness * ahead) / math.pi
    return result


@compiled
def mixed_db(state: Floats, in_db: Floats, out_db: Floats) -> Floats:
    """Return the gain of links between two states.

    Parameters
    ----------
    state : (L, T) soft state s, 0 to 1
    in_db, out_db : (L, T) gain where the state holds, and where it does not [dB]

    Returns
    -------
    (L, T) gain of the power s^2 p_in + (1 - s^2) p_out; `in_db` where the state is 1 [dB]
    """
    result = np.empty(state.shape)
    for link in range(state.shape[0]):
        for instant in range(state.shape[1]):
            s = state[link, instant]
            result[link, instant] = in_db[link, instant]
            if s < 1.0:
                share = s * s
                power = (1.0 - share) * 10.0 ** (out_db[link, instant] / 10.0)
                if s > 0.0:
                    power = share * 10.0 ** (in_db[link, instant] / 10.0) + power
                result[link, instant] = 10.0 * math.log10(power) if power > 0.0 else -math.inf
    return result
