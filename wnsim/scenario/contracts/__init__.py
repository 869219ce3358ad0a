"""Contract checks: properties that each model of a family must have, bundled or user-defined.

    python -m wnsim.scenario.contracts mine:Wall mine:Line

Each check yields one message per violated property. The checks find what would break a simulation
or make it depend on the order of calls; whether a model is right is for its author to show.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fl.training.contracts import compressor, optimizer, robust_rule
from wnsim.channel import Antenna, Fading, PathLoss
from wnsim.core.plugins import Family, resolve, source_file
from wnsim.mac import Scheduled
from wnsim.mac.allocation import Allocation
from wnsim.mobility import Mobility
from wnsim.phy import Phy
from wnsim.scenario.contracts.learning import (
    client_selection,
    method,
    partition,
    protocol,
    task,
    topology,
)
from wnsim.scenario.contracts.uplink import allocation
from wnsim.scenario.contracts.wireless import (
    antenna,
    fading,
    medium_access,
    mobility,
    path_loss,
    physical_layer,
)
from wnsim.scenario.spec.validation import allow

__all__ = [
    "allocation",
    "antenna",
    "client_selection",
    "compressor",
    "fading",
    "main",
    "medium_access",
    "method",
    "mobility",
    "optimizer",
    "partition",
    "path_loss",
    "physical_layer",
    "protocol",
    "robust_rule",
    "task",
    "topology",
    "violations",
]

Check = Callable[[Any], Iterator[str]]


def _families() -> dict[str, tuple[Family, Check]]:
    """Return the families, each with its check, by a member that only they have."""
    return {
        "loss_db": (Family("path loss", PathLoss), path_loss),
        "process": (Family("fading model", Fading), fading),
        "motion": (Family("mobility model", Mobility), mobility),
        "pattern_dbi": (Family("antenna", Antenna), antenna),
        "modem": (Family("physical layer", Phy), physical_layer),
        # Before medium access, which has shares too.
        "valid_s": (Family("allocation", Allocation), allocation),
        "shares": (Family("medium access", Scheduled), medium_access),
        "method": (Family("method", ("learning_rate", "method")), method),
        "policy": (Family("topology", ("policy",)), topology),
        "selector": (Family("client selection", ("reports", "selector")), client_selection),
        "session": (Family("protocol", ("session",)), protocol),
        "split": (Family("partition", ("split",)), partition),
        "step": (Family("optimizer", ("step",)), optimizer),
        "aggregate": (Family("robust rule", ("aggregate",)), robust_rule),
        "compress": (Family("compressor", ("compress",)), compressor),
    }


def violations(name: str) -> tuple[str, list[str]]:
    """Return the family of a user-defined model and its violations.

    Raises
    ------
    ValueError
        if the model cannot be checked: it does not exist, belongs to no family with a check, or a
        scenario would refuse it
    """
    found = resolve(name)
    if hasattr(found, "draw"):
        return "task", list(task(found))
    for need, (family, check) in _families().items():
        if hasattr(found, need):
            model = family.create(name, found, {"model": name})
            return family.title, list(dict.fromkeys(check(model)))
    raise ValueError(
        f"{name} belongs to no family that has a check: path loss, fading, mobility, antenna, "
        "physical layer, medium access, allocation, method, topology, protocol, client selection, "
        "partition, optimizer, robust rule, compressor, task; metrics and figures are checked when "
        "they are used"
    )


def main(names: Sequence[str]) -> int:
    """Check user-defined models by name; return 0, 1 for violations, or 2 for errors of any."""
    if not names or any(":" not in name for name in names):
        print("usage: python -m wnsim.scenario.contracts MODULE:NAME ...", file=sys.stderr)
        return 2
    wrong = unchecked = 0
    for name in names:
        try:
            allow([name.partition(":")[0]])
            kind, complaints = violations(name)
        except ValueError as error:
            if source_file(name) not in {Path(each.filename) for each in _frames(error)}:
                # Families begin their complaints with the name.
                said = str(error)
                said = said if said.startswith(name) else f"{name}: {said}"
                print(said, file=sys.stderr)
                unchecked += 1
                continue
            _tell(name, error)
            wrong += 1
        # An error in the user's code: its traceback below a line that names the model.
        except Exception as error:
            _tell(name, error)
            wrong += 1
        else:
            wrong += bool(complaints)
            said = "; ".join(complaints) if complaints else "satisfies its contract"
            article = "an" if kind[0] in "aeiou" else "a"
            print(f"{name}, {article} {kind}: {said}")
    return 2 if unchecked else 1 if wrong else 0


def _tell(name: str, error: Exception) -> None:
    """Print the error that ended a check, and its place."""
    print(f"{name}: its check ends in an error, {type(error).__name__}: {error}", file=sys.stderr)
    own = source_file(name)
    for frame in _frames(error):
        if own is not None and Path(frame.filename) == own:
            print(f"  {frame.filename}:{frame.lineno}: {frame.line}", file=sys.stderr)


def _frames(error: Exception) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__))
