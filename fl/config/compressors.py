"""Compressors: how devices round or replace the values of their updates before they are sent."""

from __future__ import annotations

from typing import Literal

from wnsim.core.params import parameters


@parameters
class Nearest:
    """Rounding to the nearest value that `bits_per_parameter` can express, with error feedback.

    Without a compressor values are rounded at random, without bias.

    Sources: Seide, Fu, Droppo, Li and Yu, "1-bit stochastic gradient descent and its application to
    data-parallel distributed training of speech DNNs", Interspeech 2014, for error feedback, here
    of adapters in place of gradients, and of the levels of `bits_per_parameter`.

    Parameters
    ----------
    feedback : whether what rounding has left out of an update is added to the device's next one
    """

    model: Literal["nearest"] = "nearest"
    feedback: bool = True
