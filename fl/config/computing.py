"""Optimizers, and computation on this machine, which affects results only by rounding."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Count

Schedule = Literal["constant", "linear"]


@parameters
class AdamW:
    """Adam with decoupled weight decay.

    Parameters
    ----------
    weight_decay : relative decay of a weight per step at a learning rate of 1
    schedule : learning rate over the rounds: `constant`, or `linear` from the full rate in the
        first round to zero after the last
    """

    model: Literal["adamw"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0, le=1e3)] = 0.0
    schedule: Schedule = "constant"


@parameters
class Sgd:
    """Stochastic gradient descent.

    Parameters
    ----------
    momentum : factor of the previous velocity in each step
    weight_decay, schedule : as for `adamw`
    """

    model: Literal["sgd"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=1e3)] = 0.0
    schedule: Schedule = "constant"


def schedule_of(optimizer: Any) -> Schedule:
    """Return the schedule of an optimizer; `constant` for a user-defined one without its own."""
    schedule: Schedule = getattr(optimizer, "schedule", "constant")
    return schedule


@parameters
class Computing:
    """Device, precision and micro-batches of the computation.

    Parameters
    ----------
    device : torch device; `auto`: a GPU if available
    dtype : precision of the frozen model; `auto`: bfloat16 on a GPU, and on a CPU for models of a
        width of 512 or more if products are at least 1.5 times as fast there as in float32, which
        is measured; adapters are float32
    threads : CPU threads
    micro_batch_tokens : maximum number of tokens, or inputs of a network, of several devices in a
        micro-batch
    memory_bytes : maximum memory of a micro-batch [byte]
    checkpointing : whether activations are recomputed in the backward pass instead of stored
    quantization : quantization of the frozen weights; `4bit` needs the library bitsandbytes
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    micro_batch_tokens: Count = 1024
    memory_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 50)] = 2 << 30
    checkpointing: bool = False
    quantization: Literal["none", "4bit"] = "none"
