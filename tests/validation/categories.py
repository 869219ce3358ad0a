"""Access categories of Wi-Fi against ns-3."""

from __future__ import annotations

import numpy as np
from test_edca import goodput_mbps, reference, shadowed

from validation.check import Finding, Row

_NS3 = "ns-3 3.44, mean of 3 seeds"


def two_categories(full: bool) -> Finding:
    """Compare the goodput of saturated stations of two access categories.

    The reference are 21 configurations. Those that were set aside before any result was seen, and
    the one in which a NAV of ns-3 keeps others from the medium, are rows of their own.
    """
    table = reference()
    cases = list(table)
    if not full:
        cases = [case for case in cases if case[6:10] == ("BE", "1", "BK", "1")]
    parts: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        theirs = table[case].mean(axis=0)
        mine = goodput_mbps(case, seeds=3, seconds=8 if full else 3)
        total = abs(mine.sum() / theirs.sum() - 1)
        category = np.abs(mine - theirs).max() / theirs.sum()
        name = "shadowed" if shadowed(case) else "set aside" if case[-1] == "1" else "all"
        parts.setdefault(name, []).append((100 * total, 100 * category))
    made = []
    for name, what, allowed in (
        ("all", "goodput of saturated stations of two access categories", 5.0),
        ("set aside", "the same, configurations set aside before the comparison", 5.0),
        ("shadowed", "the same, where ns-3's NAV outlasts the last frame of an opportunity", 15.0),
    ):
        if name in parts:
            worst = np.max(parts[name], axis=0).tolist()
            each = "of each category, over the total"
            made.append(Row(what, _NS3, len(parts[name]), worst[0], allowed, "%"))
            made.append(Row(f"{what}: {each}", _NS3, 2 * len(parts[name]), worst[1], allowed, "%"))
    return Finding(made)
