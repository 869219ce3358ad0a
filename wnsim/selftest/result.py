"""Results of self-test checks, and the bundled reference numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a check.

    Parameters
    ----------
    name : name of the check
    sound : whether it passed
    measured, expected : measured and expected values as text
    """

    name: str
    sound: bool
    measured: str
    expected: str


@cache
def facts() -> dict[str, Any]:
    """Return the bundled reference numbers."""
    text = (resources.files("wnsim.selftest") / "facts.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def near(name: str, measured: float, expected: float, tolerance: float, unit: str = "") -> Result:
    """Return the result of comparing a number within a tolerance."""
    sound = abs(measured - expected) <= tolerance
    unit = f" {unit}" if unit else ""
    return Result(name, sound, f"{measured:.6g}{unit}", f"{expected:.6g} +- {tolerance:g}{unit}")


def equal(name: str, measured: int, expected: int, unit: str) -> Result:
    """Return the result of comparing a whole number."""
    return Result(name, measured == expected, f"{measured} {unit}", f"{expected} {unit}")
