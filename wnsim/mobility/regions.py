"""Convex regions with uniform random positions: rectangle and disc.

Sources: mean distance of two random positions in a rectangle and in a disc (128 R / 45 pi):
Santalo, "Integral Geometry and Geometric Probability", 1976.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wnsim.core.units import Floats

# Beyond, a rectangle is a line to 1e-7, and the closed form loses its digits.
_SLENDER = 1e4


class Region(Protocol):
    """A convex region."""

    @property
    def longest_m(self) -> float:
        """Largest distance between two positions [m]."""

    @property
    def mean_leg_m(self) -> float:
        """Mean distance between two uniform positions [m]."""

    def places_m(self, uniforms: Floats) -> Floats:
        """Return uniform positions (..., 2) [m] from draws (..., 2) on [0, 1)."""


@dataclass(frozen=True)
class Rectangle:
    """A rectangle of given sides [m] that begins at a corner [m]."""

    sides_m: tuple[float, float]
    corner_m: tuple[float, float] = (0.0, 0.0)

    @property
    def longest_m(self) -> float:
        """Length of the diagonal [m]."""
        return math.hypot(*self.sides_m)

    @property
    def mean_leg_m(self) -> float:
        """Mean distance between two uniform positions [m]; 0.5214 times the side of a square."""
        return mean_leg_m(self.sides_m)

    def places_m(self, uniforms: Floats) -> Floats:
        """Return uniform positions (..., 2) [m] from draws (..., 2)."""
        return np.asarray(np.array(self.corner_m) + uniforms * np.array(self.sides_m))


@dataclass(frozen=True)
class Disc:
    """A disc of given radius [m] about (0, 0)."""

    radius_m: float

    @property
    def longest_m(self) -> float:
        """Length of the diameter [m]."""
        return 2.0 * self.radius_m

    @property
    def mean_leg_m(self) -> float:
        """Mean distance between two uniform positions [m]; 0.9054 times the radius."""
        return 128.0 * self.radius_m / (45.0 * math.pi)

    def places_m(self, uniforms: Floats) -> Floats:
        """Return uniform positions (..., 2) [m] from draws (..., 2)."""
        radius_m = self.radius_m * np.sqrt(uniforms[..., 0])
        angle = 2.0 * np.pi * uniforms[..., 1]
        return np.stack([radius_m * np.cos(angle), radius_m * np.sin(angle)], axis=-1)


def mean_leg_m(sides_m: tuple[float, float]) -> float:
    """Return the mean distance between two uniform positions in a rectangle.

    Parameters
    ----------
    sides_m : sides of the rectangle [m]

    Returns
    -------
    mean distance [m]; 0.5214 times the side of a square
    """
    a, b = sides_m
    if max(a, b) > _SLENDER * min(a, b):
        return max(a, b) / 3.0
    d = math.hypot(a, b)
    return (
        a**3 / b**2
        + b**3 / a**2
        + d * (3.0 - a**2 / b**2 - b**2 / a**2)
        + 2.5 * (b**2 / a * math.log((a + d) / b) + a**2 / b * math.log((b + d) / a))
    ) / 15.0
