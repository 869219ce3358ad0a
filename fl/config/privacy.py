"""Differential privacy of what devices release."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wnsim.core.params import parameters

_MOST_NOISE = 1000.0


@parameters
class Privacy:
    """Differential privacy of each device: the change in a round is clipped, and noise is added.

    The device itself goes on from the noisy values, so that whatever it sends follows from them.
    The guarantee is against anyone who receives its messages, and between any two sets of examples
    that the device may have, whose changes are up to twice `clip` apart. Masks and prompt centroids
    that follow from the examples are not covered.

    Parameters
    ----------
    clip : upper bound of the norm of the change of all trained parameters in a round
    noise_multiplier : standard deviation of the noise of each trained parameter, relative to `clip`
    delta : probability that epsilon of `rounds.csv` does not bound the privacy loss
    """

    clip: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    noise_multiplier: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5

    def __post_init__(self) -> None:
        if self.clip * self.noise_multiplier > _MOST_NOISE:
            raise ValueError(
                "clip times noise_multiplier, the standard deviation of the noise, must be at most "
                f"{_MOST_NOISE:g}, so that values fit into half precision, got "
                f"{self.clip * self.noise_multiplier:g}"
            )
