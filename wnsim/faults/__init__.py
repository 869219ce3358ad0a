"""Fault injection: faults as pure functions of scenario, seed and time."""

from __future__ import annotations

from wnsim.core.units import FAR_NS
from wnsim.faults.churn import Churn
from wnsim.faults.extent import concerns
from wnsim.faults.kinds import Crash, Jamming, LinkOutage, StationFailure, Straggler
from wnsim.faults.presence import Interrupted
from wnsim.faults.rows import Row, by_time
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
    "concerns",
]
