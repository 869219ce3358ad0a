"""Fine-tuning methods that send, or train, a part of the factors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Alpha, LearningRate, Rank, Share


@parameters
class ChocoLora:
    """LoRA gossip with compressed differences to public copies of the factors (CHOCO-SGD).

    The compressor is the choice of the largest entries, then the rounding of
    `fl.bits_per_parameter`. It is for protocols without a server.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `local`
    keep : share of the entries of a difference that are sent, the largest over all layers; 1: all
    gamma : step towards the mean of the neighbors' public copies; with all entries and 1, the
        method is gossip
    """

    model: Literal["choco-lora"] = "choco-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3
    keep: Share = 0.1
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.3
