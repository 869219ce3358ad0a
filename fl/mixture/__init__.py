"""Mixtures of experts at inference: adapters of several devices on one model."""

from __future__ import annotations

from .experts import Expert, stored_bytes
from .features import centroid, pooled
from .mixed import ExpertMixture

__all__ = ["Expert", "ExpertMixture", "centroid", "pooled", "stored_bytes"]
