"""How parameters are declared: frozen, keyword-only, checked; and types that many have."""

from __future__ import annotations

from typing import Annotated, Any, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(gt=0, le=1)]
Rank = Annotated[int, Field(ge=1, le=65_536)]
Alpha = Annotated[float, Field(gt=0, le=1e6)]
LearningRate = Annotated[float, Field(gt=0, le=1e3)]
Text = Annotated[str, Field(min_length=1)]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def parameters(cls: type[Any]) -> type[Any]:
    """Make a class a frozen, keyword-only dataclass that refuses unknown keys and wrong types."""
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return dataclass(cls, frozen=True, kw_only=True, config=config)
