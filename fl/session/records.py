"""Records of a session: rows of rounds, evaluations, groups, memberships and corrupted updates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round of one device: a row of `rounds.csv`, unless the device crashed in the round.

    Parameters
    ----------
    round, device : round and device
    start_s, trained_s, end_s : start of the round, end of the local steps, and aggregation [s]
    neighbors : number of neighbors to which it sent its update
    heard : number of neighbors whose updates it received in time
    offered_bytes : size of all its messages, whether they arrived or not [byte]
    staleness : mean staleness of the aggregated updates, in receiver aggregations since the update
        was made
    age_s : mean age of the updates at their aggregation [s]
    loss : mean loss of the local steps [nat]
    """

    round: int
    device: int
    start_s: float
    trained_s: float
    end_s: float
    neighbors: int
    heard: int
    offered_bytes: int
    staleness: float
    age_s: float
    loss: float


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """Test result of one device on one task: a row of `evaluations.csv`.

    Parameters
    ----------
    round, time_s : last completed round, and time of the evaluation [s]
    device, task : device and task
    own : whether the device trains on the task
    accuracy : between 0 and 1
    trained_accuracy : accuracy after the device's last local steps, before aggregation; NaN unless
        `fl.evaluate_before_merging`, and before the first round
    routing : routing accuracy: share of all test prompts whose heaviest expert is of a device that
        trains on the prompt's task; NaN without a mixture
    load_entropy : normalised expert-usage entropy: entropy of the experts' shares of the prompts,
        each prompt counted for its heaviest expert, over the logarithm of the number of experts;
        NaN without a choice
    """

    round: int
    time_s: float
    device: int
    task: str
    own: bool
    accuracy: float
    trained_accuracy: float
    routing: float
    load_entropy: float


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Group of devices that aggregate with each other, at one evaluation: a row of `groups.csv`.

    Parameters
    ----------
    round, time_s : last completed round, and time of the evaluation [s]
    group : number of the group, that of its lowest device
    devices : number of devices
    expected_collisions : share of entries active on two or more devices, under independent masks
    collisions : the same share for the actual masks
    collisions_of_used : collision rate among the entries active on at least one device
    sign_conflicts : share of the colliding entries whose last updates differ in sign
    consensus_error : mean over devices of ||B_i - B||^2 over ||B||^2, B being the mean of the B_i,
        after the aggregations of the last round
    spectral_gap : 1 - |lambda_2| of the mixing matrix of that round
    """

    round: int
    time_s: float
    group: int
    devices: int
    expected_collisions: float
    collisions: float
    collisions_of_used: float
    sign_conflicts: float
    consensus_error: float
    spectral_gap: float


@dataclass(frozen=True, slots=True)
class MemberRow:
    """Group of a device from a round on: a row of `members.csv`.

    Devices of a group aggregate with each other, directly or through others. There are rows for all
    participating devices of a round in which the groups differ from those of the round before.

    Parameters
    ----------
    round, time_s : first round of the membership, and its start [s]
    group : number of the group, that of its lowest device
    device : the device
    """

    round: int
    time_s: float
    group: int
    device: int


@dataclass(frozen=True, slots=True)
class CorruptionRow:
    """Update that was received with bit errors.

    Parameters
    ----------
    time_s : time at which it was decoded [s]
    source, target : sender and receiver
    refused : whether it was discarded, for parameters that are not finite
    """

    time_s: float
    source: int
    target: int
    refused: bool
