"""Aggregation of the local update with received updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..aggregation.clair import aligned_factors
from ..aggregation.robust import OwnRule, aggregator_of, clipped, is_own_rule
from ..config import Clair, NormClip
from .extensions import clients_rule, combine_of, serve_of

if TYPE_CHECKING:
    from ..adapters import Adapter
    from ..config import Robust
    from ..updates.codec import Update
    from . import Method


class Aggregation:
    """Aggregation of updates by a method's own rule or a robust one.

    Parameters
    ----------
    method : method, with its own aggregation rule
    robust : robust rule in its place; None for the method's own
    with_a : whether A is aggregated
    """

    def __init__(self, method: Method, robust: Robust | None, *, with_a: bool) -> None:
        self._method = method
        self._robust = robust
        self._aggregator = aggregator_of(robust)
        self._own_rule = OwnRule(robust, method.average) if is_own_rule(robust) else None
        self._with_a = with_a

    @property
    def needs_previous(self) -> bool:
        """Whether the average of a server depends on the one before."""
        own = (serve_of(self._method), clients_rule(self._method))
        return self._robust is not None or own != (None, None)

    def adapter(
        self, own: Adapter, local: Update, received: Sequence[Update], weights: Sequence[float]
    ) -> Adapter:
        """Return a device's adapter after aggregation with received updates.

        Parameters
        ----------
        own, local : its adapter after its local steps, and its own update
        received : the updates
        weights : weight of its own update, then of each received one
        """
        if isinstance(self._robust, Clair):
            updates = [local, *(each for each in received if not each.rejected)]
            b, a = [each.b for each in updates], [each.a or () for each in updates]
            factors = aligned_factors(b, a, own.rank, self._robust.penalty)
            return replace(own, b=factors[0], a=factors[1])
        combine = combine_of(self._method)
        if combine is None:
            return self._method.adopt(own, self.peers(local, received, weights))
        pairs = zip(received, weights[1:], strict=True)
        accepted = [(each, weight) for each, weight in pairs if not each.rejected]
        return combine(
            own,
            local,
            [each for each, _ in accepted],
            [weights[0], *(weight for _, weight in accepted)],
        )

    def peers(self, own: Update, received: Sequence[Update], weights: Sequence[float]) -> Update:
        """Aggregate a device's own update with received ones; rejected updates are discarded.

        Parameters
        ----------
        own, received : the updates
        weights : weight of its own update, then of each received one
        """
        accepted = [
            (each, weight)
            for each, weight in zip(received, weights[1:], strict=True)
            if not each.rejected
        ]
        updates = self._clipped(own, [each for each, _ in accepted])
        return self._average(
            [own, *updates], [weights[0], *(weight for _, weight in accepted)], own
        )

    def clients(
        self, previous: Update, received: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Aggregate the updates of a server's clients; rejected updates are discarded.

        Parameters
        ----------
        previous : previous average: center of clipping, and result if all updates are rejected
        received, weights : the updates, and their weights
        """
        accepted = [
            (each, weight)
            for each, weight in zip(received, weights, strict=True)
            if not each.rejected
        ]
        if not accepted:
            return previous
        rule = clients_rule(self._method)
        if rule is not None:
            return rule(
                previous, [each for each, _ in accepted], [weight for _, weight in accepted]
            )
        updates = self._clipped(previous, [each for each, _ in accepted])
        average = self._average(updates, [weight for _, weight in accepted], previous)
        serve = serve_of(self._method)
        return average if serve is None else serve(average, previous)

    def _average(
        self, updates: Sequence[Update], weights: Sequence[float], reference: Update
    ) -> Update:
        if self._own_rule is not None:
            return self._own_rule(updates, weights, reference)
        # A user-defined method need not accept other rules than its own.
        if self._aggregator is None:
            return self._method.average(updates, weights)
        return self._method.average(updates, weights, self._aggregator)

    def _clipped(self, own: Update, received: Sequence[Update]) -> Sequence[Update]:
        if not isinstance(self._robust, NormClip):
            return received
        return clipped(own, received, self._robust.factor, with_a=self._with_a)
