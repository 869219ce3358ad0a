"""A check: a function that returns rows, and perhaps a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Row:
    """A comparison: one line of a table.

    Parameters
    ----------
    what : what is compared
    against : closed form, standard table or simulator
    cases : number of values compared
    deviation : the largest deviation
    tolerance : largest deviation allowed; None: informational value
    unit : of both; empty for plain numbers
    """

    what: str
    against: str
    cases: int
    deviation: float
    tolerance: float | None
    unit: str = ""

    @property
    def passed(self) -> bool:
        """Whether the deviation is allowed; never if it is not a number."""
        return self.tolerance is None or bool(self.deviation <= self.tolerance)


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of one column.

    Parameters
    ----------
    name : of its file
    text : what it shows
    draw : draws it
    """

    name: str
    text: str
    draw: Callable[[Axes], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check gives.

    Parameters
    ----------
    rows : comparisons
    pictures : figures
    """

    rows: list[Row]
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its section.

    Parameters
    ----------
    room : heading of the table it belongs to
    run : returns the finding; its argument is whether to use the full sample, otherwise it uses a
        sample, with tolerances wide enough for that
    """

    room: str
    run: Callable[[bool], Finding]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.run.__name__


def largest(found: ArrayLike, expected: ArrayLike, *, relative: bool = False) -> float:
    """Return the largest deviation, as it is or as a share of what was expected [%]."""
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    deviation = np.abs(found - expected)
    if relative:
        deviation = 100.0 * deviation / np.abs(expected)
    return float(np.max(deviation))
