"""Every member of each family keeps what its family promises, and a broken promise is found."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fl.config import Random
from fl.methods import METHODS
from fl.tasks import GENERATED, Example, Source
from fl.topology import TOPOLOGIES
from wnsim.channel import FADING, PATH_LOSS, FreeSpace, Rayleigh
from wnsim.mobility import MOBILITY, RandomWaypoint
from wnsim.scenario import contracts

FAMILIES = (
    [(contracts.path_loss, model(), name) for name, model in PATH_LOSS.items()]
    + [(contracts.fading, model(), name) for name, model in FADING.items()]
    + [
        (contracts.mobility, model(), name)
        for name, model in MOBILITY.items()
        if name != "trace"  # which needs a file
    ]
    + [(contracts.method, config(), config.__name__) for config in METHODS]
    + [(contracts.topology, config(), config.__name__) for config in TOPOLOGIES]
    + [(contracts.task, source, name) for name, source in GENERATED.items()]
)


@pytest.mark.parametrize(
    ("check", "model"), [pytest.param(c, m, id=f"{c.__name__}-{name}") for c, m, name in FAMILIES]
)
def test_every_member_keeps_its_promises(check: Any, model: Any) -> None:
    if isinstance(model, Random):
        model = dataclasses.replace(model, degree=3)
    assert list(check(model)) == []


class Lopsided(FreeSpace):  # type: ignore[misc]
    def loss_db(self, d2d_m: Any, h_tx_m: Any, h_rx_m: Any, frequency_hz: float, los: bool) -> Any:
        return super().loss_db(d2d_m, h_tx_m, h_rx_m, frequency_hz, los) + np.asarray(h_tx_m)


class Loud(Rayleigh):  # type: ignore[misc]
    def process(self, *arguments: Any) -> Any:
        process = super().process(*arguments)
        quiet = process.response

        def response(*asked: Any) -> Any:
            return 2.0 * quiet(*asked)

        process.response = response  # type: ignore[method-assign]
        return process


class Hasty(RandomWaypoint):  # type: ignore[misc]
    def motion(self, *arguments: Any) -> Any:
        motion = super().motion(*arguments)
        slow = motion.position_m
        motion.position_m = lambda devices, t_s: 50.0 * slow(devices, t_s)
        return motion


@pytest.mark.parametrize(
    ("check", "model", "complaint"),
    [
        (contracts.path_loss, Lopsided(), "same with the two ends exchanged"),
        (contracts.fading, Loud(), "mean power must be 1, got"),
        (contracts.mobility, Hasty(), "faster than max_speed_mps"),
        (
            contracts.task,
            Source(lambda rng, stratum: Example("p", "a", ("b",)), 10, 0.5),
            "answer must be one of the choices",
        ),
    ],
)
def test_a_broken_promise_is_found(check: Any, model: Any, complaint: str) -> None:
    assert any(complaint in text for text in check(model))


THEIRS = """
from typing import Literal

import numpy as np

from wnsim.channel import FreeSpace
from wnsim.channel.mean_loss import AlwaysLineOfSight
from wnsim.core.params import parameters

@parameters
class Good(FreeSpace):
    model: Literal["theirs:Good"] = "theirs:Good"

@parameters
class Bad(FreeSpace):
    model: Literal["theirs:Bad"] = "theirs:Bad"
    def shadow_db(self, *_): return -1.0

class Plain:
    def loss_db(self): ...

@parameters
class Other(FreeSpace):
    model: Literal["mine:Other"] = "mine:Other"

@parameters
class Bare:
    model: Literal["theirs:Bare"] = "theirs:Bare"
    def loss_db(self, *_): return 0.0

@parameters
class Log(AlwaysLineOfSight):
    model: Literal["theirs:Log"] = "theirs:Log"
    title = "log"
    def loss_db(self, d2d_m, *_): return 40 + 30 * np.log10(d2d_m)

@parameters
class Branch(AlwaysLineOfSight):
    model: Literal["theirs:Branch"] = "theirs:Branch"
    title = "branch"
    def loss_db(self, d2d_m, *_):
        if d2d_m < 10: return 1.0
        return 2.0

@parameters
class Unknown(AlwaysLineOfSight):
    model: Literal["theirs:Unknown"] = "theirs:Unknown"
    title = "unknown"
    def loss_db(self, *_):
        return lose

nothing = 3
"""


def test_models_of_ones_own_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(tmp_path)
    assert contracts.main(["theirs:Good"]) == 0
    assert contracts.main(["theirs:Good", "theirs:Bad"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "theirs:Good, a path loss: keeps what it promises"
    assert said[2] == "theirs:Bad, a path loss: shadow_db must be at least 0 dB"
    for name, complaint in (
        ("theirs:nothing", "belongs to no family that has a check"),
        ("theirs:Nobody", "module theirs has no Nobody"),
        ("nowhere:Good", "--plugin nowhere: cannot be imported"),
        ("theirs", "usage"),
        # What a scenario refuses is refused here too.
        ("theirs:Plain", "must be a class made with wnsim.core.params.parameters"),
        ("theirs:Other", 'must have the field model: Literal["theirs:Other"]'),
        ("theirs:Bare", "must have blockage, as each path loss has"),
    ):
        assert contracts.main([name]) == 2
        assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "complaint", "line"),
    [
        ("theirs:Log", "loss_db must be finite at any distance, 0 m too", ""),
        ("theirs:Branch", "its check ends in an error, ValueError: The truth", "if d2d_m < 10"),
        ("theirs:Unknown", "its check ends in an error, NameError: name 'lose'", "return lose"),
    ],
)
def test_mistakes_in_ones_own_code_are_told_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    name: str, complaint: str, line: str,
) -> None:  # fmt: skip
    (tmp_path / "theirs.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    with np.errstate(divide="ignore"):
        assert contracts.main([name]) == 1
    said = "".join(capsys.readouterr())
    assert complaint in said
    assert line in said
    assert "Traceback" not in said
