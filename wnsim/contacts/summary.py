"""Contact statistics: durations, inter-contact times and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim.contacts.sweep import Contacts
from wnsim.core.units import Floats
from wnsim.storage.records import Table


def gaps(found: Contacts) -> tuple[Floats, Floats]:
    """Return the durations of whole contacts, and of the times between those of a pair [s]."""
    return _gaps(*_by_pair(found))


def _by_pair(found: Contacts) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Return contacts pair by pair, and whether each but the first is of the pair before."""
    rows = found.rows[np.lexsort((found.rows["begin_s"], found.rows["b"], found.rows["a"]))]
    return rows, (rows["a"][1:] == rows["a"][:-1]) & (rows["b"][1:] == rows["b"][:-1])


def _gaps(rows: NDArray[np.void], same: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the durations of `gaps`, of contacts pair by pair."""
    whole = rows[~rows["censored"]]
    between_s = (rows["begin_s"][1:] - rows["end_s"][:-1])[same]
    return whole["end_s"] - whole["begin_s"], between_s


def table(found: Contacts, names: Sequence[str]) -> Table:
    """Return one row per contact: names of both devices, start, end, and whether it is cut off."""
    rows = ([names[a], names[b], begin, end, cut] for a, b, begin, end, cut in found.rows.tolist())
    return Table(("device_a", "device_b", "begin_s", "end_s", "censored"), rows)


def summary(found: Contacts) -> dict[str, Any]:
    """Return the statistics of contacts as nested dictionaries of numbers and strings.

    Contact durations are those of contacts that start and end within the observed time;
    inter-contact times are those from the end of a pair's contact to the start of its next one.
    Intervals cut by the start or the end are counted as censored: contacts in progress there, and
    the times before the first and after the last contact of a pair that meets at all. The numbers
    of an empty distribution are None.
    """
    rows, same = _by_pair(found)
    lasted_s = rows["end_s"] - rows["begin_s"]
    whole_s, between_s = _gaps(rows, same)
    first = np.concatenate([[True], ~same])[: rows.size]
    last = np.concatenate([~same, [True]])[: rows.size]
    cut_gaps = np.count_nonzero(first & (rows["begin_s"] > 0.0)) + np.count_nonzero(
        last & (rows["end_s"] < found.until_s)
    )
    total_s = float(np.sum(found.present_s))
    return {
        "range_m": found.range_m,
        "until_s": found.until_s,
        "step_s": found.step_s,
        "devices": found.devices,
        "pairs": int(np.count_nonzero(first)),
        "contacts": int(rows.size),
        "contact_s": _distribution(whole_s, int(np.sum(rows["censored"]))),
        "inter_contact_s": _distribution(between_s, int(cut_gaps)),
        "mean_devices": total_s / found.until_s,
        "mean_degree": 2.0 * float(np.sum(lasted_s)) / total_s if total_s else None,
        "largest_share": (
            float(np.sum(found.largest_share * found.present_s)) / total_s if total_s else None
        ),
    }


def _distribution(values_s: Floats, censored: int) -> dict[str, float | int | None]:
    """Return number, mean, median and quartiles of durations [s]."""
    names = ("mean", "lower_quartile", "median", "upper_quartile")
    numbers: list[float | None] = [None] * 4
    if values_s.size:
        numbers = [float(np.mean(values_s)), *np.quantile(values_s, [0.25, 0.5, 0.75]).tolist()]
    return {
        "count": int(values_s.size),
        "censored": censored,
        **dict(zip(names, numbers, strict=True)),
    }


def lines(values: dict[str, Any]) -> list[str]:
    """Return a summary as lines of plain text."""
    shown = [
        f"{values['devices']} devices within {values['range_m']:g} m, to {values['until_s']:g} s",
        f"{values['contacts']} contacts of {values['pairs']} pairs",
    ]
    for name, key in (("contact time", "contact_s"), ("time between contacts", "inter_contact_s")):
        part = values[key]
        text = f"{name}: {part['count']} complete, {part['censored']} censored"
        if part["count"]:
            text += (
                f"; mean {part['mean']:.4g} s, median {part['median']:.4g} s, quartiles "
                f"{part['lower_quartile']:.4g} and {part['upper_quartile']:.4g} s"
            )
        shown.append(text)
    shown.append(f"devices at a time: {values['mean_devices']:.4g}")
    if values["mean_degree"] is not None:
        shown.append(
            f"mean degree {values['mean_degree']:.4g}, "
            f"largest connected part {100.0 * values['largest_share']:.4g} % of the devices"
        )
    return shown
