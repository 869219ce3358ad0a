"""How a device answers with what it learned and heard from others: the implicit mixture."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Count

Temperature = Annotated[float, Field(gt=0, le=1e3)]


@parameters
class Mixture:
    """Adapters of several devices on one model, none of them averaged: which counts how much.

    Parameters
    ----------
    gate : `seq_centroid`: an adapter counts by how close a prompt is to the mean prompt of its
        device, as the model without adapters sees both; three readings of the paper, token by
        token: `paper_cosine`, `paper_hadamard`, `paper_projector`; `none`: all count in full;
        `oracle`: those of the prompt's task count, an upper bound
    top_k : how many rank components are kept in a layer, the largest of those of all adapters
        together; if not given, a quarter of them for `paper_*`, all of them for the other gates
    temperature : of the softmax of `seq_centroid` over the adapters
    choice : whether `seq_centroid` weighs all adapters by `softmax`, or takes the nearest alone
    """

    gate: Literal[
        "seq_centroid", "paper_cosine", "paper_hadamard", "paper_projector", "none", "oracle"
    ] = "seq_centroid"
    top_k: Count | None = None
    temperature: Temperature = 0.1
    choice: Literal["softmax", "argmax"] = "softmax"
