"""What one's own update and others come to: who is left out, clipped, and averaged how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..aggregation.robust import clipped, pool_of
from ..config import NormClip

if TYPE_CHECKING:
    from ..config import Robust
    from ..updates.codec import Update
    from . import Method


class Merging:
    """How updates become one.

    Parameters
    ----------
    method : what is averaged, and by which rule if nothing else is said
    robust : the rule that takes its place; none: that of the method
    with_a : whether A is averaged
    """

    def __init__(self, method: Method, robust: Robust | None, *, with_a: bool) -> None:
        self._method = method
        self._robust = robust
        self._pool = pool_of(robust)
        self._with_a = with_a

    def peers(self, own: Update, heard: Sequence[Update], weights: Sequence[float]) -> Update:
        """Return what a device makes of its own update and of those that it has heard.

        Parameters
        ----------
        own, heard : the updates
        weights : of its own, and of each of the others
        """
        left = [
            (each, weight)
            for each, weight in zip(heard, weights[1:], strict=True)
            if not each.refused
        ]
        updates = self._clipped(own, [each for each, _ in left])
        shares = [weights[0], *(weight for _, weight in left)]
        return self._average([own, *updates], shares)

    def clients(self, before: Update, heard: Sequence[Update], weights: Sequence[float]) -> Update:
        """Return what a server makes of updates; what it had before, if it can use none.

        Parameters
        ----------
        before : what it had before, about which updates are clipped
        heard, weights : the updates, and how much each counts
        """
        left = [
            (each, weight) for each, weight in zip(heard, weights, strict=True) if not each.refused
        ]
        if not left:
            return before
        updates = self._clipped(before, [each for each, _ in left])
        return self._average(updates, [weight for _, weight in left])

    def _average(self, updates: Sequence[Update], weights: Sequence[float]) -> Update:
        # A method of one's own may know nothing of other rules than its own.
        if self._pool is None:
            return self._method.average(updates, weights)
        return self._method.average(updates, weights, self._pool)

    def _clipped(self, own: Update, heard: Sequence[Update]) -> Sequence[Update]:
        if not isinstance(self._robust, NormClip):
            return heard
        return clipped(own, heard, self._robust.factor, with_a=self._with_a)
