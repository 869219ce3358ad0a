"""Access categories and access points of Wi-Fi against ns-3."""

from __future__ import annotations

import numpy as np
from test_access_points import goodput_mbps as access_point_mbps
from test_access_points import reference as access_point_reference
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


def access_points(full: bool) -> Finding:
    """Compare the goodput of saturated up- and downlinks of an access point.

    The reference are ten configurations, two of which were set aside before any result was seen.
    """
    table = access_point_reference()
    cases = list(table)
    if not full:
        cases = [case for case in cases if case[:5] == ("a", "4", "0", "2", "1")]
    parts: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        theirs = table[case].mean(axis=0)
        mine = access_point_mbps(case, seeds=3, seconds=8 if full else 3)
        total = abs(mine.sum() / theirs.sum() - 1)
        share = np.abs(mine - theirs).max() / theirs.sum()
        parts.setdefault(case[-1], []).append((100 * total, 100 * share))
    made = []
    for held_out, what in (
        ("0", "goodput of saturated stations and their access point"),
        ("1", "the same, configurations set aside before the comparison"),
    ):
        if held_out in parts:
            worst = np.max(parts[held_out], axis=0).tolist()
            count = len(parts[held_out])
            made.append(Row(what, _NS3, count, worst[0], 3.0, "%"))
            each = f"{what}: of up- and downlink, over the total"
            made.append(Row(each, _NS3, 2 * count, worst[1], 5.0, "%"))
    return Finding(made)
