"""What a check finds, and the reference numbers that travel with the package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """What a check has found.

    Parameters
    ----------
    name : of the check
    sound : whether it is as it should be
    measured, expected : in words
    """

    name: str
    sound: bool
    measured: str
    expected: str


@cache
def facts() -> dict[str, Any]:
    """Return the reference numbers that travel with the package."""
    text = (resources.files("wnsim.selftest") / "facts.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def near(name: str, measured: float, expected: float, tolerance: float, unit: str = "") -> Result:
    """Return whether a number is as near to what is expected as it should be."""
    sound = abs(measured - expected) <= tolerance
    unit = f" {unit}" if unit else ""
    return Result(name, sound, f"{measured:.6g}{unit}", f"{expected:.6g} +- {tolerance:g}{unit}")


def equal(name: str, measured: int, expected: int, unit: str) -> Result:
    """Return whether a whole number is what is expected."""
    return Result(name, measured == expected, f"{measured} {unit}", f"{expected} {unit}")
