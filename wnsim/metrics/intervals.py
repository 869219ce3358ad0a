"""Intervals of metrics over the runs of a line.

Runs that differ in their seeds are independent, what happens inside a run is not: the interval of
several runs is Student's over runs. A single run has an interval only for shares of counts. That of
its messages takes their outcomes as independent. That of its accuracy takes the distinct test
examples as independent, and all devices' answers to one example as one trial. Times and bytes to a
target have a mean only if all runs have reached it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from wnsim.core.statistics import Interval, mean, share

TRIALS = {
    "delivery_ratio": "messages",
    "late_ratio": "messages",
    "loss_ratio": "messages",
    "lost_*_ratio": "messages",
    "accuracy_all_tasks": "test_examples",
    "accuracy_own_task": "test_examples_own",
}
"""Metrics that are shares, and the metric that counts their trials."""
CENSORED = ("time_to_*_s", "bytes_to_*")
"""Metrics without a value in runs whose value is beyond their end; see `wnsim.metrics.targets`."""
_OF_RUNS = ("reached_*",)
"""Metrics that are 0 or 1 in a run, of which the mean is a share of the runs."""


def interval(metric: str, runs: Sequence[Mapping[str, float]]) -> Interval:
    """Return the mean of a metric over runs that differ in their seeds only, with its interval.

    Parameters
    ----------
    metric : name of the metric
    runs : metrics of each run by name
    """
    if any(fnmatchcase(metric, name) for name in CENSORED):
        found = [float(run[metric]) for run in runs if metric in run]
        reached = [value for value in found if not math.isnan(value)]
        # The mean of those that reached a target would be too low.
        if len(reached) < len(found):
            return Interval(len(reached), math.nan, math.nan, math.nan)
    known = [run for run in runs if not math.isnan(run.get(metric, math.nan))]
    values = [float(run[metric]) for run in known]
    if any(fnmatchcase(metric, name) for name in _OF_RUNS):
        return share(sum(values), len(values), len(values))
    trials = next((of for name, of in TRIALS.items() if fnmatchcase(metric, name)), None)
    if len(known) == 1 and trials is not None and trials in known[0]:
        count = float(known[0][trials])
        return share(values[0] * count, count, 1)
    return mean(values)
