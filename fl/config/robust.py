"""How updates are put together so that a few wrong ones do little harm."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters


@parameters
class Median:
    """Each entry is the median over the devices that have it active, one's own among them.

    All count alike, whatever `weights` says: who lies would say that it has many examples.
    """

    model: Literal["median"] = "median"


@parameters
class TrimmedMean:
    """Each entry is the mean without the largest and the smallest values; all count alike.

    Parameters
    ----------
    trim : share of the devices that have an entry active whose values are left out, at each end,
        rounded down to whole devices
    """

    model: Literal["trimmed-mean"] = "trimmed-mean"
    trim: Annotated[float, Field(gt=0, lt=0.5)] = 0.2


@parameters
class NormClip:
    """What an update differs by from one's own is shortened to a bound, then averaged as ever.

    Parameters
    ----------
    factor : the bound over the median norm of what was heard then
    """

    model: Literal["norm-clip"] = "norm-clip"
    factor: Annotated[float, Field(gt=0, le=1e6)] = 1.0
