"""Hints for values that were given in gigahertz, nanoseconds and the like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# By the end of a key: the powers of ten to try, most usual first, and the range that is usual.
_PREFIXES = {
    "frequency_hz": ((9, 6), 1e8, 1.1e11),
    "_hz": ((6, 3, 9), 1e3, 1e10),
    "spread_s": ((-9, -6, -3), 1e-9, 1.0),
    "_s": ((-3, -6, -9), 1e-9, 1e9),
    "_bps": ((6, 9, 3), 1.0, 1e12),
}


def in_plain_units(key: str, value: float, limits: Mapping[str, Any]) -> str:
    """Return a hint at the plain unit of a number that is out of bounds; empty if none fits.

    Parameters
    ----------
    key : key of the number, which ends with its unit
    value : the number
    limits : its bounds as pydantic names them: `ge`, `gt`, `le`, `lt`
    """
    low = limits.get("ge", limits.get("gt"))
    high = limits.get("le", limits.get("lt"))
    if not value > 0 or (low is None and high is None):
        return ""
    for unit, (powers, least, most) in _PREFIXES.items():
        if not key.endswith(unit):
            continue
        for power in powers:
            scaled = float(f"{value:g}e{power}") if "e" not in f"{value:g}" else value * 10.0**power
            fits = (low is None or scaled > low) and (high is None or scaled < high)
            if fits and least <= scaled <= most:
                return f"; did you mean {value:g}e{power}?"
        return ""
    return ""
