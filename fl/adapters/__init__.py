"""Low-rank adapters of many devices on one frozen model."""

from __future__ import annotations

from .adapter import Adapter, Layer
from .stacked import AdaptedModel

__all__ = ["AdaptedModel", "Adapter", "Layer"]
