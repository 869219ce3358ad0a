"""Fine-tuning methods whose server aggregates products of factors."""

from __future__ import annotations

from typing import Literal

from wnsim.core.params import parameters

from .base import Alpha, LearningRate, Rank


@parameters
class Flora:
    """LoRA whose server stacks the factors of all clients, which add the product and start anew.

    It is for protocol `server`.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    residual_rank : rank to which the sum of all products is truncated on a device; at least the
        narrower side of a layer: no truncation
    """

    model: Literal["flora"] = "flora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3
    residual_rank: Rank = 64


@parameters
class FedSvd:
    """LoRA of which B is trained and averaged, and A made orthonormal again by an SVD of B A.

    It is for protocol `server`.

    Parameters
    ----------
    rank, alpha : as for `lora`
    learning_rate : learning rate of the optimizer, higher than for both factors
    """

    model: Literal["fedsvd"] = "fedsvd"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 5e-3
