"""Time intervals in whole nanoseconds, generated on demand."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

import numpy as np

from wnsim.core.units import FAR_NS, Ints
from wnsim.mobility.motion import Bools


class Spans:
    """Set of half-open intervals.

    Parameters
    ----------
    spans : start and end of each interval [ns], in any order; they may overlap
    more : yields further intervals in order, each after those before it
    """

    def __init__(
        self, spans: Iterable[tuple[int, int]] = (), more: Iterator[tuple[int, int]] | None = None
    ) -> None:
        self.begins: list[int] = []
        self.ends: list[int] = []
        self._more = more
        for begin, end in sorted(spans):
            self._add(begin, end)

    def covers(self, at_ns: int) -> bool:
        """Return whether an interval contains an instant."""
        self._reach(at_ns)
        place = bisect_right(self.begins, at_ns) - 1
        return place >= 0 and at_ns < self.ends[place]

    def covered(self, at_ns: Ints) -> Bools:
        """Return whether an interval contains each of the instants (T,)."""
        if not at_ns.size:
            return np.zeros(0, dtype=np.bool_)
        self._reach(int(at_ns.max()))
        place = np.searchsorted(np.array(self.begins, dtype=np.int64), at_ns, side="right") - 1
        ends = np.array([*self.ends, 0], dtype=np.int64)
        return np.asarray((place >= 0) & (at_ns < ends[place]))

    def next_begin_ns(self, at_ns: int) -> int:
        """Return the start of the first interval after an instant."""
        self._reach(at_ns)
        place = bisect_right(self.begins, at_ns)
        return self.begins[place] if place < len(self.begins) else FAR_NS

    def end_ns(self, at_ns: int) -> int:
        """Return the end of the interval that contains an instant, or the instant itself."""
        if not self.covers(at_ns):
            return at_ns
        return self.ends[bisect_right(self.begins, at_ns) - 1]

    def next_edge_ns(self, at_ns: int) -> int:
        """Return the first start or end of an interval after an instant."""
        end = self.end_ns(at_ns)
        return end if end > at_ns else self.next_begin_ns(at_ns)

    def until(self, at_ns: int) -> list[tuple[int, int]]:
        """Return the intervals that have started by an instant."""
        self._reach(at_ns)
        place = bisect_right(self.begins, at_ns)
        return list(zip(self.begins[:place], self.ends[:place], strict=True))

    def _reach(self, at_ns: int) -> None:
        """Generate intervals up to the first one that starts after an instant."""
        while self._more is not None and not (self.begins and self.begins[-1] > at_ns):
            found = next(self._more, None)
            if found is None:
                self._more = None
            else:
                self._add(*found)

    def _add(self, begin: int, end: int) -> None:
        if begin >= end:
            return
        if self.ends and begin <= self.ends[-1]:
            self.ends[-1] = max(self.ends[-1], end)
        else:
            self.begins.append(begin)
            self.ends.append(end)
