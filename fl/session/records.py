"""Records of a session.

These are rows of rounds, evaluations, clusters, memberships, deletions, queries and corruptions.
"""

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
    updates_received : number of neighbors whose updates it received in time
    offered_bytes : size of all its messages, whether they arrived or not [byte]
    staleness : mean staleness of the aggregated updates, in receiver aggregations since the update
        was made
    age_s : mean age of the updates at their aggregation [s]
    loss : mean loss of the local steps [nat]
    epsilon : bound of the privacy loss of all that the device has released until then, with the
        delta of `fl.privacy`; NaN without it
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
    epsilon: float


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """Test result of one device on one task: a row of `evaluations.csv`.

    Parameters
    ----------
    round, time_s : last completed round, and time of the evaluation [s]
    device, task : device and task
    present : whether the device is in the scene and works; always true if `fl.evaluate_devices` is
        `present`
    own_task : whether the device trains on the task
    examples : number of test examples of the task
    accuracy : between 0 and 1
    accuracy_before_aggregation : accuracy after the device's last local steps, before aggregation;
        NaN unless `fl.evaluate_before_aggregation`, and before the first round
    routing_accuracy : share of all test prompts whose heaviest expert is of a device that trains on
        the prompt's task, or has the same merged B as one; NaN without a mixture, or if its gate
        has no weights for a whole prompt
    expert_usage_entropy : entropy of the experts' shares of the prompts, each prompt counted for
        its heaviest expert, over the logarithm of the number of experts; NaN likewise
    majority_accuracy : accuracy of the best constant answer: the share of the test examples with
        the most frequent answer, or, if choices differ from example to example, place of it
    accuracy_mean, accuracy_sum, accuracy_per_byte, accuracy_harness, accuracy_harness_norm : the
        accuracy by each rule of `fl.scoring`; NaN for answers without choices, and for encoders
    """

    round: int
    time_s: float
    device: int
    task: str
    present: bool
    own_task: bool
    examples: int
    accuracy: float
    accuracy_before_aggregation: float
    routing_accuracy: float
    expert_usage_entropy: float
    majority_accuracy: float
    accuracy_mean: float
    accuracy_sum: float
    accuracy_per_byte: float
    accuracy_harness: float
    accuracy_harness_norm: float


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Test result of one device on one class of arrays: a row of `classes.csv`.

    Parameters
    ----------
    round, time_s : last completed round, and time of the evaluation [s]
    device, class_number : device, and number of the class
    train_examples : training examples of the device of this class
    test_examples : test examples of this class
    accuracy : share of these that the device classifies correctly; NaN if there are none
    """

    round: int
    time_s: float
    device: int
    class_number: int
    train_examples: int
    test_examples: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """Devices that aggregate with each other, at one evaluation: a row of `clusters.csv`.

    Parameters
    ----------
    round, time_s : last completed round, and time of the evaluation [s]
    cluster : number of the cluster, that of its lowest device
    devices : number of devices
    expected_collision_rate : share of entries active on two or more devices, for independent masks
    collision_rate : the same share for the actual masks
    collision_rate_active : collision rate among the entries active on at least one device
    sign_conflict_rate : share of the colliding entries whose last updates differ in sign
    consensus_error : mean over devices of ||B_i - B||^2 over ||B||^2, B being the mean of the B_i,
        after the aggregations of the last round
    spectral_gap : 1 - |lambda_2| of the mixing matrix of that round
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
    """Cluster of a device from a round on: a row of `members.csv`.

    Devices of a cluster aggregate with each other, directly or through others. There are rows for
    all participating devices of a round in which the clusters differ from those of the one before.

    Parameters
    ----------
    round, time_s : first round of the membership, and its start [s]
    cluster : number of the cluster, that of its lowest device
    device : the device
    """

    round: int
    time_s: float
    cluster: int
    device: int


@dataclass(frozen=True, slots=True)
class DriftRow:
    """Device that begins a round with other data: a row of `drifts.csv`.

    Parameters
    ----------
    round, time_s : the round, and its start on the device [s]
    device : the device
    task : what it trains on from now on; several tasks are joined by +
    overlap : share of its active entries, beyond chance, that the new data select too; NaN if its
        method does not compare them
    renewed : whether it has renewed its mask, and an A of its own
    """

    round: int
    time_s: float
    device: int
    task: str
    overlap: float
    renewed: bool


@dataclass(frozen=True, slots=True)
class ForgettingRow:
    """Deletion of a device that has left by another one: a row of `forgetting.csv`.

    Parameters
    ----------
    round, time_s : round that begins with the deletion, and time after it [s]
    device, leaver : the device that deletes, and the deleted one
    task : a task of the deleted device
    accuracy_before, accuracy_after : of the deleting device on the task
    sent_bytes : size of the messages that all devices sent for the deletions of the round [byte]
    """

    round: int
    time_s: float
    device: int
    leaver: int
    task: str
    accuracy_before: float
    accuracy_after: float
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class QueryRow:
    """Query of a device that cannot train, for one of its tasks: a row of `queries.csv`.

    Parameters
    ----------
    round, time_s : last completed round, and when the query was sent [s]
    device, helper : who asks, and who is asked
    task : task of the prompts
    answered : whether the answers arrived in time
    latency_s : from sending the query to receiving the answers; NaN without answers [s]
    query_bytes, answer_bytes : sizes of both messages, for all tasks of the device [byte]
    accuracy : share of the task's test examples that the helper answers correctly
    accuracy_alone : the same of the model without an adapter, which the device has itself
    """

    round: int
    time_s: float
    device: int
    helper: int
    task: str
    answered: bool
    latency_s: float
    query_bytes: int
    answer_bytes: int
    accuracy: float
    accuracy_alone: float


@dataclass(frozen=True, slots=True)
class CorruptionRow:
    """Update that was received with bit errors.

    Parameters
    ----------
    time_s : time at which it was decoded [s]
    source, target : sender and receiver
    rejected : whether it was discarded, for parameters that are not finite
    """

    time_s: float
    source: int
    target: int
    rejected: bool
