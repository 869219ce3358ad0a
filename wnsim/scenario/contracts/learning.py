"""Contract checks of the models of learning.

These are method, topology, client selection, task, partition and protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wnsim.core.units import Floats

if TYPE_CHECKING:
    from fl.updates.codec import Update

_SEED = 7


def method(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of methods."""
    from fl.adapters import Layer
    from fl.methods import method_of
    from fl.methods.extensions import (
        extra_shapes,
        has_varying_sizes,
        masks_of_seed,
        shapes_update_in,
    )
    from fl.methods.user_updates import has_shapes_rule, random_adapter
    from fl.updates.codec import Update, decode, encode, encoded_bytes

    made = method_of(config)
    layers = (Layer("q", 96, 64), Layer("up", 64, 96))
    first = made.initial(layers, _SEED, 0, 2)
    if not first.is_zero():
        yield "initial must return an adapter that changes nothing yet"
    ranks = made.ranks(layers)
    held = [rank + first.fixed_ranks for rank in ranks]
    if [b.shape[1] for b in first.b] != held or [a.shape[0] for a in first.a] != held:
        yield f"initial must have the ranks that ranks returns, {ranks}"
        return
    again = made.initial(layers, _SEED, 0, 2)
    if not all(np.array_equal(x, y) for x, y in zip(first.a, again.a, strict=True)):
        yield "initial must return the same for the same seed and device"
    has_rule = has_shapes_rule(made) and not getattr(made, "variable_size", False)
    if has_rule:
        for contact in (True, False):
            shape = made.shapes_update(layers, contact)
            if not isinstance(shape, Update) or encoded_bytes(shape) != len(encode(shape)):
                yield "shapes_update must return an update whose mask fits its factors"
                return
    if not made.exchanges:
        return
    one, other = (random_adapter(made, layers, seed) for seed in (_SEED, _SEED + 1))
    sent: dict[bool, bytes] = {}
    for contact in (True, False):
        fresh = method_of(config)
        update = fresh.update(one, 0, 1, contact)
        sent[contact] = encode(update)
        if len(sent[contact]) != encoded_bytes(update):
            yield "update must return an update whose mask fits its factors"
            return
        # The mask of a calibration has another density than this random one.
        if has_rule and not any(made.calibration) and not has_varying_sizes(made):
            ruled = encoded_bytes(shapes_update_in(made, layers, contact, 0, 1))
            if len(sent[contact]) != ruled:
                yield (
                    "shapes_update must be as large as an update is, "
                    f"{len(sent[contact])} bytes, got {ruled}"
                )
    if encode(method_of(config).update(one, 0, 1, True)) != sent[True]:
        yield "update must return the same for the same adapter, device and round"
    after = method_of(config)
    after.update(other, 1, 1, True)
    if encode(after.update(one, 0, 1, True)) != sent[True]:
        yield "update must not depend on updates of other devices"
    try:
        shapes, masks_of = extra_shapes(made, layers), masks_of_seed(made, layers)
        received = decode(sent[True], layers, ranks, extra=shapes, masks_of=masks_of)
    except ValueError as error:
        yield f"a receiver must be able to decode an update at first contact, but {error}"
        return
    average = made.average([received, received], [1.0, 3.0])
    if not _is_same(received, average):
        yield "average of equal updates must be that update"
    kept = made.adopt(one, average)
    if [b.shape for b in kept.b] != [b.shape for b in one.b]:
        yield "adopt must return an adapter of the same shapes"


def _is_same(one: Update, other: Update) -> bool:
    """Return whether two updates have the same B, or the same product of their factors."""
    pairs = list(zip(one.b, other.b, strict=True))
    if all(np.allclose(x, y, atol=1e-3) for x, y in pairs):
        return True
    if one.a is None or other.a is None:
        return False
    factors = zip(pairs, one.a, other.a, strict=True)
    return all(np.allclose(x @ a, y @ b, atol=1e-3) for (x, y), a, b in factors)


@dataclass
class _View:
    """View of the network that a topology sees in its check; see `fl.topology.View`."""

    present: Any
    distance_m: Floats

    @property
    def tx_power_w(self) -> Floats:
        return np.ones(self.present.size)

    def required_power_w(self, bits: float, deadline_s: float, receivers: int) -> Floats:
        return np.asarray(1e-6 * self.distance_m**2)


def topology(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of topologies."""
    from fl.topology import TopologyContext, policy_of

    count = 10
    places_m = np.random.default_rng(_SEED).random((count, 2)) * 100.0
    apart_m = places_m[:, None] - places_m
    there = np.ones(count, dtype=np.bool_)
    there[[0, 4]] = False
    view = _View(there, np.hypot(apart_m[..., 0], apart_m[..., 1]))
    embeddings = np.random.default_rng(_SEED).normal(size=(count, 8))
    context = TopologyContext(
        count, _SEED, [(device % 3,) for device in range(count)],
        densities=lambda: (np.full((count, 2), 0.25), np.ones(2)),
        prompt_embeddings=lambda: embeddings,
    )  # fmt: skip
    graph, again = (policy_of(config, context)(view, 1) for _ in range(2))
    if set(graph.nodes) != set(np.flatnonzero(there).tolist()):
        yield "the graph must have exactly the devices that are there"
    if any(one == other for one, other in graph.edges):
        yield "no device may be its own neighbor"
    if set(map(frozenset, graph.edges)) != set(map(frozenset, again.edges)):
        yield "the graph must be the same for the same view"


def client_selection(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of client selections."""
    from fl.session.selection import Choice, LastRound, Reports, SelectionContext, selector_of

    count, wanted = 10, 3
    rng = np.random.default_rng(_SEED)
    rates_bps = rng.exponential(1e7, (2, count))
    # A device out of reach.
    rates_bps[:, 7] = 0.0
    snr = np.exp2(rates_bps[0] / 1e7) - 1.0
    no_blocks = np.empty((count, 0))
    reports = Reports(
        rates_bps[0], rates_bps[1], rng.exponential(2.0, count), rng.random(count), snr,
        no_blocks, no_blocks,
    )  # fmt: skip
    if not config.reports:
        reports = Reports.unknown(count)
    context = SelectionContext(count, _SEED, rng.integers(1, 9, count).astype(np.float64))
    selectors = [selector_of(config, context) for _ in range(2)]
    for number in range(1, 9):
        devices = np.flatnonzero(rng.random(count) < 0.8)
        distance = np.where(rng.random(count) < 0.5, np.nan, rng.random(count))
        last = LastRound((1, 2), (2,), rng.integers(0, 9, count), distance)
        choice = Choice(number, devices, min(wanted, devices.size), reports, last, 1e6, 1e6)
        before = repr(choice)
        chosen, again = ([int(each) for each in select(choice)] for select in selectors)
        if repr(choice) != before:
            yield "a selection must not change what it chooses from"
        if not set(chosen) <= set(devices.tolist()):
            yield f"each client must be one of the devices that may be selected, got {chosen}"
        if len(set(chosen)) < len(chosen):
            yield f"no device may be selected twice, got {chosen}"
        if chosen != again:
            yield "the clients must be the same for equal rounds before"


def task(source: Any) -> Iterator[str]:
    """Yield the violations of the contract of task sources."""
    first, again = (
        [source.draw(np.random.default_rng([_SEED, n]), n % source.strata) for n in range(40)]
        for _ in range(2)
    )
    if first != again:
        yield "draw must return the same for the same generator"
    for example in first:
        if not example.prompt or not example.answer:
            yield f"prompt and answer must not be empty, got {example!r}"
        elif example.choices and example.answer not in example.choices:
            yield f"the answer must be one of the choices, got {example!r}"
        else:
            continue
        break
    if not (0.0 <= source.chance <= 1.0 and source.prompts >= source.strata >= 1):
        yield "chance must be from 0 to 1, and prompts at least strata, at least 1"


def partition(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of partitions."""
    from fl.data.partition import partition as split
    from fl.tasks import Example, Task

    devices = 8
    tasks = [
        Task(f"task {k}", tuple(Example(f"{k} {n}", "x") for n in range(200)), (), 0.0)
        for k in range(4)
    ]
    try:
        shares = split(config, tasks, devices, _SEED)
    except ValueError as error:
        yield str(error)
        return
    if len(shares) != devices:
        yield f"there must be one share for each of {devices} devices, got {len(shares)}"
        return
    if shares != split(config, tasks, devices, _SEED):
        yield "the shares must be the same for the same seed"
    if not all(share.owned for share in shares):
        yield "each device must have at least one example"
    owned = Counter(each for share in shares for each in share.owned)
    if max(owned.values(), default=0) > 1:
        yield "no example may belong to two devices"
    if not set(owned) <= {(k, each) for k, task in enumerate(tasks) for each in task.train}:
        yield "each example must be one of its task's training examples"
    elif (
        # A user-defined partition may leave some out.
        ":" not in config.model
        and not config.size_spread
        and len(owned) != sum(len(task.train) for task in tasks)
    ):
        yield "each example must belong to a device if size_spread is 0"


def protocol(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of protocols: of a session in a small network."""
    try:
        first, again = (_session(config) for _ in range(2))
    except ValueError as error:
        yield str(error)
        return
    network, session, rounds, devices = *first, _ROUNDS, _DEVICES
    if not session.done.triggered:
        yield f"the session must end, here within {_LIMIT_S:g} s"
        return
    if network.in_flight:
        yield f"no message may be under way at the end, got {network.in_flight}"
    if any(store.items for store in network.inbox):
        yield "no message may be left in an inbox at the end"
    made = Counter(row.device for row in session.rounds)
    if set(made) != set(range(devices)) or sum(made.values()) != rounds * devices:
        found = dict(sorted(made.items()))
        yield f"{rounds} rounds of {devices} devices must be recorded, got {found}"
    tested = Counter(row.round for row in session.evaluations)
    if set(tested) != set(range(rounds + 1)) or set(tested.values()) != {devices}:
        yield f"each device must be tested once after each round from 0 to {rounds}"
    offered = Counter(dict.fromkeys(range(devices), 0))
    for row in session.rounds:
        offered[row.device] += row.offered_bytes
        if not row.start_s <= row.trained_s <= row.end_s:
            yield "a round must start, train and end in this order"
            break
    sent = Counter(dict.fromkeys(range(devices), 0))
    for transfer in network.transfers:
        if transfer.message.source < devices and transfer.message.kind == "update":
            sent[transfer.message.source] += transfer.message.size_bytes
    if offered != sent:
        yield f"the rounds must record all bytes sent, {dict(sent)}, got {dict(offered)}"
    # As texts, since a NaN differs from itself.
    if _texts(*first) != _texts(*again):
        yield "the session must be the same for the same seed"


_ROUNDS, _DEVICES = 3, 4
# Simulated time by which a session must have ended.
_LIMIT_S = 1000.0


def _texts(network: Any, session: Any) -> list[str]:
    """Return the records of a session as texts."""
    return [repr(list(each)) for each in (network.transfers, session.rounds, session.evaluations)]


def _session(config: Any) -> tuple[Any, Any]:
    """Run a session of devices and a base station; return its network and the session."""
    from fl.config import Full, Learning
    from fl.session import session_factory
    from fl.session.completion import run_until
    from fl.session.quadratic_trainer import QuadraticTrainer
    from wnsim.mac import Cell
    from wnsim.mobility import Static
    from wnsim.scenario.simulation.build import build_world
    from wnsim.scenario.simulation.simulate import network_of
    from wnsim.scenario.spec.schema import Devices, Scenario
    from wnsim.world.base_stations import BaseStations

    learning = Learning(rounds=_ROUNDS, evaluate_every=1, topology=Full(), protocol=config)
    scenario = Scenario(
        name="contract",
        fl=learning,
        area_m=(100.0, 100.0),
        devices=Devices(count=_DEVICES),
        mobility=Static(),
        mac=Cell(),
        base_stations=BaseStations(),
    )
    network = network_of(scenario, build_world(scenario))
    # Its adapters are numbers.
    trainer: Any = QuadraticTrainer(range(_DEVICES), 0.1)
    session = session_factory(config)(
        network,
        trainer,
        learning,
        # Devices of equal speed, so that all make equally many rounds.
        lambda device, flops: 1.0,
        _DEVICES,
        _SEED,
        lambda number, time_s, accuracy: None,
    )
    run_until(session, network.timeout(_LIMIT_S))
    network.close()
    return network, session
