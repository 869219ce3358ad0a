"""Recorder of a session: rows of rounds, evaluations, clusters, memberships, queries, corruptions.

Losses and rejections are lazy values; rows that depend on them are completed when a round settles.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wnsim.network import Network

from ..config import SCORING_RULES
from ..engine.jobs import digest
from .records import (
    ClassRow,
    ClusterRow,
    CorruptionRow,
    DriftRow,
    EvaluationRow,
    ForgettingRow,
    MemberRow,
    QueryRow,
    RoundRow,
)

if TYPE_CHECKING:
    from ..engine.jobs import Job, LazyValue
    from ..trainer.state import Drifted, Evaluation, State
    from ..updates.codec import Update
    from .protocols import SessionTrainer
    from .received_update import ReceivedUpdate


class Recorder:
    """Records of a session.

    Parameters
    ----------
    network : network of the session, which keeps the journals
    trainer : trainer of the session

    Attributes
    ----------
    rounds, evaluations, classes, groups, memberships, drifts, forgettings, queries, corruptions :
        the records
    """

    def __init__(self, network: Network, trainer: SessionTrainer) -> None:
        self._network = network
        self._trainer = trainer
        self.rounds = network.records.journal(RoundRow)
        self.evaluations = network.records.journal(EvaluationRow)
        self.classes = network.records.journal(ClassRow)
        self.groups = network.records.journal(ClusterRow)
        self.memberships = network.records.journal(MemberRow)
        self.drifts = network.records.journal(DriftRow)
        self.forgettings = network.records.journal(ForgettingRow)
        self.queries = network.records.journal(QueryRow)
        self.corruptions = network.records.journal(CorruptionRow)
        self._open_rounds: list[tuple[RoundRow, Job[State]]] = []
        self._open_corruptions: list[tuple[float, int, int, LazyValue[Update]]] = []

    @property
    def open_rounds(self) -> int:
        """Number of recorded rounds of devices that have not been settled."""
        return len(self._open_rounds)

    def record_round(
        self,
        number: int,
        device: int,
        trained: Job[State],
        times_s: tuple[float, float],
        sent: tuple[int, int],
        received: Sequence[ReceivedUpdate],
        staleness: Sequence[int],
    ) -> None:
        """Record a device's round, which ends now.

        Parameters
        ----------
        number, device : round and device
        trained : state of the device after its local steps
        times_s : start of the round, and end of the local steps [s]
        sent : number of receivers, and bytes sent to them [byte]
        received, staleness : aggregated updates, and the staleness of each
        """
        now_s = self._network.now_s
        ages_s = [now_s - each.made_s for each in received]
        row = RoundRow(
            number, device, *times_s, now_s, sent[0], len(received), sent[1], _mean(staleness),
            _mean(ages_s), math.nan, self._trainer.epsilon(device),
        )  # fmt: skip
        self._open_rounds.append((row, trained))

    def record_drift(self, number: int, device: int, drifted: Drifted) -> None:
        """Record that a device begins a round with other data."""
        tasks = [self._trainer.tasks[task].name for task in self._trainer.task_of[device]]
        self.drifts.append(
            DriftRow(
                number, self._network.now_s, device, "+".join(tasks), drifted.overlap,
                drifted.renewed is not None,
            )
        )  # fmt: skip

    def record_corruption(self, source: int, target: int, update: LazyValue[Update]) -> None:
        """Record an update that arrives with bit errors now."""
        self._open_corruptions.append((self._network.now_s, source, target, update))

    def record_evaluation(
        self,
        number: int,
        device: int,
        result: Evaluation,
        trained: Evaluation | None,
        *,
        present: bool,
    ) -> None:
        """Record the test results of a device.

        Parameters
        ----------
        number, device : round and device
        result : results of its current state
        trained : results of its state before the last aggregation; None if not requested
        present : whether it is present
        """
        now_s = self._network.now_s
        tasks = self._trainer.tasks
        before = [math.nan] * len(tasks) if trained is None else trained.accuracies
        own = self._trainer.task_of[device]
        self.evaluations.extend(
            EvaluationRow(
                number, now_s, device, task.name, present, index in own, len(task.test),
                result.accuracies[index], before[index], result.routing,
                result.expert_usage_entropy, task.majority_accuracy,
                *(result.by_rule[index].get(rule, math.nan) for rule in SCORING_RULES),
            )
            for index, task in enumerate(tasks)
        )  # fmt: skip
        sizes = self._trainer.class_sizes(device)
        # Arrays are one task.
        correct = result.correct[0] if sizes else ()
        self.classes.extend(
            ClassRow(number, now_s, device, index, trains, tests, _share(right, tests))
            for index, ((trains, tests), right) in enumerate(zip(sizes, correct, strict=True))
        )

    def settle(self, number: int, states: Sequence[LazyValue[State] | None]) -> None:
        """Compute all pending jobs of a round, complete its rows, and compare the ranks.

        Parameters
        ----------
        number : number of the round
        states : current state of each device

        Raises
        ------
        ValueError
            if training diverged, or the processes of the run differ
        """
        for row, trained in self._open_rounds:
            self.rounds.append(dataclasses.replace(row, loss=self._trainer.loss(trained)))
        self._open_rounds.clear()
        self.corruptions.extend(
            CorruptionRow(time_s, source, target, update.value().rejected)
            for time_s, source, target, update in self._open_corruptions
        )
        self._open_corruptions.clear()
        env = self._network.env
        keys = [None if state is None else state.key for state in states]
        self._trainer.check_agreement(number, digest(number, env.now_ns, env.events, keys))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
