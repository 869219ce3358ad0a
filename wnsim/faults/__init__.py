"""Faults: what goes wrong when, a pure function of scenario and seed that the layers above ask."""

from __future__ import annotations

from wnsim.faults.churn import Churn
from wnsim.faults.kinds import Crash, Jamming, LinkOutage, StationFailure, Straggler
from wnsim.faults.presence import Interrupted
from wnsim.faults.rows import Row, by_time
from wnsim.faults.spans import FAR_NS
from wnsim.faults.timeline import Timeline

__all__ = [
    "FAR_NS",
    "Churn",
    "Crash",
    "Interrupted",
    "Jamming",
    "LinkOutage",
    "Row",
    "StationFailure",
    "Straggler",
    "Timeline",
    "by_time",
]
