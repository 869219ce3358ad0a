"""Fine-tuning methods."""

from __future__ import annotations

from typing import Literal

from wnsim.core.params import parameters

from .base import Alpha, Count, LearningRate, Rank, RankOrFull, Share

PRESETS = {"paper-73": 0.27, "paper-86": 0.27 / 2.01}
"""Parameters of a message over those of lora at the same rank (arXiv 2602.20492).

`paper-73`: the 73 % of the abstract, which are updated parameters in the paper's tables;
`paper-86`: the transmitted parameters of the tables, 0.27 % over 2.01 % of the model's. The paper
does not say why half of the updated parameters are sent: here half as many entries are active,
which is our reading.
"""


@parameters
class Local:
    """Training on each device, without communication.

    Parameters
    ----------
    rank : rank of the adapters; or `full` for every entry of the adapted weights, as in `full-ft`
    alpha : scale of the adapter is alpha / rank; default: twice the rank
    learning_rate : learning rate of the optimizer
    """

    model: Literal["local"] = "local"
    rank: RankOrFull = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3

    def __post_init__(self) -> None:
        _check_full(self.rank, self.alpha)


@parameters
class Lora:
    """LoRA whose factors are both sent and averaged with those of the neighbors.

    Parameters
    ----------
    rank : rank of the adapters
    alpha, learning_rate : as for `local`
    """

    model: Literal["lora"] = "lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3


@parameters
class FfaLora:
    """LoRA with a frozen A common to all devices; only B is trained and averaged.

    Parameters
    ----------
    rank, alpha : as for `lora`
    learning_rate : learning rate of the optimizer, higher than for both factors
    """

    model: Literal["ffa-lora"] = "ffa-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 5e-3


@parameters
class LoriD:
    """LoRI with a dense B: a frozen A for each device, B trained and averaged.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `ffa-lora`
    shared_a : whether all devices have the same A
    send_a : encoding of A at first contact: `dense` or as its `seed`
    """

    model: Literal["lori-d"] = "lori-d"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 5e-3
    shared_a: bool = False
    send_a: Literal["dense", "seed"] = "dense"


@parameters
class LoriS:
    """LoRI with a sparse B: a mask by one threshold over all layers, then B trained under it.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `ffa-lora`
    density : share of active entries of B, over all layers
    shared_a : whether all devices have the same A
    aggregation : as for `so-lora`
    calibration_batches : training steps without a mask, whose result is thresholded
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
    """Full fine-tuning of every adapted linear layer, averaged with the neighbors.

    Parameters
    ----------
    learning_rate : learning rate of the optimizer
    """

    model: Literal["full-ft"] = "full-ft"
    learning_rate: LearningRate = 5e-4


@parameters
class SoLora:
    """Sparse-and-orthogonal LoRA: a frozen A per device, a static mask on B (arXiv 2602.20492).

    Parameters
    ----------
    rank, alpha : as for `lora`
    learning_rate : learning rate of the optimizer, higher than for both factors
    density : share of active entries of B, over all layers; default without a preset: 0.54
    preset : in place of `density`, the parameters of a message over those of lora at the same rank,
        as the paper reports them: `paper-73` 0.27, the updated parameters; `paper-86` 0.134, the
        transmitted ones (our reading: half as many are active)
    shared_a : whether all devices have the same A, unlike in the paper: averages of B are then
        exact among devices of one task, and groups are distinguished by the mixture only
    a_init : initialisation of the frozen A: `gaussian` N(0, 1/k), `kaiming` uniform, variance
        1/(3k), or `block-qr`, exactly orthogonal between devices
    allocation : distribution of the active entries over layers: `size` in proportion to a layer's
        size times exp(entropy), `paper` by the softmax of the entropies (Eq. 22), or `uniform`
    mask : `grad`, the largest gradients at B = 0 (Eq. 18, by magnitude); `lori`, the largest
        entries of B after some steps without a mask, by one threshold over all layers; `random`; or
        `common`, random and the same on all devices, which have one A and equal densities of layers
    aggregation : `active`, over the devices whose mask covers an entry, or `mean`, over all devices
    calibration_prompts : prompts from which the entropies of the layers are computed (Eq. 20)
    calibration_batches : batches over which the gradients of the mask are summed, or steps of
        `lori`
    send_a : encoding of A at first contact: `dense` (paper) or as its `seed`
    adaptive : whether a device sends only its active entries of largest magnitude, as many as its
        links carry before the deadline by the times of its last messages; an A of its own is sent
        whole at first contact
    renew_below : for data that drift: share of the active entries, beyond those that coincide by
        chance, that a device must select again on its new data; with fewer, it renews its mask, and
        an A of its own with a B of zero, and sends them to all as at first contact; none: never
    """

    model: Literal["so-lora"] = "so-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 5e-3
    density: Share | None = None
    preset: Literal["paper-73", "paper-86"] | None = None
    shared_a: bool = False
    a_init: Literal["gaussian", "kaiming", "block-qr"] = "gaussian"
    allocation: Literal["size", "paper", "uniform"] = "size"
    mask: Literal["grad", "lori", "random", "common"] = "grad"
    aggregation: Literal["active", "mean"] = "active"
    calibration_prompts: Count = 64
    calibration_batches: Count = 4
    send_a: Literal["dense", "seed"] = "dense"
    adaptive: bool = False
    renew_below: Share | None = None

    @property
    def has_common_mask(self) -> bool:
        """Whether all devices have the same active entries."""
        return self.mask == "common" or (self.density == 1.0 and self.preset is None)

    def __post_init__(self) -> None:
        if self.mask == "common" and not (self.shared_a and self.allocation == "uniform"):
            raise ValueError(
                "mask common needs shared_a: true and allocation: uniform, since nothing of a "
                f"device decides on it, got {str(self.shared_a).lower()} and {self.allocation}"
            )
        if self.renew_below is not None and (
            self.has_common_mask or self.mask == "random" or self.a_init == "block-qr"
        ):
            raise ValueError(
                "renew_below compares masks by data, and draws an A of its own anew, got mask "
                f"{self.mask} of density {self.density or 1:g} and a_init {self.a_init}"
            )
        if self.density is not None and self.preset is not None:
            raise ValueError(
                f"density and preset exclude each other, got {self.density:g} and {self.preset}"
            )


@parameters
class RoLora:
    """LoRA that trains and averages one factor at a time: B in odd rounds, A in even ones.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    """

    model: Literal["rolora"] = "rolora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3


@parameters
class AdfLora:
    """LoRA that trains one factor at a time and averages both: first B, then A, in turn.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    """

    model: Literal["adf-lora"] = "adf-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3


@parameters
class TadLora:
    """LoRA that trains one factor for several rounds, then the other one, and averages both.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    period : rounds after which the trained factor changes
    """

    model: Literal["tad-lora"] = "tad-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3
    period: Count = 5


@parameters
class Centralised:
    """Training on the examples of all devices in one place, without communication: an upper line.

    One adapter is trained, in as many steps as all devices have together, and all devices are
    tested with it. Each is charged the computation of all steps.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `local`
    """

    model: Literal["centralised"] = "centralised"
    rank: RankOrFull = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3

    def __post_init__(self) -> None:
        _check_full(self.rank, self.alpha)


@parameters
class FedSaLora:
    """LoRA whose factors are both trained; A is averaged, and B stays on its device.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    """

    model: Literal["fedsa-lora"] = "fedsa-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3


@parameters
class Decaf:
    """LoRA whose products B A are averaged, and truncated to the rank by an SVD.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    """

    model: Literal["decaf"] = "decaf"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3


@parameters
class FedExLora:
    """LoRA whose factors are averaged, with the residual that makes the mean of products exact.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    residual_rank : rank to which the sum of all residuals is truncated; a server sends it in every
        message, devices among themselves compute theirs and send none
    """

    model: Literal["fedex-lora"] = "fedex-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3
    residual_rank: Rank = 32


@parameters
class FedRotLora:
    """LoRA whose factors are rotated to a common reference before they are averaged.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    """

    model: Literal["fedrot-lora"] = "fedrot-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3


@parameters
class FedSb:
    """LoRA with a trained core: B R A with frozen B and A, of which R is averaged, exactly.

    Parameters
    ----------
    rank : rank r of the adapters, at most the outputs and inputs of a layer where these are fewer;
        a message has r^2 parameters of each layer
    alpha : as for `local`
    learning_rate : learning rate of the optimizer
    init : frozen factors: `weight`, singular vectors of the frozen weight, or `gaussian`,
        orthonormal at random; all devices compute the same ones, so that nothing is sent
    """

    model: Literal["fed-sb"] = "fed-sb"
    rank: Rank = 32
    alpha: Alpha | None = None
    learning_rate: LearningRate = 5e-3
    init: Literal["weight", "gaussian"] = "weight"


@parameters
class Scaffold:
    """Control variates against the drift of devices, which are sent and averaged too, with LoRA.

    With `rank: full` they are those of full fine-tuning, as published.

    It needs `optimizer: {model: sgd}` without momentum and weight decay.

    Parameters
    ----------
    rank, alpha : as for `local`
    learning_rate : learning rate of gradient descent
    """

    model: Literal["scaffold"] = "scaffold"
    rank: RankOrFull = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 0.1

    def __post_init__(self) -> None:
        _check_full(self.rank, self.alpha)


@parameters
class FlexLora:
    """LoRA with a rank per device: products are averaged, each device takes its largest ranks.

    Parameters
    ----------
    ranks : rank of each device, repeated if there are more devices
    alpha : scale of all adapters is alpha / the largest rank; default: twice the largest rank
    learning_rate : as for `local`
    """

    model: Literal["flexlora"] = "flexlora"
    ranks: tuple[Rank, ...] = (8,)
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3

    def __post_init__(self) -> None:
        _check_ranks(self.ranks)

    @property
    def rank(self) -> int:
        """The largest rank."""
        return max(self.ranks)


@parameters
class HetLora:
    """LoRA with a rank per device: factors are padded with zeros, averaged and cut to the rank.

    Parameters
    ----------
    ranks, alpha, learning_rate : as for `flexlora`
    """

    model: Literal["hetlora"] = "hetlora"
    ranks: tuple[Rank, ...] = (8,)
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3

    def __post_init__(self) -> None:
        _check_ranks(self.ranks)

    @property
    def rank(self) -> int:
        """The largest rank."""
        return max(self.ranks)


def _check_full(rank: int | str, alpha: float | None) -> None:
    if rank == "full" and alpha is not None:
        raise ValueError(
            f"alpha scales the factors of an adapter, and rank full has none, got {alpha:g}"
        )


def _check_ranks(ranks: tuple[int, ...]) -> None:
    if not ranks:
        raise ValueError("ranks must have the rank of at least one device, got none")
