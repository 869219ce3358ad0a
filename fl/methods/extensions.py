"""Optional members of methods, and what holds for a method that does not define them.

No method needs any of them; `Method` lists what every method has.

* `start_run(seed, devices)` is called once, before anything else, with the seed of the run and the
  number of devices whose updates are averaged in a round: with a server, of its clients.
* `trains(round_)` returns the factors that devices train in a round: `ab`, `a` or `b`. Moments of
  the optimizer of a factor that is frozen in a round wait for the next round that trains it.
* `masked(adapter, device, round_)` returns the adapter with which the local steps of a round begin,
  for instance with masks of this round (`Adapter.mask`, `Adapter.mask_a`): entries outside of them
  are frozen, and their moments wait. `masks_of_seed(layers, seed)` returns the masks of B and A
  that a receiver draws from the seed in a message (`Update.mask_seed`).
* `extra_shapes(layers)` returns the shapes of the further matrices of updates (`Update.extra`).
* `shapes_update_in(layers, first_contact, device, round_)` replaces `shapes_update` where updates
  differ in size between rounds or devices. `bytes_in(layers, device, round_, bits)` returns the
  size of such a message in its place, for `payload: {emulate: ...}`, where shapes take long.
* `stateful`: whether `update` must be called in the order of simulated time.
* `sizes_vary`: whether messages are charged as they are serialised, since their size depends on
  their values; `shapes_update` is then an estimate, for `payload: {emulate: ...}`.
* `differential`: whether an update is of use only to receivers of the one before. A receiver that
  missed one is then sent that of a first contact. Devices aggregate their own update as others
  decode it.
* `combine(own, local, received, weights)` returns a device's adapter after aggregation, in place of
  `average` and `adopt` among peers: it knows the receiver.
* `serve(average, previous)` returns the update that a server sends to its clients, given the one
  that it sent before; `aggregate_clients(previous, updates, weights)` replaces both it and
  `average`. `served_shapes(layers)` returns an update of zeros as large as it.
* `tailored(average, device, round_, is_current)` returns the part of it that a server sends to one
  client in a round, or, with None for the round, the whole that a client is tested with;
  `is_current` says whether the client has received the one before. `tailored_shapes(layers, device,
  round_, is_current)` returns an update of zeros as large as it.
* `fit(model, adapter)` returns the initial adapter as it follows from the frozen model, which all
  devices have.
* `plan(round_, clients, compute_s, down_s, up_s)` is called before a round of a server with what it
  knows of its clients by their reports, if `plans` is true: durations of their local steps, and of
  carrying a whole adapter down and up, each array of shape (clients,) [s]. `planned(device,
  round_)` returns what was planned as a number; sizes of messages and masks may depend on it.
* `adapt(device, round_, share)` is called before a device sends, if `adapts` is true, with the
  share of its entries that its links carry before the deadline; `planned` returns it then.
* `renews_below` is the share of a mask's entries, beyond chance, below which a device whose data
  have changed renews its adapter (`calibrate`, and `initial` with another seed); None for never.
* `pools_examples`: whether all devices train one adapter, on the examples of all of them.
* `fixed_ranks` is the number of frozen ranks beside the trained ones (`Adapter.fixed_ranks`).
* `objective(adapter, seed)` returns a term of a device's objective in a round (`LocalObjective`),
  or None; random draws come from the seed.
* `trained(start, after, steps, learning_rate, loss)` returns the adapter after local steps, which
  began with `start` and had a mean loss, for instance with new tensors in `Adapter.kept`.
* `stored_entries(layers, neighbors)` returns how many numbers a device stores beside its factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..updates.codec import MasksOf, Update

if TYPE_CHECKING:
    from wnsim.core.units import Floats

    from ..adapters import AdaptedModel, Adapter, Layer
    from ..adapters.flat_parameters import Trained
    from ..training.objective import LocalObjective
    from . import Method


class Combine(Protocol):
    """Aggregation that knows the receiver."""

    def __call__(
        self,
        own: Adapter,
        local: Update,
        received: Sequence[Update],
        weights: Sequence[float],
    ) -> Adapter:
        """Return the receiver's adapter.

        Parameters
        ----------
        own, local : the receiver's adapter after its local steps, and its own update
        received : updates of others
        weights : weight of its own update, then of each received one
        """


class Serve(Protocol):
    """Update that a server sends to its clients."""

    def __call__(self, average: Update, previous: Update) -> Update:
        """Return the update, given the average of a round and the update that was sent before."""


class AggregateClients(Protocol):
    """Aggregation of a server that knows what it sent before."""

    def __call__(
        self, previous: Update, updates: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Return the server's next state, of which it sends each client a part."""


def start_run(method: Method, seed: int, devices: int) -> None:
    """Tell a method the seed of the run and the number of devices in an average."""
    start: Any = getattr(method, "start_run", None)
    if start is not None:
        start(seed, devices)


def masked(method: Method, adapter: Adapter, device: int, round_: int) -> Adapter:
    """Return the adapter with which a device's local steps of a round begin."""
    mask: Any = getattr(method, "masked", None)
    result: Adapter = adapter if mask is None else mask(adapter, device, round_)
    return result


def masks_of_seed(method: Method, layers: Sequence[Layer]) -> MasksOf | None:
    """Return the rule by which receivers draw masks from a seed, None if there is none."""
    rule: Any = getattr(method, "masks_of_seed", None)
    return None if rule is None else lambda seed: rule(layers, seed)


def has_varying_sizes(method: Method) -> bool:
    """Return whether the size of an update depends on its values."""
    return bool(getattr(method, "sizes_vary", False))


def is_differential(method: object) -> bool:
    """Return whether an update is of use only to receivers of the one before."""
    return bool(getattr(method, "differential", False))


def stored_entries(method: Method, layers: Sequence[Layer], neighbors: int) -> int:
    """Return how many numbers a device stores beside its factors."""
    count: Any = getattr(method, "stored_entries", None)
    return 0 if count is None else int(count(layers, neighbors))


def pools_examples(method: Method) -> bool:
    """Return whether all devices train one adapter, on the examples of all of them."""
    return bool(getattr(method, "pools_examples", False))


def renews_below(method: Method) -> float | None:
    """Return the overlap of old and new masks below which adapters are renewed; None for never."""
    least: float | None = getattr(method, "renews_below", None)
    return least


def trained_factors(method: Method, round_: int) -> Trained | None:
    """Return the factors that are trained in a round; None for B, and A unless it is frozen."""
    trains: Any = getattr(method, "trains", None)
    factors: Trained | None = None if trains is None else trains(round_)
    return factors


def plans(method: Method) -> bool:
    """Return whether a method plans the rounds of a server by the reports of its clients."""
    return bool(getattr(method, "plans", False))


def plan(
    method: Method,
    round_: int,
    clients: Sequence[int],
    compute_s: Floats,
    down_s: Floats,
    up_s: Floats,
) -> None:
    """Let a method plan a round of a server.

    Parameters
    ----------
    method, round_, clients : the method, and the round and its clients
    compute_s, down_s, up_s : (clients,) see the description of this module [s]
    """
    planner: Any = getattr(method, "plan", None)
    if planner is not None:
        planner(round_, clients, compute_s, down_s, up_s)


def planned(method: Method, device: int, round_: int | None) -> list[float]:
    """Return what a method has planned of a device and round; empty for nothing."""
    found: Any = getattr(method, "planned", None)
    return [] if found is None or round_ is None else [found(device, round_)]


def adapts(method: Method) -> bool:
    """Return whether the size of a method's messages adapts to the links."""
    return bool(getattr(method, "adapts", False))


def adapt(method: Method, device: int, round_: int, share: float) -> None:
    """Tell a method which share of a whole message a device sends in a round."""
    adapting: Any = getattr(method, "adapt", None)
    if adapting is not None:
        adapting(device, round_, share)


def extra_shapes(method: Method, layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """Return the shapes of the further matrices of a method's updates."""
    shapes: Any = getattr(method, "extra_shapes", None)
    return [] if shapes is None else list(shapes(layers))


def shapes_update_in(
    method: Method, layers: Sequence[Layer], first_contact: bool, device: int, round_: int
) -> Update:
    """Return an update of zeros as large as that of a device in a round."""
    shapes: Any = getattr(method, "shapes_update_in", None)
    if shapes is None:
        return method.shapes_update(layers, first_contact)
    update: Update = shapes(layers, first_contact, device, round_)
    return update


def bytes_in(
    method: Method, layers: Sequence[Layer], device: int, round_: int, bits: int
) -> int | None:
    """Return the size of a device's message of a round [byte]; None if its shapes tell it."""
    size: Any = getattr(method, "bytes_in", None)
    return None if size is None else int(size(layers, device, round_, bits))


def has_own_sizes(method: Method) -> bool:
    """Return whether updates differ in size between rounds or devices by a rule."""
    return hasattr(method, "shapes_update_in") or hasattr(method, "bytes_in")


def is_stateful(method: Method) -> bool:
    """Return whether updates must be made in the order of simulated time."""
    return bool(getattr(method, "stateful", False))


def combine_of(method: Method) -> Combine | None:
    """Return a method's aggregation that knows the receiver, None if it has none."""
    combine: Combine | None = getattr(method, "combine", None)
    return combine


def serve_of(method: Method) -> Serve | None:
    """Return a method's rule for the update of a server, None for the average itself."""
    serve: Serve | None = getattr(method, "serve", None)
    return serve


def clients_rule(method: Method) -> AggregateClients | None:
    """Return a method's aggregation of clients that knows what was sent before, None for none."""
    rule: AggregateClients | None = getattr(method, "aggregate_clients", None)
    return rule


def tailors(method: Method) -> bool:
    """Return whether a server sends each client another part of its average."""
    return hasattr(method, "tailored")


def tailored(
    method: Method, average: Update, device: int, round_: int | None, is_current: bool
) -> Update:
    """Return the part of an average that a server sends to a client.

    Parameters
    ----------
    method, average : the method, and the average
    device, round_ : the client, and the round; None for the whole with which the client is tested
    is_current : whether the client has received the average before
    """
    part: Any = getattr(method, "tailored", None)
    update: Update = average if part is None else part(average, device, round_, is_current)
    return update


def tailored_shapes(
    method: Method, layers: Sequence[Layer], device: int, round_: int, is_current: bool
) -> Update | None:
    """Return an update of zeros as large as that of a server to a client; None for the average."""
    shapes: Any = getattr(method, "tailored_shapes", None)
    return None if shapes is None else shapes(layers, device, round_, is_current)


def objective_of_method(method: Method, adapter: Adapter, seed: int) -> LocalObjective | None:
    """Return a method's own term of a device's objective in a round, with a seed of its draws."""
    objective: Any = getattr(method, "objective", None)
    term: LocalObjective | None = None if objective is None else objective(adapter, seed)
    return term


def fitted(method: Method, model: AdaptedModel, adapter: Adapter) -> Adapter:
    """Return an initial adapter as the method fits it to the frozen model."""
    fit: Any = getattr(method, "fit", None)
    result: Adapter = adapter if fit is None else fit(model, adapter)
    return result


def served_shapes(method: Method, layers: Sequence[Layer]) -> Update | None:
    """Return an update of zeros as large as that of a server; None if an average tells its size."""
    shapes: Any = getattr(method, "served_shapes", None)
    return None if shapes is None else shapes(layers)


def after_training(
    method: Method, start: Adapter, after: Adapter, steps: int, learning_rate: float, loss: float
) -> Adapter:
    """Return the adapter after local steps, with what the method keeps of them."""
    trained: Any = getattr(method, "trained", None)
    if trained is None:
        return after
    adapter: Adapter = trained(start, after, steps, learning_rate, loss)
    return adapter
