"""Forecast of a scenario before anything is trained: `--dry-run`.

Sizes and operation counts are those of the run itself. The messages of the first round are sent on
the simulated air, all at once and without learning; contacts follow from the mobility. The wall
time on this machine is estimated from the speed of one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wnsim.contacts import contacts
from wnsim.core.transfer import Message
from wnsim.core.units import Floats
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.simulation.learning import learn
from wnsim.scenario.simulation.simulate import network_of
from wnsim.scenario.spec.schema import Scenario

if TYPE_CHECKING:
    from fl.trainer import Trainer
    from wnsim.core.transfer import Transfer
    from wnsim.network import Network
    from wnsim.world import World

_USUAL_DEGREE = 4
"""Neighbors of a device where they are only known when something has been trained."""
_UTILIZATION = 0.3
"""Share of the speed of a large product that training and testing small adapters sustain here, by
tests/benchmarks/training.py; the estimate is good within a factor of about two."""
_HORIZON_S = 300.0
_LOOKS_S = (0.0, 20.0, 40.0)
"""Instants at which rates are evaluated for the range of a message."""


@dataclass(frozen=True)
class Forecast:
    """Forecast of a scenario.

    Parameters
    ----------
    size_bytes, first_bytes : size of a message, and of the first one to a receiver [byte]
    messages : number of messages in the first round
    arrived_s : (delivered,) latencies of the delivered messages [s]
    lifetime_s : lifetime of a message [s]
    range_m : distance within which a message is likely delivered in time; None if at none [m]
    contact_s : (contacts,) durations of contacts within that distance; None for static devices [s]
    compute_s : (devices,) duration of one round's training [s]
    wall_flop : operations of the run on this machine; None without learning [FLOP]
    """

    size_bytes: int
    first_bytes: int
    messages: int
    arrived_s: Floats
    lifetime_s: float
    range_m: float | None
    contact_s: Floats | None
    compute_s: Floats
    wall_flop: float | None


def forecast(scenario: Scenario) -> Forecast:
    """Return the forecast of a scenario.

    Raises
    ------
    ScenarioError
        if the scenario cannot be run
    """
    world = build_world(scenario)
    network = network_of(scenario, world)
    compute_s = np.empty(0)
    wall_flop = None
    if scenario.fl is not None:
        lifetime_s, degree = scenario.fl.deadline_s, _degree(scenario)
        quiet = network_of(scenario, world)
        trainer, session = learn(
            scenario, quiet, world.compute_time_s, world.count, lambda *_: None, None, None
        )
        first_bytes, size_bytes = (
            trainer.cost_model.size_bytes(first) + session.profile_bytes(first)
            for first in (True, False)
        )
        compute_s = np.array(
            [world.compute_time_s(each, trainer.flops(each, False)) for each in range(world.count)]
        )
        wall_flop = _work(scenario, trainer)
    elif scenario.traffic is not None:
        traffic = scenario.traffic
        lifetime_s, degree = traffic.lifetime_s, traffic.neighbors
        first_bytes = size_bytes = traffic.size_bytes
    else:
        raise ScenarioError("there is nothing to simulate: give a section fl, or traffic")
    sends = scenario.fl or scenario.traffic
    quantile = sends.broadcast_quantile if sends is not None and sends.broadcast else None
    transfers = _first_round(network, size_bytes, lifetime_s, degree, quantile)
    arrived_s = np.array([each.latency_s for each in transfers if each.delivered])
    copies = max(1, degree) if quantile is None else 1
    range_m = _range_m(world, 8.0 * size_bytes * copies, lifetime_s)
    contact_s = None
    if range_m is not None and world.motion.max_speed_mps > 0 and world.count > 1:
        rows = contacts(world.motion, range_m, _HORIZON_S, heights=world.heights).rows
        contact_s = (rows["end_s"] - rows["begin_s"])[~rows["censored"]]
    return Forecast(
        size_bytes, first_bytes, len(transfers), arrived_s, lifetime_s, range_m, contact_s,
        compute_s, wall_flop,
    )  # fmt: skip


def lines(scenario: Scenario, repeat: int, speed: float | None = None) -> list[str]:
    """Return the forecast of a scenario as lines of text.

    Parameters
    ----------
    scenario : scenario to forecast
    repeat : number of runs that differ in their seeds only
    speed : speed of this machine; measured by default [FLOP/s]

    Raises
    ------
    ScenarioError
        if the scenario cannot be run
    """
    found = forecast(scenario)
    texts = [f"message: {_bytes(found.size_bytes)}"]
    if found.first_bytes > found.size_bytes:
        texts[0] += f", {_bytes(found.first_bytes)} at first contact"
    texts.append(_message_lines(found))
    texts += _contact_lines(found)
    if found.compute_s.size:
        low, high = found.compute_s.min(), found.compute_s.max()
        texts.append(f"computing: {low:.3g} to {high:.3g} s per round and device")
    if found.wall_flop is not None:
        each_s = found.wall_flop / ((_speed(scenario) if speed is None else speed) * _UTILIZATION)
        text = f"this machine: about {_duration(each_s)} per run"
        if repeat > 1:
            text += f", {_duration(each_s * repeat)} for all {repeat} in sequence"
        texts.append(f"{text} ({found.wall_flop:.2g} operations) of training, plus the network")
    return texts + [f"warning: {text}" for text in warnings(found)]


def warnings(found: Forecast) -> list[str]:
    """Return warnings about a scenario that is unlikely to work."""
    texts = []
    late = found.messages - found.arrived_s.size
    if found.messages and late > found.messages / 2:
        texts.append(
            f"{late} of {found.messages} messages of a round do not arrive within "
            f"{found.lifetime_s:g} s; try smaller messages, fewer neighbors, more bandwidth or "
            "a later deadline"
        )
    if found.contact_s is not None and found.contact_s.size and found.arrived_s.size:
        contact_s, takes_s = np.median(found.contact_s), np.median(found.arrived_s)
        if contact_s < takes_s:
            texts.append(
                f"the median message takes {takes_s:.3g} s, the median contact {contact_s:.3g} s"
            )
    return texts


def _degree(scenario: Scenario) -> int:
    """Return the number of neighbors of a device; a guess if it depends on training."""
    learning = scenario.fl
    if learning is None:
        return 0
    known = {"ring": 2, "full": scenario.devices.count - 1, "alone": 0}
    model = learning.topology.model
    return known.get(model, getattr(learning.topology, "degree", _USUAL_DEGREE))


def _first_round(
    network: Network, size_bytes: int, lifetime_s: float, degree: int, quantile: float | None
) -> list[Transfer]:
    """Simulate a round in which all devices transmit at once.

    Parameters
    ----------
    network : network of the scenario
    size_bytes, lifetime_s : size and lifetime of each message [byte, s]
    degree : number of receivers of each device, unless it transmits to the server
    quantile : see `Network.broadcast`; none: a message to each receiver
    """
    view = network.snapshot()
    events = []
    for device in np.flatnonzero(view.present).tolist():
        targets = [network.server] if network.server is not None else view.nearest(device, degree)
        messages = [Message(device, int(to), size_bytes, lifetime_s) for to in targets]
        if quantile is None or network.server is not None:
            events += [network.send(message) for message in messages]
        elif messages:
            receivers = [message.target for message in messages]
            events += network.broadcast(messages[0], receivers, quantile)
    network.env.run(until=network.env.all_of(events))
    return list(network.transfers)


def _range_m(world: World, bits: float, lifetime_s: float) -> float | None:
    """Return the distance within which half of the links carry a number of bits in a time [m]."""
    apart, fast = [], []
    for time_s in _LOOKS_S:
        view = world.snapshot(time_s, [], None)
        upper = np.triu(view.present[:, None] & view.present, 1)
        apart.append(view.distance_m[upper])
        fast.append(view.rate_bps[upper] * lifetime_s >= bits)
    distance_m, enough = np.concatenate(apart), np.concatenate(fast)
    order = np.argsort(distance_m, kind="stable")
    share = np.cumsum(enough[order]) / np.arange(1, order.size + 1)
    good = np.flatnonzero(share >= 0.5)
    return float(distance_m[order[good[-1]]]) if good.size else None


def _work(scenario: Scenario, trainer: Trainer) -> float:
    """Return the operations of training and evaluation of a run on this machine [FLOP]."""
    learning = scenario.fl
    if learning is None:
        return 0.0
    examples = trainer.examples
    devices = range(len(examples.steps))
    trained = (
        learning.rounds
        * learning.batch_size
        * sum(examples.steps[device] * examples.width(device) for device in devices)
    )
    width = np.mean([examples.width(device) for device in devices])
    tests = 1 + -(-learning.rounds // learning.evaluate_every)
    tested = tests * len(devices) * sum(len(task.test) for task in trainer.tasks) * width
    parameters = trainer.model.parameter_count
    return float(parameters * (4.0 * trained + 2.0 * tested))


def _speed(scenario: Scenario) -> float:
    """Return the speed of a large matrix product with the threads of a run [FLOP/s]."""
    from fl.engine.device import matmul_flops_per_s

    return matmul_flops_per_s(1 if scenario.fl is None else scenario.fl.trainer.threads)


def _message_lines(found: Forecast) -> str:
    """Return lines on the messages of the first round."""
    if not found.messages:
        return "air: no messages, except for the cluster exchange"
    begin = f"air: of {found.messages} messages at once"
    if not found.arrived_s.size:
        return f"{begin}, none arrives within {found.lifetime_s:g} s"
    half_s, most_s = np.quantile(found.arrived_s, [0.5, 0.9])
    return (
        f"{begin}, {found.arrived_s.size} arrive within {found.lifetime_s:g} s, "
        f"with median latency {half_s:.3g} s and 90th percentile {most_s:.3g} s"
    )


def _contact_lines(found: Forecast) -> list[str]:
    """Return lines on contacts if devices move."""
    if found.range_m is None:
        return [
            f"contacts: at no distance is a message likely to arrive within {found.lifetime_s:g} s"
        ]
    text = f"contacts: messages are likely to arrive in time within {found.range_m:.0f} m"
    if found.contact_s is None or not found.contact_s.size:
        return [text]
    return [f"{text}, where contacts last {np.median(found.contact_s):.3g} s (median)"]


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _duration(seconds: float) -> str:
    for most, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < most:
            return f"{seconds / divisor:.2g} {unit}"
    return f"{seconds / 86_400:.2g} days"
