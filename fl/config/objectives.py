"""Terms of the local objective beside the loss."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters


@parameters
class Prox:
    """Proximal term of FedProx: mu/2 times the squared distance from the start of the round.

    The distance is that of the trained factors.

    Parameters
    ----------
    mu : weight of the penalty; 0: none
    """

    model: Literal["prox"] = "prox"
    mu: Annotated[float, Field(ge=0, le=1e6)] = 0.01
