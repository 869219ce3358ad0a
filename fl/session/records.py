"""What a session records: of rounds, of evaluations, and of who is in which group."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoundRow:
    """What one device did in one round: a row of `rounds.csv`, unless it crashed meanwhile.

    Parameters
    ----------
    round, device : which
    start_s, trained_s, end_s : begin of the round; own training done; merged [s]
    neighbors : how many neighbors it told
    updates_received : from how many of them an update arrived
    offered_bytes : size of all its messages, whether they arrived or not [byte]
    staleness : mean over what it heard of the merges that it had made since that was made
    age_s : mean time since it was made, when it is merged [s]
    loss : mean loss of its local steps [nat]
    """

    round: int
    device: int
    start_s: float
    trained_s: float
    end_s: float
    neighbors: int
    updates_received: int
    offered_bytes: int
    staleness: float
    age_s: float
    loss: float


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """How one device does on one task at one instant: a row of `evaluations.csv`.

    Parameters
    ----------
    round, time_s : after which round, and when [s]
    device : whose adapter
    task : on which task
    own_task : whether that is the task that the device trains
    accuracy : between 0 and 1
    accuracy_before_aggregation : the same after the device's last local steps, before it merged
        what it heard; NaN unless `fl.evaluate_before_aggregation`, and before the first round
    routing_accuracy : of all its answers, to how many its mixture gave most weight to an expert of
        the task; NaN if it has none
    expert_usage_entropy : how evenly the experts of its mixture are used: entropy of their shares
        of the answers to which each gave most weight, over its largest value, the logarithm of
        their number; NaN if it has no choice
    """

    round: int
    time_s: float
    device: int
    task: str
    own_task: bool
    accuracy: float
    accuracy_before_aggregation: float
    routing_accuracy: float
    expert_usage_entropy: float


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """Those who aggregate with each other, at one evaluation: a row of `clusters.csv`.

    Parameters
    ----------
    round, time_s : after which round, and when [s]
    cluster : its number, by its lowest device
    devices : how many it has
    expected_collision_rate : share of entries that two or more have active, if masks were
        independent
    collision_rate : the same, as their masks are
    collision_rate_active : of the entries that anybody has active
    sign_conflict_rate : share of the colliding entries whose last updates differ in sign
    consensus_error : mean over devices of ||B_i - B||^2 over ||B||^2, B being the mean of their B_i
        after the last round's merges
    spectral_gap : 1 - |lambda_2| of that round's mixing matrix: what each merge gave to whom
    """

    round: int
    time_s: float
    cluster: int
    devices: int
    expected_collision_rate: float
    collision_rate: float
    collision_rate_active: float
    sign_conflict_rate: float
    consensus_error: float
    spectral_gap: float


@dataclass(frozen=True, slots=True)
class MemberRow:
    """In which group a device is from a round on: a row of `members.csv`.

    A group is who aggregates with each other, directly or through others. There are rows of all
    devices that take part when a group is another than in the round before, and else none.

    Parameters
    ----------
    round, time_s : since which round, and when that began [s]
    cluster : its number, by its lowest device
    device : which
    """

    round: int
    time_s: float
    cluster: int
    device: int


@dataclass(frozen=True, slots=True)
class DamageRow:
    """An update some bits of which had changed when it arrived.

    Parameters
    ----------
    time_s : when it was taken in [s]
    source, target : who told whom
    refused : whether it was left out, for values that are not finite
    """

    time_s: float
    source: int
    target: int
    refused: bool
