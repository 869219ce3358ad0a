"""Client selection: functions from what a server knows to the clients of a round.

A selection sees the devices that it may select, what they have reported, and the last round; it
knows nothing of radio, nor of what is learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wnsim.core.resource_blocks import assignment, block_error
from wnsim.core.units import Floats, Ints, db_to_linear

from ..config.selection import (
    AgeOfUpdate,
    AllClients,
    BatteryAware,
    BestChannel,
    DeadlineGreedy,
    ExpectedLoss,
    ImportanceChannel,
    ProportionalFair,
    RandomClients,
    RoundRobin,
)
from ..engine.streams import generator

_HALVINGS = 200
"""Steps of a bisection, enough for the last bit."""


@dataclass(frozen=True)
class Reports:
    """What devices have reported, NaN for those without a report, and for selections without.

    Parameters
    ----------
    uplink_bps, downlink_bps : (devices,) expected rates with the whole band [bit/s]
    compute_s : (devices,) expected duration of the local steps [s]
    battery : (devices,) share of the battery that is left, 1 without a battery
    uplink_snr : (devices,) mean SNR of the uplink with the whole band and power, linear
    block_snr, block_bps : (devices, blocks) mean SNR, linear, and rate [bit/s] of an update on each
        resource block of the uplink; no columns where it has none
    """

    uplink_bps: Floats
    downlink_bps: Floats
    compute_s: Floats
    battery: Floats
    uplink_snr: Floats
    block_snr: Floats
    block_bps: Floats

    @classmethod
    def unknown(cls, devices: int) -> Reports:
        """Return what a selection without reports knows of a number of devices."""
        nothing = np.empty((devices, 0))
        none = np.full(devices, np.nan)
        return cls(none, none, none, none, none, nothing, nothing)


@dataclass(frozen=True)
class LastRound:
    """What a server has seen up to the last round.

    Parameters
    ----------
    selected, counted : devices that took part, and those whose updates were counted
    age : (devices,) rounds since the last counted update of each device, or since the start
    distance : (devices,) distance of its last counted update from the average before, NaN if none
    """

    selected: tuple[int, ...]
    counted: tuple[int, ...]
    age: Ints
    distance: Floats


@dataclass(frozen=True)
class Choice:
    """What a selection chooses from.

    Parameters
    ----------
    number : number of the round
    devices : devices that may be selected, in ascending order
    count : how many should be selected; never more than there are devices
    reports : what they have reported
    last : the last round
    update_bits : size of an update [bit]
    average_bits : size of the server's message to each client, 0 before the first average [bit]
    """

    number: int
    devices: Ints
    count: int
    reports: Reports
    last: LastRound
    update_bits: float
    average_bits: float


@dataclass(frozen=True)
class SelectionContext:
    """Properties of the participants that a selection can use.

    Parameters
    ----------
    count : number of devices
    seed : seed of random choices
    weight : (devices,) aggregation weights
    """

    count: int
    seed: int
    weight: Floats = field(default_factory=lambda: np.empty(0))


Selector = Callable[[Choice], Sequence[int]]
"""Maps what a server knows to the clients of a round, called once a round.

A selection that is made outside of the simulation returns a SimPy event that succeeds with them.
"""


def everyone(config: AllClients, context: SelectionContext) -> Selector:
    """Return the selection of all devices."""
    return lambda choice: choice.devices.tolist()


def uniform(config: RandomClients, context: SelectionContext) -> Selector:
    """Return the selection of devices drawn uniformly."""

    def select(choice: Choice) -> list[int]:
        rng = generator(context.seed, "clients", choice.number)
        drawn: list[int] = rng.choice(choice.devices, choice.count, replace=False).tolist()
        return drawn

    return select


def round_robin(config: RoundRobin, context: SelectionContext) -> Selector:
    """Return the selection of the next devices by number."""
    last = -1

    def select(choice: Choice) -> list[int]:
        nonlocal last
        order = np.argsort((choice.devices - last - 1) % context.count, kind="stable")
        chosen: list[int] = choice.devices[order[: choice.count]].tolist()
        last = chosen[-1]
        return chosen

    return select


def age_of_update(config: AgeOfUpdate, context: SelectionContext) -> Selector:
    """Return the selection of the devices with the oldest updates."""

    def select(choice: Choice) -> list[int]:
        lots = generator(context.seed, "clients", choice.number).random(context.count)
        order = np.lexsort((lots[choice.devices], -choice.last.age[choice.devices]))
        chosen: list[int] = choice.devices[order[: choice.count]].tolist()
        return chosen

    return select


def best_channel(config: BestChannel, context: SelectionContext) -> Selector:
    """Return the selection of the devices with the highest uplink rates."""
    return lambda choice: _largest(choice, choice.reports.uplink_bps)


def proportional_fair(config: ProportionalFair, context: SelectionContext) -> Selector:
    """Return the selection of the devices with the highest rates relative to their averages."""
    average = np.zeros(context.count)

    def select(choice: Choice) -> list[int]:
        rate_bps = np.nan_to_num(choice.reports.uplink_bps)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Devices not served yet come first, the faster ones of them before the others.
            ratio = np.where(rate_bps > 0.0, rate_bps / average, -1.0)
        by_rate = np.lexsort((-rate_bps[choice.devices], -ratio[choice.devices]))
        chosen: list[int] = choice.devices[by_rate[: choice.count]].tolist()
        served = np.zeros(context.count)
        served[chosen] = rate_bps[chosen]
        average[:] += (served - average) / config.memory_rounds
        return chosen

    return select


def deadline_greedy(config: DeadlineGreedy, context: SelectionContext) -> Selector:
    """Return the selection of as many devices as are expected to meet a deadline."""

    def select(choice: Choice) -> list[int]:
        known = choice.reports
        with np.errstate(divide="ignore"):
            up_s = choice.update_bits / known.uplink_bps
            down_s = choice.average_bits / known.downlink_bps
        left, chosen = choice.devices.tolist(), list[int]()
        distribution_s = upload_s = 0.0
        while left and len(chosen) < choice.count:
            # Least time that another device adds to the round.
            later_s = [_uploaded_s(upload_s, known.compute_s[each], up_s[each]) for each in left]
            added_s = [down_s[each] + each_s for each, each_s in zip(left, later_s, strict=True)]
            best = int(np.argmin(added_s))
            device = left.pop(best)
            if distribution_s + added_s[best] > config.round_s:
                continue
            distribution_s += down_s[device]
            upload_s = later_s[best]
            chosen.append(device)
        return chosen

    return select


def _uploaded_s(busy_s: float, compute_s: float, up_s: float) -> float:
    """Return when an upload ends that follows others and its device's computation [s].

    Times count from the end of the server's last message.

    Parameters
    ----------
    busy_s : when the uploads before it end [s]
    compute_s, up_s : duration of the computation, and of the upload [s]
    """
    return max(busy_s, compute_s) + up_s


def importance_channel(config: ImportanceChannel, context: SelectionContext) -> Selector:
    """Return the selection of devices drawn by importance and uplink time."""

    def select(choice: Choice) -> list[int]:
        devices = choice.devices
        with np.errstate(divide="ignore"):
            up_s = choice.update_bits / np.nan_to_num(choice.reports.uplink_bps)
        devices = devices[np.isfinite(up_s[devices])]
        distance = choice.last.distance
        known = distance[np.isfinite(distance)]
        distance = np.where(np.isfinite(distance), distance, known.max(initial=0.0))
        importance = (context.weight * distance)[devices]
        if not importance.any():
            importance = context.weight[devices]
        if not devices.size:
            return []
        probability = draw_probabilities(importance, up_s[devices], config.channel_weight)
        rng = generator(context.seed, "clients", choice.number)
        count = min(choice.count, int(np.count_nonzero(probability)))
        drawn: list[int] = rng.choice(devices, count, replace=False, p=probability).tolist()
        return drawn

    return select


def draw_probabilities(importance: Floats, time_s: Floats, channel_weight: float) -> Floats:
    """Return the probabilities that minimize variance and time of an update.

    They minimize (1 - c) sum(v^2 / p) + c sum(p t) under sum(p) = 1, v and t being the importance
    and time over their sum and mean. Ren et al. 2020: p = v sqrt((1 - c) / (c t + m)), with the
    multiplier m by bisection.

    Parameters
    ----------
    importance : (n,) importance of each device, not negative and not all zero
    time_s : (n,) its uplink time [s]
    channel_weight : c, from 0 to below 1
    """
    share = importance / importance.sum()
    cost = channel_weight * time_s / time_s.mean()
    scale = np.sqrt(1.0 - channel_weight) * share
    # At m + min(cost) = scale^2 of that device, its probability alone is 1; with the sum of all
    # scales in its place, no sum of probabilities is above 1.
    least = cost[share > 0.0].min()
    low, high = np.float64(0.0), np.square(scale.sum())
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        with np.errstate(divide="ignore"):
            total = (scale / np.sqrt(np.maximum(cost - least, 0.0) + middle)).sum()
        low, high = (middle, high) if total > 1.0 else (low, middle)
    found = scale / np.sqrt(np.maximum(cost - least, 0.0) + high)
    return np.asarray(found / found.sum())


def expected_loss(config: ExpectedLoss, context: SelectionContext) -> Selector:
    """Return the selection of the devices that leave the least expected loss of examples."""
    waterfall = float(db_to_linear(config.waterfall_db))

    def select(choice: Choice) -> list[int]:
        known, devices, count = choice.reports, choice.devices, choice.count
        snr, rate_bps = known.block_snr, known.block_bps
        if not snr.shape[1]:
            # Equal blocks, on each of which the whole power meets a part of the noise.
            snr = np.tile(known.uplink_snr[:, None] * count, count)
            rate_bps = np.tile(known.uplink_bps[:, None] / count, count)
        with np.errstate(divide="ignore", invalid="ignore"):
            needed_s = known.compute_s[:, None] + choice.update_bits / rate_bps
        error = block_error(waterfall, snr)
        counted = np.where(
            needed_s <= config.round_s, context.weight[:, None] * (1.0 - error), 0.0
        )[devices]
        block = assignment(counted, min(count, snr.shape[1]))
        useful = np.take_along_axis(counted, block[:, None], axis=1)[:, 0] > 0.0
        chosen: list[int] = devices[(block >= 0) & useful].tolist()
        return chosen

    return select


def battery_aware(config: BatteryAware, context: SelectionContext) -> Selector:
    """Return the selection of the devices with the fullest batteries."""

    def select(choice: Choice) -> list[int]:
        battery = choice.reports.battery
        return [each for each in _largest(choice, battery) if battery[each] >= config.reserve]

    return select


def _largest(choice: Choice, value: Floats) -> list[int]:
    """Return the devices of the largest values (devices,), the first of equals."""
    order = np.argsort(-value[choice.devices], kind="stable")
    chosen: list[int] = choice.devices[order[: choice.count]].tolist()
    return chosen


SELECTIONS: dict[type, Callable[[Any, SelectionContext], Selector]] = {
    AllClients: everyone,
    RandomClients: uniform,
    RoundRobin: round_robin,
    AgeOfUpdate: age_of_update,
    BestChannel: best_channel,
    ProportionalFair: proportional_fair,
    DeadlineGreedy: deadline_greedy,
    ExpectedLoss: expected_loss,
    ImportanceChannel: importance_channel,
    BatteryAware: battery_aware,
}


def selector_of(config: Any, context: SelectionContext) -> Selector:
    """Return the function of a client selection, built-in or user-defined."""
    known = SELECTIONS.get(type(config))
    selector: Selector = config.selector(context) if known is None else known(config, context)
    return selector
