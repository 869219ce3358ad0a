"""Rate control of Wi-Fi: by which knowledge a station selects the rate of its next frame.

Sources: `minstrel` follows the algorithm of that name in the Linux kernel (D. Smithies and F.
Fietkau; net/mac80211, "Minstrel rate control algorithm").
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters


@parameters
class MeanSnr:
    """The rate follows from the mean SNR of the link, which its transmitter knows at no cost."""

    model: Literal["mean-snr"] = "mean-snr"


@parameters
class LastSnr:
    """The rate follows from the SNR of the last frame that was answered, fading included.

    Receivers report it in their answers, at no cost. The mean SNR counts until the first answer,
    and for retransmissions if it is lower.
    """

    model: Literal["last-snr"] = "last-snr"


@parameters
class Minstrel:
    """The rate follows from which packets were acknowledged at each rate before.

    Every `interval_s` the success ratio of each rate that was used is averaged with its earlier
    ones. Frames are then sent at the rate of the highest expected throughput, whose ratio must be
    at least 10 %. After two failures in a row the rate of the second highest is used, after four
    the fastest one with a ratio of at least 95 %, or the safest one, and after six the slowest one.
    A share of the frames is sent, at first, at a random rate that could be better than the best
    one.

    Scope: a link begins with the rate of its mean SNR; multicast uses the mean SNR.

    Parameters
    ----------
    interval_s : time between two updates of the ratios of a link [s]
    sample_share : share of frames that try another rate
    smoothing : weight of the earlier ratios in an update
    """

    model: Literal["minstrel"] = "minstrel"
    interval_s: float = Field(default=0.1, gt=0, le=100)
    sample_share: float = Field(default=0.1, ge=0, le=1)
    smoothing: float = Field(default=0.75, ge=0, lt=1)


RateControl = Annotated[MeanSnr | LastSnr | Minstrel, Field(discriminator="model")]
