"""Model parameters: frozen dataclasses whose fields are the YAML keys."""

from __future__ import annotations

from typing import Any, dataclass_transform

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

# Only what a scenario uses is built, at its first use: there are a hundred models.
CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def parameters(cls: type[Any]) -> type[Any]:
    """Make a class a frozen, keyword-only dataclass that rejects unknown keys and wrong types."""
    return dataclass(cls, frozen=True, kw_only=True, config=CONFIG)
