"""Forecast of a scenario as text: `--dry-run`.

The wall time on this machine is estimated from the speed of one matrix product.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.transfer import DELIVERED, LATE, LOST, OTHER_KINDS, Transfer
from wnsim.core.units import Floats
from wnsim.scenario.simulation.forecast import forecast

if TYPE_CHECKING:
    from wnsim.scenario.simulation.forecast import Forecast
    from wnsim.scenario.spec.schema import Scenario


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
    size = f"message: {_bytes(found.size_bytes)}"
    if found.first_bytes > found.size_bytes:
        size += f", {_bytes(found.first_bytes)} at first contact"
    texts = [size, *_round_lines(found), *_contact_lines(found)]
    if found.compute_s.size:
        low, high = found.compute_s.min(), found.compute_s.max()
        texts.append(f"computing: {low:.3g} to {high:.3g} s per round and device")
    if found.wall_flop is not None:
        sustained = (speed or _speed(scenario, found.precision)) * found.sustained_share
        each_s = found.wall_flop / sustained
        text = f"this machine: about {_duration(each_s)} per run"
        if repeat > 1:
            text += f", {_duration(each_s * repeat)} for all {repeat} in sequence"
        texts.append(f"{text} ({found.wall_flop:.2g} operations) of training, plus the network")
        size = _bytes(found.memory_bytes)
        texts.append(f"memory: about {size} for weights and training, beside the program")
    return texts + [f"warning: {text}" for text in warnings(found)]


def warnings(found: Forecast) -> list[str]:
    """Return warnings about a scenario that is unlikely to work."""
    texts = []
    outcomes = Counter(each.outcome for each in found.transfers)
    if 2 * outcomes[DELIVERED] < outcomes.total():
        advice = "try smaller messages, fewer neighbors, more bandwidth"
        if outcomes[LATE] >= outcomes[LOST]:
            advice += f", or a deadline later than {found.lifetime_s:g} s"
        else:
            advice += ", or devices closer to each other"
        texts.append(
            f"{outcomes[DELIVERED]} of {outcomes.total()} messages of a round are delivered; "
            f"{advice}"
        )
    latency_s = _latency_s(found.transfers)
    if found.contact_s is not None and found.contact_s.size and latency_s.size:
        contact_s, takes_s = np.median(found.contact_s), np.median(latency_s)
        if contact_s < takes_s:
            texts.append(
                f"the median message takes {takes_s:.3g} s, the median contact {contact_s:.3g} s"
            )
    return texts


def _round_lines(found: Forecast) -> list[str]:
    """Return lines on the first round and its messages."""
    if math.isnan(found.end_s):
        return ["first round: none, no device is ever present"]
    texts = [f"first round: {found.start_s:.3g} to {found.end_s:.3g} s"]
    texts[0] += f", {_outcomes(found.transfers)}" if found.transfers else ", no messages"
    latency_s = _latency_s(found.transfers)
    if latency_s.size:
        half_s, most_s = np.quantile(latency_s, [0.5, 0.9])
        texts.append(f"latency: median {half_s:.3g} s, 90th percentile {most_s:.3g} s")
    for kind in OTHER_KINDS:
        of_kind = [each for each in found.others if each.message.kind == kind]
        if of_kind:
            texts.append(f"{kind}: {_outcomes(of_kind)}")
    if found.assumes:
        texts.append(
            "assumed: independent masks, and equal prompts of devices with equal tasks; their "
            "calibration is too long for a forecast"
        )
    return texts


def _outcomes(transfers: Sequence[Transfer]) -> str:
    """Return the number of messages by outcome, lost ones by reason."""
    outcomes = Counter(each.outcome for each in transfers)
    noun = "message" if len(transfers) == 1 else "messages"
    text = f"{len(transfers)} {noun}: " + ", ".join(
        f"{outcomes[name]} {name}" for name in (DELIVERED, LATE, LOST)
    )
    reasons = Counter(each.reason for each in transfers if each.outcome == LOST)
    if reasons:
        shown = ", ".join(f"{name} {count}" for name, count in reasons.most_common())
        text += f" ({shown})"
    return text


def _latency_s(transfers: Sequence[Transfer]) -> Floats:
    """Return the latencies of the delivered messages, (delivered,) [s]."""
    return np.array([each.latency_s for each in transfers if each.delivered])


def _contact_lines(found: Forecast) -> list[str]:
    """Return a line on contacts if messages go from device to device."""
    if found.range_m is None:
        return []
    text = f"contacts: messages are delivered up to about {found.range_m:.0f} m"
    if found.contact_s is None or not found.contact_s.size:
        return [text]
    return [f"{text}, where contacts last {np.median(found.contact_s):.3g} s (median)"]


def _speed(scenario: Scenario, precision: str) -> float:
    """Return the speed of a large matrix product with the threads of a run [FLOP/s]."""
    from fl.engine.device import matmul_flops_per_s

    threads = 1 if scenario.fl is None else scenario.fl.trainer.threads
    return matmul_flops_per_s(threads, precision)


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
