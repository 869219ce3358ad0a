"""Shares of an adapter that clients carry in a round, from what they have reported."""

from __future__ import annotations

import numpy as np

from wnsim.core.units import Floats

_HALVINGS = 100


def shares_in_time(round_s: float, fixed_s: Floats, whole_s: Floats, least: float) -> Floats:
    """Return the largest shares with which clients end a round in time, (clients,).

    Parameters
    ----------
    round_s : duration of the round [s]
    fixed_s : (clients,) part of the round that does not depend on the share, infinite for a link
        that carries nothing [s]
    whole_s : (clients,) time to carry the whole adapter, infinite for a link that carries nothing;
        a share takes as large a share of it [s]
    least : smallest share
    """
    left_s = np.where(np.isfinite(fixed_s), round_s - fixed_s, 0.0)
    return np.clip(left_s / whole_s, least, 1.0)


def shares_of_mean(mean: float, fixed_s: Floats, whole_s: Floats, least: float) -> Floats:
    """Return shares of a given mean with which the slowest client ends as early as possible.

    Clients whose shares are neither the smallest nor the largest end at the same time, which is
    found by bisection. Those whose links carry nothing have the smallest share.

    Parameters
    ----------
    mean : of the shares, at least `least`
    fixed_s, whole_s, least : see `shares_in_time`
    """
    ends_s = fixed_s + whole_s
    high_s = float(ends_s[np.isfinite(ends_s)].max(initial=0.0))
    low_s = min(float(fixed_s.min()), high_s)
    for _ in range(_HALVINGS):
        middle_s = (low_s + high_s) / 2.0
        if shares_in_time(middle_s, fixed_s, whole_s, least).mean() < mean:
            low_s = middle_s
        else:
            high_s = middle_s
    return shares_in_time(high_s, fixed_s, whole_s, least)
