"""What is trained, sent and merged."""

from __future__ import annotations

from typing import Literal

from wnsim.core.params import parameters

from .base import Alpha, Count, LearningRate, Rank, Share

PRESETS = {"paper-73": 0.27, "paper-86": 0.27 / 2.01}
"""Values of a message over those of lora's at the same rank (arXiv 2602.20492).

`paper-73`: the 73 % of the abstract, which in its tables are updated parameters; `paper-86`: its
tables' transmitted parameters, 0.27 % over 2.01 % of the model's. Why half of what is updated is
sent it never says: here half as many entries are active, which is our reading.
"""


@parameters
class Local:
    """Every device trains its own LoRA adapter and tells nobody.

    Parameters
    ----------
    rank : rank of the adapters
    alpha : the adapter is scaled by alpha / rank; twice the rank if not given
    learning_rate : of AdamW
    """

    model: Literal["local"] = "local"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3


@parameters
class Lora:
    """LoRA gossip: both factors are sent and averaged with the neighbors'.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `local`
    """

    model: Literal["lora"] = "lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3


@parameters
class FfaLora:
    """LoRA with a frozen A that all devices share; B alone is trained and averaged.

    Parameters
    ----------
    rank, alpha : as for `local`
    learning_rate : of AdamW; B alone is trained, at a higher rate than both factors
    """

    model: Literal["ffa-lora"] = "ffa-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 5e-3


@parameters
class LoriD:
    """LoRI with dense B: a frozen A for each device, B trained and averaged.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `ffa-lora`
    shared_a : whether all devices have the same A
    send_a : how A travels at first contact: `dense` or as its `seed`
    """

    model: Literal["lori-d"] = "lori-d"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 5e-3
    shared_a: bool = False
    send_a: Literal["dense", "seed"] = "dense"


@parameters
class LoriS:
    """LoRI with sparse B: a mask by one threshold over all layers, then B trained afresh under it.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `ffa-lora`
    density : share of the entries of B that are active, over all layers
    shared_a : whether all devices have the same A
    aggregation : as for `so-lora`
    calibration_batches : steps of training B without a mask, whose result is thresholded
    send_a : as for `lori-d`
    """

    model: Literal["lori-s"] = "lori-s"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 5e-3
    density: Share = 0.1
    shared_a: bool = False
    aggregation: Literal["active", "mean"] = "active"
    calibration_batches: Count = 50
    send_a: Literal["dense", "seed"] = "dense"


@parameters
class FullFt:
    """Full fine-tuning of every adapted linear layer, averaged with the neighbors': a ceiling.

    Parameters
    ----------
    learning_rate : of AdamW
    """

    model: Literal["full-ft"] = "full-ft"
    learning_rate: LearningRate = 5e-4


@parameters
class SoLora:
    """Sparse-and-orthogonal LoRA: frozen A per device, a static mask on B (arXiv 2602.20492).

    Parameters
    ----------
    rank, alpha : as for `local`
    learning_rate : of AdamW; B alone is trained, at a higher rate than both factors
    density : share of the entries of B that are active, over all layers; 0.54 if neither it nor a
        preset is given
    preset : in place of `density`: the one at which a message has as many values, over those of
        lora at the same rank, as the paper reports: `paper-73` 0.27, of the parameters that are
        updated; `paper-86` 0.134, of those that are transmitted (our reading: half as many are
        active)
    shared_a : whether all devices have the same A, which is not the paper's way: averages of B are
        then exact among devices of one task, and groups are told apart by the mixture alone
    a_init : law of the frozen A: `gaussian` N(0, 1/k), `kaiming` uniform, variance 1/(3k), or
        `block_qr`, exactly orthogonal between devices
    allocation : how the active entries are shared among layers: `size` in proportion to a layer's
        size times exp(entropy), `paper` by the softmax of the entropies (Eq. 22), or `uniform`
    mask : `grad`, the largest gradients at B = 0 (Eq. 18, by magnitude); `lori`, the largest of B
        after some steps without a mask, by one threshold over all layers; or `random`
    aggregation : `active`, over the devices whose mask covers an entry, or `mean`, over all
    calibration_prompts : prompts from which the layers' entropies are computed (Eq. 20)
    calibration_batches : batches over which the mask's gradients are summed, or steps of `lori`
    send_a : how A travels at first contact: `dense` (paper) or as its `seed`
    """

    model: Literal["so-lora"] = "so-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 5e-3
    density: Share | None = None
    preset: Literal["paper-73", "paper-86"] | None = None
    shared_a: bool = False
    a_init: Literal["gaussian", "kaiming", "block_qr"] = "gaussian"
    allocation: Literal["size", "paper", "uniform"] = "size"
    mask: Literal["grad", "lori", "random"] = "grad"
    aggregation: Literal["active", "mean"] = "active"
    calibration_prompts: Count = 64
    calibration_batches: Count = 4
    send_a: Literal["dense", "seed"] = "dense"

    def __post_init__(self) -> None:
        if self.density is not None and self.preset is not None:
            raise ValueError(
                f"density and preset exclude each other, got {self.density:g} and {self.preset}"
            )
