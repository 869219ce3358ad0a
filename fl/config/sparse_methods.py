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
    rank, alpha, learning_rate : as for `lora`
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


@parameters
class FedLoDrop:
    """LoRA of which the server drops random inputs of A and outputs of B for each client and round.

    Clients train what remains, and both directions carry it alone. It is for protocol `server`.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    gamma : dropped share of the columns of A and the rows of B; 0: federated averaging; `latency`:
        for each client and round the smallest share with which it ends the round in `latency_s`, at
        most 0.99, from the rates that it has reported and an equal share of the band. The variance
        of the gradient grows by gamma / (1 - gamma)
    latency_s : wanted duration of a round; for gamma `latency` alone [s]
    draws : whether each column and row is dropped independently with probability gamma
        (`bernoulli`), or a random choice of this share of them (`count`)
    """

    model: Literal["fed-lo-drop"] = "fed-lo-drop"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3
    gamma: Annotated[float, Field(ge=0, le=0.99)] | Literal["latency"] = 0.3
    latency_s: Annotated[float, Field(gt=0, le=1e9)] | None = None
    draws: Literal["bernoulli", "count"] = "bernoulli"

    def __post_init__(self) -> None:
        if (self.gamma == "latency") != (self.latency_s is not None):
            raise ValueError(
                f"gamma latency needs latency_s, and no other does, got gamma {self.gamma} and "
                f"latency_s {self.latency_s}"
            )


@parameters
class FsLora:
    """LoRA of which each client trains a random subset of the ranks in each round.

    Both directions carry these ranks alone. It is for protocol `server`.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    kept_ranks : number of ranks that each device trains, at most `rank`, repeated if there are more
        devices; fewer for a slow link
    """

    model: Literal["fslora"] = "fslora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3
    kept_ranks: Annotated[tuple[Rank, ...], Field(min_length=1)] = (4,)

    def __post_init__(self) -> None:
        if max(self.kept_ranks) > self.rank:
            raise ValueError(
                f"kept_ranks must be at most rank, {self.rank}, got {max(self.kept_ranks)}"
            )


@parameters
class Soft:
    """LoRA with near-orthogonal factors, of which the most important ranks are sent.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    keep : share of the ranks of each layer that are sent, rounded up
    orthogonality : weight of the penalty for inner products between columns of B and rows of A
    """

    model: Literal["soft"] = "soft"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3
    keep: Share = 0.5
    orthogonality: Annotated[float, Field(ge=0, le=1e6)] = 0.1


@parameters
class Flasc:
    """LoRA with sparse communication in both directions, and dense training.

    It is for protocol `server`, which sends the largest entries of the factors; clients return the
    largest entries of the change.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    density : share of the entries of both factors that are sent, by one threshold; 1: all
    server : step of the server: along the `mean` change, or by `adam`
    server_learning_rate : learning rate of `adam`
    """

    model: Literal["flasc"] = "flasc"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3
    density: Share = 0.25
    server: Literal["mean", "adam"] = "adam"
    server_learning_rate: LearningRate = 2e-3


@parameters
class Jcpba:
    """LoRA of which clients return the largest entries of the change, more over faster links.

    In each round the server plans the pruned shares of the selected clients from the rates that
    they have reported, so that all end at the same time. It is for protocol `server`, with
    `mac.allocation: {model: min-max}` for the band.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    mean_pruning : mean over the clients of the share of the entries that is pruned
    most_pruning : largest pruned share of a client
    """

    model: Literal["jcpba"] = "jcpba"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3
    mean_pruning: Annotated[float, Field(ge=0, le=0.999)] = 0.5
    most_pruning: Annotated[float, Field(ge=0, le=0.999)] = 0.9

    def __post_init__(self) -> None:
        if self.mean_pruning > self.most_pruning:
            raise ValueError(
                f"mean_pruning must be at most most_pruning, {self.most_pruning:g}, "
                f"got {self.mean_pruning:g}"
            )


@parameters
class EcoLora:
    """LoRA of which clients send a segment in turn, the largest entries of it.

    It is for protocol `server`.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `lora`
    segments : number of segments, of which client i sends number i + t in round t
    largest_keep, smallest_keep : share of a segment's entries that are sent at first, and when the
        loss has fallen far
    adaptivity : g in the share smallest + (largest - smallest) exp(-g (L_0 - L)) at loss L
    """

    model: Literal["ecolora"] = "ecolora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3
    segments: Annotated[int, Field(ge=1, le=10_000)] = 3
    largest_keep: Share = 0.9
    smallest_keep: Share = 0.5
    adaptivity: Annotated[float, Field(ge=0, le=1e6)] = 1.0

    def __post_init__(self) -> None:
        if self.smallest_keep > self.largest_keep:
            raise ValueError(
                "smallest_keep must be at most largest_keep, got "
                f"{self.smallest_keep:g} and {self.largest_keep:g}"
            )
