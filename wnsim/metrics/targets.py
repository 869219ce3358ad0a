"""Time, bytes and energy to target accuracies over runs, of which some may never reach them.

A run that does not reach a target is censored at its last evaluation: its value exceeds that time,
and the bytes submitted and the energy spent until then.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from wnsim.core.survival import Survival, kaplan_meier

QUANTITIES = {
    "time_s": ("time_to_{}_s", "targets_observed_s"),
    "bytes": ("bytes_to_{}", "targets_observed_bytes"),
    "energy_j": ("energy_to_{}_j", "targets_observed_j"),
}
"""What is measured until a target, its metric, and the metric at which a run is censored."""
_REACHED = re.compile(r"reached_(.+)")


def targets_of(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the targets of runs as in the names of their metrics, ascending."""
    found = {match[1] for run in runs for name in run if (match := _REACHED.fullmatch(name))}
    return sorted(found, key=float)


def to_target(runs: Sequence[Mapping[str, float]], target: str, quantity: str) -> Survival:
    """Return the Kaplan-Meier estimate of the time, bytes or energy to a target.

    Parameters
    ----------
    runs : metrics of each run by name; runs without the target are left out
    target : target as in the names of metrics
    quantity : one of `QUANTITIES`
    """
    metric, censored_at = QUANTITIES[quantity]
    values, reached = [], []
    for run in runs:
        if f"reached_{target}" in run and censored_at in run:
            value = run.get(metric.format(target), math.nan)
            reached.append(not math.isnan(value))
            values.append(value if reached[-1] else run[censored_at])
    return kaplan_meier(values, reached)
