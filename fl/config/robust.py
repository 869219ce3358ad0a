"""Robust aggregation rules, which bound the influence of a minority of wrong updates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters


@parameters
class Median:
    """Coordinate-wise median over the devices that have an entry active, the receiver included.

    `weights` is ignored: a Byzantine device could claim any number of examples.
    """

    model: Literal["median"] = "median"


@parameters
class TrimmedMean:
    """Coordinate-wise mean without the largest and the smallest values; `weights` is ignored.

    Parameters
    ----------
    trim : share of the devices with an active entry whose values are dropped at each end, rounded
        down to whole devices
    """

    model: Literal["trimmed-mean"] = "trimmed-mean"
    trim: Annotated[float, Field(gt=0, lt=0.5)] = 0.2


@parameters
class NormClip:
    """Clipping of the updates' differences from the local update, before the method's mean.

    Parameters
    ----------
    factor : bound of the norm of a difference over the median norm of the received ones
    """

    model: Literal["norm-clip"] = "norm-clip"
    factor: Annotated[float, Field(gt=0, le=1e6)] = 1.0


@parameters
class Clair:
    """Detection of contaminated devices by pairwise differences, and alignment with the others.

    It is for methods that average both factors, among devices without a server. A device keeps its
    own part of the products in a subspace that benign devices share, and takes their mean for the
    rest; `weights` is ignored.

    Parameters
    ----------
    penalty : factor of the weight of the block-sparse part; larger: fewer devices are contaminated
    """

    model: Literal["clair"] = "clair"
    penalty: Annotated[float, Field(gt=0, le=1e3)] = 1.0
