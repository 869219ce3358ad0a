"""Adapters of several devices on one model at inference, each as an expert."""

from __future__ import annotations

from .experts import Expert, stored_bytes
from .features import centroid, pooled
from .mixed import Mixed

__all__ = ["Expert", "Mixed", "centroid", "pooled", "stored_bytes"]
