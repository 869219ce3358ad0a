"""How the devices' training is computed on this machine; it changes results by rounding only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Count

Schedule = Literal["constant", "linear"]


@parameters
class AdamW:
    """Adam with decoupled weight decay.

    Parameters
    ----------
    weight_decay : share of a weight that is lost in a step at a learning rate of 1
    schedule : of the learning rate over the rounds: `constant`, or `linear`, from the full rate in
        the first round towards zero after the last
    """

    model: Literal["adamw"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0, le=1e3)] = 0.0
    schedule: Schedule = "constant"


@parameters
class Sgd:
    """Stochastic gradient descent.

    Parameters
    ----------
    momentum : share of the last step's velocity that is kept
    weight_decay, schedule : as for `adamw`
    """

    model: Literal["sgd"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=1e3)] = 0.0
    schedule: Schedule = "constant"


@parameters
class Computing:
    """Where and in which pieces the training of many devices is computed.

    Parameters
    ----------
    device : of this machine; `auto`: a GPU if there is one
    dtype : of the frozen model; `auto`: bfloat16 on a GPU, float32 else; adapters are float32
    threads : of the CPU
    chunk_tokens : how many tokens of several devices are trained at once
    memory_bytes : what a chunk may take; devices are trained in smaller chunks if need be [byte]
    checkpointing : whether to compute activations twice instead of keeping them
    quantization : of the frozen model's weights; `4bit` needs the library bitsandbytes
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    chunk_tokens: Count = 1024
    memory_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 50)] = 2 << 30
    checkpointing: bool = False
    quantization: Literal["none", "4bit"] = "none"
