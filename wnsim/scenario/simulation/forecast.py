"""Forecast of a scenario: its first round, simulated without training.

World, network, background traffic, faults, energy and session are those of the run, and so are the
messages of the first round and their outcomes. Only what is learned is missing, and with it what a
user-defined method sends of it, whose size is that of random factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wnsim.channel.heights import length_m
from wnsim.contacts import contacts
from wnsim.core.transfer import OTHER_KINDS, SIDE_KINDS, Transfer
from wnsim.core.units import Floats
from wnsim.mobility import first_presence_s
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.simulation.learning import Learner
from wnsim.scenario.simulation.processes import start
from wnsim.scenario.simulation.simulate import network_of
from wnsim.scenario.spec.channel_models import StatisticalChannel

if TYPE_CHECKING:
    from wnsim.network import Network
    from wnsim.scenario.simulation.processes import Processes
    from wnsim.scenario.spec.schema import Scenario
    from wnsim.world import World

_HORIZON_S = 300.0
"""Time after the first round over which contacts are observed."""
_MOST_ERRORS = 0.2
"""Largest share of messages on the wrong side of a range."""


@dataclass(frozen=True)
class Forecast:
    """Forecast of a scenario.

    Parameters
    ----------
    size_bytes, first_bytes : size of a message, and of the first one to a receiver; where rounds or
        devices differ, the mean over the first ones [byte]
    start_s, end_s : start and end of the first round in which a device is present; NaN if there is
        none [s]
    transfers : messages that are submitted in that round, without those of `OTHER_KINDS`
    others : messages of these kinds, as far as they have ended
    lifetime_s : lifetime of a message [s]
    range_m : distance that separates delivered from other messages best; None if it does so badly,
        or if messages do not go from device to device by radio [m]
    contact_s : (contacts,) durations of the contacts within that distance; None for static
        devices [s]
    compute_s : (devices,) duration of one round's training [s]
    wall_flop : operations of the run on this machine; None without learning [FLOP]
    sustained_share : share of the speed of a large product that they sustain
    memory_bytes : estimated memory of weights and training on this machine [byte]
    precision : of the products with frozen weights: `float32` or `bfloat16`
    assumes : whether masks and prompts are assumed, which take long to calibrate
    """

    size_bytes: int
    first_bytes: int
    start_s: float
    end_s: float
    transfers: tuple[Transfer, ...]
    others: tuple[Transfer, ...]
    lifetime_s: float
    range_m: float | None
    contact_s: Floats | None
    compute_s: Floats
    wall_flop: float | None
    sustained_share: float
    memory_bytes: int
    precision: str
    assumes: bool


def forecast(scenario: Scenario) -> Forecast:
    """Return the forecast of a scenario.

    Raises
    ------
    ScenarioError
        if the scenario cannot be run
    """
    world = build_world(scenario)
    network = network_of(scenario, world)
    try:
        return _forecast(scenario, world, network)
    finally:
        network.records.discard()


def _forecast(scenario: Scenario, world: World, network: Network) -> Forecast:
    """Return the forecast of a scenario in its world, on a network at time zero."""
    round_ = _FirstRound(world, network)
    processes = start(scenario, world, network, round_.ended, Learner(trains=False))
    try:
        processes.run_until(round_.over | processes.over)
    except ValueError as error:
        raise ScenarioError(str(error)) from error
    sent = round_.transfers()
    transfers = tuple(each for each in sent if each.message.kind not in OTHER_KINDS)
    size_bytes, first_bytes, lifetime_s = _messages(scenario, processes)
    range_m = None
    models = isinstance(scenario.channel, StatisticalChannel) and scenario.replay is None
    radio = models and scenario.transport.routing == "rates"
    if scenario.base_stations is None and radio:
        range_m = _range_m(world, transfers)
    contact_s = None
    if range_m is not None and world.motion.max_speed_mps > 0:
        until_s = round_.end_s + _HORIZON_S
        rows = contacts(world.motion, range_m, until_s, heights=world.heights).rows
        contact_s = (rows["end_s"] - rows["begin_s"])[~rows["censored"]]
    trainer, compute_s = processes.trainer, np.empty(0)
    if trainer is not None:
        compute_s = np.array(
            [world.compute_time_s(each, trainer.flops(each, 0)) for each in range(world.count)]
        )
    return Forecast(
        size_bytes,
        first_bytes,
        round_.start_s,
        round_.end_s,
        transfers,
        tuple(each for each in sent if each.message.kind in OTHER_KINDS),
        lifetime_s,
        range_m,
        contact_s,
        compute_s,
        None if trainer is None else trainer.run_flops(),
        1.0 if trainer is None else trainer.sustained_share,
        0 if trainer is None else trainer.memory_bytes,
        "float32" if trainer is None else trainer.precision,
        getattr(getattr(processes.session, "trainer", None), "assumes", False),
    )


class _FirstRound:
    """The first round in which a device is present.

    Parameters
    ----------
    world, network : of the scenario

    Attributes
    ----------
    start_s, end_s : its start and end; NaN if there is none [s]
    over : event at its end
    """

    def __init__(self, world: World, network: Network) -> None:
        self._world, self._network = world, network
        self.start_s = self.end_s = math.nan
        self.over = network.env.event()
        self._before_s = 0.0
        self._ended: list[Transfer] = []
        self._in_flight = network.env.event()

    def ended(self, number: int, *_: object) -> None:
        """Receive the end of a round."""
        now_s = self._network.now_s
        if number == 0 or self.over.triggered:
            return
        first_s = first_presence_s(self._world.motion, now_s)
        if first_s < now_s:
            self.start_s, self.end_s = max(self._before_s, first_s), now_s
            self._ended = list(self._network.transfers)
            self._in_flight = self._network.drained(SIDE_KINDS)
            self.over.succeed()
        self._before_s = now_s

    def transfers(self) -> list[Transfer]:
        """Return the messages submitted until its end; those in flight then are followed to theirs.

        Background messages and probes that were in flight are left out.
        """
        if not self.over.triggered:
            return []
        rest: Any = self._network.env.run(until=self._in_flight)
        return [*self._ended, *rest.values()]


def _messages(scenario: Scenario, processes: Processes) -> tuple[int, int, float]:
    """Return the size of a message, that of a first one [byte], and their lifetime [s]."""
    trainer, session = processes.trainer, processes.session
    if scenario.fl is None or trainer is None or session is None:
        traffic = scenario.traffic
        size_bytes = 0 if traffic is None else traffic.size_bytes
        return size_bytes, size_bytes, 0.0 if traffic is None else traffic.lifetime_s
    later, first = (
        trainer.cost_model.mean_bytes(is_first, scenario.fl.rounds, session.devices)
        + session.profile_bytes(is_first)
        for is_first in (False, True)
    )
    return later, first, scenario.fl.deadline_s


def _range_m(world: World, transfers: tuple[Transfer, ...]) -> float | None:
    """Return the distance that separates delivered from other messages with the fewest errors [m].

    Errors are messages up to that distance that are not delivered, and delivered ones beyond it.

    Returns
    -------
    the distance; None if there are no messages, or too many errors
    """
    if not transfers:
        return None
    apart_m = []
    for each in transfers:
        ends = np.array([each.message.source, each.message.target])
        first_m, second_m = world.in_space_m(ends, np.array([each.sent_s]))[:, 0]
        apart_m.append(float(length_m(second_m - first_m)))
    order = np.argsort(apart_m, kind="stable")
    distance_m = np.array(apart_m)[order]
    delivered = np.array([each.delivered for each in transfers])[order]
    # Each delivered message up to a distance is one error less, each other one an error more.
    errors = delivered.sum() + np.cumsum(np.where(delivered, -1, 1))
    # Equal distances are not separated.
    last = np.append(np.diff(distance_m) > 0, True)
    best = int(np.argmin(np.where(last, errors, delivered.size + 1)))
    separates = errors[best] <= _MOST_ERRORS * delivered.size and delivered[: best + 1].any()
    return float(distance_m[best]) if separates else None
