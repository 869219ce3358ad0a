"""The protocols between session and trainer, against the trainer and its stand-in."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import pytest

from fl.session import protocols
from fl.session.quadratic_trainer import QuadraticTrainer

PARTS = {
    "": protocols.SessionTrainer,
    "method": protocols.SessionMethod,
    "cost_model": protocols.SessionCostModel,
    "channel": protocols.SessionChannel,
    "groups": protocols.SessionGroups,
}


def members(protocol: type) -> dict[str, Any]:
    """Return the public members of a protocol by name."""
    assert Protocol in protocol.__mro__
    return {name: each for name, each in vars(protocol).items() if not name.startswith("_")}


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    """Return name, kind and default of each parameter, the object itself excluded."""
    parameters = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default) for each in parameters if each.name != "self"]


def check(trainer: Any) -> None:
    """Check the members of a trainer and of its parts against the protocols."""
    for part, protocol in PARTS.items():
        found = getattr(trainer, part) if part else trainer
        for name, member in members(protocol).items():
            assert hasattr(found, name), f"{part} lacks {name}"
            if not isinstance(member, property):
                assert shape(getattr(found, name)) == shape(member), f"{part}.{name}"


def test_parts_are_those_of_the_trainer() -> None:
    names = {name for name, each in members(PARTS[""]).items() if isinstance(each, property)}
    assert names == set(PARTS) - {""} | {"tasks", "task_of", "plans", "adapts"}


def test_the_trainer_is_a_session_trainer(make_trainer) -> None:  # type: ignore[no-untyped-def]
    check(make_trainer())


def test_the_stand_in_is_a_session_trainer() -> None:
    check(QuadraticTrainer([1.0, 2.0], 0.1))


def test_a_missing_or_different_member_is_found() -> None:
    class Different(QuadraticTrainer):
        def weight(self, device: int, round_: int = 0) -> float:
            return 1.0

    with pytest.raises(AssertionError, match="weight"):
        check(Different([1.0], 0.1))
