"""Inference with cached adapters: the implicit mixture of experts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Count
from .faults import Device

Temperature = Annotated[float, Field(gt=0, le=1e3)]


@parameters
class Mixture:
    """Mixture of the adapters of several devices, not averaged but weighed by a gate.

    Parameters
    ----------
    gate : `seq-centroid`: an adapter's weight depends on the similarity of the prompt to the prompt
        centroid of its device, both in the frozen model; `paper-cosine`, `paper-hadamard` and
        `paper-projector`: three readings of the paper, per token; `none`: all adapters in full;
        `oracle`: the adapters of the prompt's task, an upper bound
    top_k : number of rank components kept in a layer, the largest of all adapters together;
        default: a quarter of them for `paper-*`, all for the other gates
    temperature : temperature of the softmax of `seq-centroid` over the adapters
    choice : whether `seq-centroid` weighs all adapters by `softmax`, or selects the nearest one
    """

    gate: Literal[
        "seq-centroid", "paper-cosine", "paper-hadamard", "paper-projector", "none", "oracle"
    ] = "seq-centroid"
    top_k: Count | None = None
    temperature: Temperature = 0.1
    choice: Literal["softmax", "argmax"] = "softmax"


@parameters
class Queries:
    """Collaborative inference: devices that cannot train let others answer their prompts.

    They take no part in rounds and tests. After each evaluation, each of them sends a query to a
    device that trains, which computes the answers with its adapter or mixture and sends them back.

    Parameters
    ----------
    devices : numbers of the devices that ask
    helper : whom they ask: `nearest`, the device with the highest mean SNR; or `matching`, the one
        whose prompts are most like theirs, by embeddings that devices announce once to those that
        ask
    prompts : prompts of a query for each task of the device; they determine its size and the time
        that the answers take
    """

    devices: Annotated[tuple[Device, ...], Field(min_length=1)]
    helper: Literal["nearest", "matching"] = "nearest"
    prompts: Count = 1

    def __post_init__(self) -> None:
        if len(set(self.devices)) < len(self.devices):
            raise ValueError("devices of queries must be distinct, got one twice")
