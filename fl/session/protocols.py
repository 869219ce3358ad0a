"""Interface between sessions and trainers: everything that a session requires of a trainer.

`fl.trainer.Trainer` implements it with a language model or a network; tests implement it with
closed forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Protocol

from wnsim.core.units import Floats

from ..engine.jobs import Job, LazyValue

if TYPE_CHECKING:
    from ..aggregation.superposition import Superposition
    from ..trainer import Trainer
    from ..trainer.cut import SplitSteps
    from ..trainer.state import Drifted, Evaluation, State
    from ..updates.codec import Update


class SessionTask(Protocol):
    """A task on which devices are tested."""

    @property
    def name(self) -> str:
        """Name in results."""

    @property
    def test(self) -> Sized:
        """The test examples."""

    @property
    def majority_accuracy(self) -> float:
        """Accuracy of the best constant answer on the test examples, 0 to 1."""


class SessionMethod(Protocol):
    """Method of the devices."""

    @property
    def exchanges(self) -> bool:
        """Whether devices send updates."""


class SessionCostModel(Protocol):
    """Sizes of messages and of stored adapters."""

    @property
    def centroid_bytes(self) -> int:
        """Size of a device's prompt centroid [byte]."""

    @property
    def values(self) -> int:
        """Number of trained values in an update."""

    def size_bytes(self, first_contact: bool) -> int:
        """Return the size of an update's message [byte]."""

    def cluster_update_bytes(self, active: float, includes_mask: bool, newcomers: int) -> int:
        """Return the size of a cluster update's message to a device of another cluster [byte]."""

    def control_bytes(self, embedding_size: int = 0) -> int:
        """Return the size of a device's control message for clustering [byte]."""

    def listing_bytes(self, groups: int) -> int:
        """Return the size of a device's list of the cluster updates that it has [byte]."""

    def stored_bytes(self, states: int, devices: int, centroids: int, neighbors: int = 0) -> int:
        """Return the storage of cached adapters on a device, without masks [byte]."""


class SessionChannel(Protocol):
    """Channel of the updates."""

    def corrupted(
        self,
        receiver: int,
        sender: int,
        round_: int,
        update: LazyValue[Update],
        members: Sequence[int] = (),
    ) -> LazyValue[Update] | None:
        """Apply bit errors to a received update; return None if it has none."""


class SessionGroups(Protocol):
    """Updates and statistics of groups of devices that aggregate with each other."""

    def own_update(self, round_: int, state: LazyValue[State]) -> LazyValue[Update]:
        """Return the aggregated state of a device's own group after a round, as an update."""

    def cluster_update(
        self, head: int, round_: int, state: LazyValue[State], members: Sequence[int]
    ) -> LazyValue[Update]:
        """Return the update of a cluster that devices of other clusters decode."""

    def densities(self) -> tuple[Floats, Floats]:
        """Return (devices, layers) shares of active entries, and (layers,) numbers of entries."""

    def prompt_embeddings(self) -> Floats:
        """Return the embedding of each device's prompts, (devices, embedding)."""

    def active_share(self, members: Sequence[int]) -> float:
        """Return the share of the entries that are active on at least one device."""

    def collisions(
        self, members: Sequence[int], trained: Sequence[LazyValue[State]]
    ) -> tuple[float, float, float, float]:
        """Return the collision statistics of a group; see `ClusterRow`."""

    def consensus(
        self, aggregated: Sequence[LazyValue[State]], mixing: Floats
    ) -> tuple[float, float]:
        """Return the consensus error and the spectral gap of a group; see `ClusterRow`."""


class SessionTrainer(Protocol):
    """Trainer of the devices of a session."""

    @property
    def tasks(self) -> Sequence[SessionTask]:
        """The tasks, in order."""

    @property
    def task_of(self) -> Sequence[tuple[int, ...]]:
        """Numbers of each device's training tasks."""

    @property
    def method(self) -> SessionMethod:
        """Method of the devices."""

    @property
    def cost_model(self) -> SessionCostModel:
        """Sizes of messages and of stored adapters."""

    @property
    def channel(self) -> SessionChannel:
        """Channel of the updates."""

    @property
    def groups(self) -> SessionGroups:
        """Updates and statistics of groups of devices."""

    def flops(self, device: int, calibrations: int) -> float:
        """Return the operations of a device's round with a number of calibrations [FLOP].

        Those of a server are not among them.
        """

    def split_steps(self, device: int) -> SplitSteps | None:
        """Return the local steps of a device whose model is cut; None if it is whole."""

    def query(self, device: int, prompts: int) -> tuple[int, int, float]:
        """Return the sizes of a device's query and of its answer, and the operations in between.

        Parameters
        ----------
        device, prompts : the device that asks, and its number of prompts for each of its tasks

        Returns
        -------
        sizes of both messages [byte], and operations of the answer's computation [FLOP]
        """

    def class_sizes(self, device: int) -> Sequence[tuple[int, int]]:
        """Return the numbers of training examples of a device, and of test examples, by class.

        Empty if answers have no classes; else test results have the correct ones of each class.
        """

    def weight(self, device: int) -> float:
        """Return the aggregation weight of a device's update."""

    @property
    def adapts(self) -> bool:
        """Whether the size of messages adapts to the links."""

    def adapt(self, device: int, round_: int, capacities: Floats) -> None:
        """Let a device's update of a round fit into its links.

        Parameters
        ----------
        device, round_ : the device, and the round
        capacities : (links,) size that each link carries before the deadline [byte]
        """

    @property
    def plans(self) -> bool:
        """Whether the method plans the rounds of a server by the reports of its clients."""

    def plan(
        self,
        round_: int,
        clients: Sequence[int],
        compute_s: Floats,
        downlink_bps: Floats,
        uplink_bps: Floats,
    ) -> None:
        """Let the method plan a round.

        Parameters
        ----------
        round_, clients : the round, and its clients
        compute_s : (clients,) duration of their local steps [s]
        downlink_bps, uplink_bps : (clients,) rate of each on the whole band [bit/s]
        """

    def renew(self, device: int, round_: int, start: LazyValue[State] | None) -> Drifted | None:
        """Give a device the examples of a round, and return what this changes; None for nothing.

        It is called before `train`, in each round.

        Parameters
        ----------
        device, round_ : device and round
        start : state before the local steps; None before the first round
        """

    def train(self, device: int, round_: int, start: LazyValue[State] | None) -> Job[State]:
        """Return a device's state after the local steps of a round."""

    def loss(self, trained: Job[State]) -> float:
        """Return the mean loss of a device's local steps [nat]."""

    def epsilon(self, device: int) -> float:
        """Return the privacy loss of a device up to now, NaN if it is not bounded."""

    def check_agreement(self, round_: int, state: str) -> None:
        """Check that the state of the simulation is the same on all ranks."""

    def outgoing_update(
        self, device: int, round_: int, state: LazyValue[State]
    ) -> LazyValue[Update]:
        """Return the update that neighbors decode from a device's message."""

    def update_bytes(
        self, device: int, round_: int, state: LazyValue[State], first_contact: bool
    ) -> int:
        """Return the size of the message with a device's update [byte]."""

    def average_bytes(
        self, average: LazyValue[Update], device: int, round_: int, is_current: bool
    ) -> int:
        """Return the size of the message with a server's average to a client [byte]."""

    def aggregate(
        self,
        device: int,
        own: LazyValue[State],
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
    ) -> LazyValue[State]:
        """Return a device's state, aggregated with received updates."""

    def average(
        self,
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
        previous: LazyValue[Update] | None = None,
    ) -> LazyValue[Update]:
        """Return the server's average of client updates."""

    def superposed_average(
        self,
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
        superposition: Superposition | None,
        exact: Sequence[LazyValue[Update]] = (),
        exact_weights: Sequence[float] = (),
        previous: LazyValue[Update] | None = None,
    ) -> LazyValue[Update]:
        """Return the server's average of client updates that a channel has added."""

    def superposed_aggregate(
        self,
        device: int,
        own: LazyValue[State],
        received: Sequence[LazyValue[Update]],
        weights: Sequence[float],
        superposition: Superposition | None,
        exact: Sequence[LazyValue[Update]] = (),
        exact_weights: Sequence[float] = (),
    ) -> LazyValue[State]:
        """Return a device's state, aggregated with updates that a channel has added."""

    def distance(self, update: LazyValue[Update], before: LazyValue[Update] | None) -> float:
        """Return the distance of an update from the average before it; None: the initial one."""

    def for_client(
        self, device: int, average: LazyValue[Update], round_: int | None = None
    ) -> LazyValue[Update]:
        """Return the server's average as a client decodes it."""

    def adopt(
        self, device: int, own: LazyValue[State] | None, average: LazyValue[Update]
    ) -> LazyValue[State]:
        """Return a device's state with the adapter of the server's average."""

    def test(
        self,
        device: int,
        round_: int,
        state: LazyValue[State] | None,
        cached: Mapping[int, LazyValue[Update]] | None = None,
    ) -> LazyValue[Evaluation]:
        """Return a device's test results on all tasks."""


if TYPE_CHECKING:

    def _implements(trainer: Trainer) -> SessionTrainer:
        return trainer
