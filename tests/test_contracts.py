"""Every member of each family satisfies its contract, and a violation is found."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fl.config import Iid, Random, Synchronous
from fl.data.partition import PARTITIONS, Share
from fl.methods import METHODS
from fl.session import PROTOCOLS
from fl.session.selection import SELECTIONS
from fl.session.synchronous import SynchronousSession
from fl.tasks import GENERATED, Example, Source
from fl.topology import TOPOLOGIES
from wnsim.channel import ANTENNAS, FADING, PATH_LOSS, FreeSpace, Isotropic, Rayleigh, Sector
from wnsim.core.params import parameters
from wnsim.mac import MAC, Cell, Ofdma, Reuse, Shares, Tdma
from wnsim.mobility import MOBILITY, RandomWaypoint
from wnsim.phy import PHY, NrMcs, Outcome, Shannon
from wnsim.scenario import contracts

FAMILIES = (
    [(contracts.path_loss, model(), name) for name, model in PATH_LOSS.items()]
    + [(contracts.fading, model(), name) for name, model in FADING.items()]
    + [
        (contracts.mobility, model(), name)
        for name, model in MOBILITY.items()
        if name != "trace"  # which needs a file
    ]
    + [(contracts.antenna, model(), name) for name, model in ANTENNAS.items()]
    + [(contracts.antenna, Sector(boresight_deg=100.0, downtilt_deg=12.0), "tilted")]
    + [(contracts.physical_layer, model(), name) for name, model in PHY.items()]
    + [(contracts.physical_layer, NrMcs(harq=harq), f"nr-{harq}") for harq in ("chase", "none")]
    + [(contracts.medium_access, model(), name) for name, model in MAC.items()]
    + [
        (contracts.medium_access, model, f"{model.model}-{number}")
        for number, model in enumerate(
            [Ofdma(shared=True), Ofdma(power="required"), Tdma(turn_slots=7)]
            + [Cell(scheduler=scheduler) for scheduler in ("round-robin", "equal")]
        )
    ]
    + [(contracts.method, config(), config.__name__) for config in METHODS]
    + [(contracts.topology, config(), config.__name__) for config in TOPOLOGIES]
    + [(contracts.client_selection, config(), config.__name__) for config in SELECTIONS]
    + [(contracts.task, source, name) for name, source in GENERATED.items()]
    + [(contracts.partition, config(), config.__name__) for config in PARTITIONS]
    + [(contracts.partition, config(size_spread=0.5), "spread") for config in PARTITIONS]
    + [(contracts.protocol, config(), config.__name__) for config in PROTOCOLS]
)


@pytest.mark.parametrize(
    ("check", "model"), [pytest.param(c, m, id=f"{c.__name__}-{name}") for c, m, name in FAMILIES]
)
def test_every_member_satisfies_its_contract(check: Any, model: Any) -> None:
    if isinstance(model, Random):
        model = dataclasses.replace(model, degree=3)
    assert list(check(model)) == []


class Crowded(FreeSpace):  # type: ignore[misc]
    def loss_db(self, d2d_m: Any, h_bs_m: Any, h_ut_m: Any, frequency_hz: float, los: bool) -> Any:
        return super().loss_db(d2d_m, h_bs_m, h_ut_m, frequency_hz, los) + np.size(d2d_m)


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


class Sinking(RandomWaypoint):  # type: ignore[misc]
    def motion(self, *arguments: Any) -> Any:
        motion: Any = super().motion(*arguments)
        ones = np.ones(len(motion.names))
        motion.height_bounds_m = 10.0 * ones, 20.0 * ones
        motion.height_m = lambda devices, t_s: 20.0 - np.add.outer(ones[devices], t_s)
        return motion


class Soaring(RandomWaypoint):  # type: ignore[misc]
    def motion(self, *arguments: Any) -> Any:
        motion: Any = super().motion(*arguments)
        ones = np.ones(len(motion.names))
        motion.height_bounds_m = 0.0 * ones, 1e4 * ones
        motion.height_m = lambda devices, t_s: np.multiply.outer(50.0 * ones[devices], t_s)
        return motion


@pytest.mark.parametrize(
    ("check", "model", "complaint"),
    [
        (contracts.path_loss, Crowded(), "not depend on which distances are asked for together"),
        (contracts.fading, Loud(), "mean power must be 1, got"),
        (contracts.mobility, Hasty(), "faster than max_speed_mps"),
        (contracts.mobility, Soaring(), "faster than max_speed_mps"),
        (contracts.mobility, Sinking(), "height_m must be within height_bounds_m"),
        (
            contracts.task,
            Source(lambda rng, stratum: Example("p", "a", ("b",)), 10, 0.5),
            "answer must be one of the choices",
        ),
    ],
)
def test_a_violation_is_found(check: Any, model: Any, complaint: str) -> None:
    assert any(complaint in text for text in check(model))


class Beyond(Isotropic):  # type: ignore[misc]
    def pattern_dbi(self, azimuth_deg: Any, elevation_deg: Any) -> Any:
        return super().pattern_dbi(azimuth_deg, elevation_deg) + elevation_deg / 90.0


class Unwrapped(Sector):  # type: ignore[misc]
    def pattern_dbi(self, azimuth_deg: Any, elevation_deg: Any) -> Any:
        return self.gain_dbi - np.minimum(np.abs(azimuth_deg), 30.0) + 0.0 * elevation_deg


@parameters
class Listed(Isotropic):  # type: ignore[misc]
    angles_deg: Any = dataclasses.field(default_factory=list)


def changed_modem(**changes: Any) -> Any:
    """Return a Shannon model whose modem has some methods replaced, given the original ones."""

    class Changed(Shannon):  # type: ignore[misc]
        def modem(self, *band: Any) -> Any:
            modem = super().modem(*band)
            for name, make in changes.items():
                setattr(modem, name, make(getattr(modem, name)))
            return modem

    return Changed()


def scan_with_bits(change: Any) -> Any:
    """Return a change of `scan` by a function of its slots and its bits."""

    def make(scan: Any) -> Any:
        def changed(state: Any, slots: Any) -> Any:
            outcome = scan(state, slots)
            return Outcome(change(slots, outcome.bits), outcome.kind)

        return changed

    return make


class FromZero(Tdma):  # type: ignore[misc]
    def shares(self, attempts: Any, first_slot: int, *rest: Any) -> Any:
        return super().shares(attempts, 0, *rest)


class Unpatterned(Tdma):  # type: ignore[misc]
    def rules(self) -> Any:
        return dataclasses.replace(super().rules(), patterned=False)


class Generous(Ofdma):  # type: ignore[misc]
    def shares(self, *arguments: Any) -> Any:
        shares = super().shares(*arguments)
        return Shares(2.0 * shares.band, shares.power, shares.active)


class Counting(Reuse):  # type: ignore[misc]
    asked: list[int] = []  # noqa: RUF012

    def group(self, *link: int) -> int:
        self.asked.append(0)
        return len(self.asked)


@pytest.mark.parametrize(
    ("check", "model", "complaint"),
    [
        (contracts.antenna, Beyond(), "pattern_dbi must be at most peak_dbi, 0, got"),
        (contracts.antenna, Unwrapped(), "same after a full turn"),
        (contracts.antenna, Listed(), "antennas must be hashable: unhashable type: 'list'"),
        (
            contracts.physical_layer,
            changed_modem(
                scan=scan_with_bits(lambda slots, bits: bits * (slots.known.shape[1] > 9))
            ),
            "bits must be the same whether slots are scanned in one call or in several",
        ),
        (
            contracts.physical_layer,
            changed_modem(scan=scan_with_bits(lambda slots, bits: bits // len(bits))),
            "bits of a link must not depend on which links are scanned together",
        ),
        (
            contracts.physical_layer,
            changed_modem(scan=scan_with_bits(lambda slots, bits: bits - 1)),
            "bits must not be negative",
        ),
        (
            contracts.physical_layer,
            changed_modem(rate_bps=lambda rate_bps: lambda snr, share: rate_bps(1.0 / snr, share)),
            "rate_bps must not fall",
        ),
        (
            contracts.physical_layer,
            changed_modem(factor=lambda factor: lambda *asked: 0.9 * factor(*asked)),
            "factor must be the inverse of rate_bps",
        ),
        (contracts.medium_access, FromZero(), "active must be the same for one slot at a time"),
        (contracts.medium_access, Unpatterned(), "active must not differ between slots unless"),
        (contracts.medium_access, Generous(), "band must be from 0 to 1"),
        (contracts.medium_access, Counting(), "must not depend on the order"),
    ],
)
def test_a_violation_by_a_model_of_the_network_is_found(
    check: Any, model: Any, complaint: str
) -> None:
    assert any(complaint in text for text in check(model))


def repeated(config: Any, tasks: Any, devices: int, seed: int) -> list[Share]:
    """Give each device the same example."""
    return [Share(((0, tasks[0].train[0]),))] * devices


def leaving_one_out(config: Any, tasks: Any, devices: int, seed: int) -> list[Share]:
    """Give the last device nothing."""
    return [*PARTITIONS_AS_SHIPPED[Iid](config, tasks, devices - 1, seed), Share(())]


DRAWN: list[int] = []


def unseeded(config: Any, tasks: Any, devices: int, seed: int) -> list[Share]:
    """Draw other shares in each call."""
    DRAWN.append(seed)
    return PARTITIONS_AS_SHIPPED[Iid](config, tasks, devices, len(DRAWN))


PARTITIONS_AS_SHIPPED = dict(PARTITIONS)


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (repeated, "no example may belong to two devices"),
        (repeated, "each example must belong to a device if size_spread is 0"),
        (leaving_one_out, "each device must have at least one example"),
        (unseeded, "the shares must be the same for the same seed"),
    ],
)
def test_a_violation_by_a_partition_is_found(
    monkeypatch: pytest.MonkeyPatch, rule: Any, complaint: str
) -> None:
    monkeypatch.setitem(PARTITIONS, Iid, rule)
    assert complaint in list(contracts.partition(Iid()))


class Endless(SynchronousSession):
    """A session that waits for a message that is never sent."""

    def run(self) -> Any:
        yield self.network.env.event()


class Short(SynchronousSession):
    """A session that skips its last round."""

    def run(self) -> Any:
        self.evaluate(0)
        for number in (1, 2):
            yield from self._round(number, range(self.devices))
            self.end_round(number, last=False)


class Wasteful(SynchronousSession):
    """A session in which device 0 also sends an update that it does not record."""

    def _neighbors(self, me: int, this: Any) -> list[int]:
        if me == 0:
            self.send(0, [1], this.number, 50, None)
        return super()._neighbors(me, this)


class Deaf(SynchronousSession):
    """A session whose devices aggregate nothing and leave all messages in their inboxes."""

    def _receive_all(self, me: int, neighbors: Any, this: Any) -> Any:
        yield self.network.timeout(0.0)
        return []


@pytest.mark.parametrize(
    ("session", "complaint"),
    [
        (Endless, "the session must end, here within 1000 s"),
        (Short, "3 rounds of 4 devices must be recorded, got {0: 2, 1: 2, 2: 2, 3: 2}"),
        (Short, "each device must be tested once after each round from 0 to 3"),
        (Wasteful, "the rounds must record all bytes sent"),
        (Deaf, "no message may be left in an inbox at the end"),
    ],
)
def test_a_violation_by_a_protocol_is_found(
    monkeypatch: pytest.MonkeyPatch, session: Any, complaint: str
) -> None:
    monkeypatch.setitem(PROTOCOLS, Synchronous, session)
    assert any(complaint in text for text in contracts.protocol(Synchronous()))


THEIRS = """
from typing import Literal

import numpy as np

from wnsim.channel import FreeSpace, Isotropic
from wnsim.channel.mean_loss import AlwaysLineOfSight
from wnsim.core.params import parameters
from wnsim.mac import Tdma
from wnsim.phy import Shannon

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

@parameters
class Lens(Isotropic):
    model: Literal["theirs:Lens"] = "theirs:Lens"
    @property
    def peak_dbi(self): return self.gain_dbi - 1.0

@parameters
class Modem(Shannon):
    model: Literal["theirs:Modem"] = "theirs:Modem"

@parameters
class Turns(Tdma):
    model: Literal["theirs:Turns"] = "theirs:Turns"

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
    assert said[0] == "theirs:Good, a path loss: satisfies its contract"
    assert said[2] == "theirs:Bad, a path loss: shadow_db must be at least 0 dB"
    assert contracts.main(["theirs:Lens", "theirs:Modem", "theirs:Turns"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "theirs:Lens, an antenna: pattern_dbi must be at most peak_dbi, -1, got 0",
        "theirs:Modem, a physical layer: satisfies its contract",
        "theirs:Turns, a medium access: satisfies its contract",
    ]
    for name, complaint in (
        ("theirs:nothing", "belongs to no family that has a check"),
        ("theirs:Nobody", "module theirs has no Nobody"),
        ("nowhere:Good", "--plugin nowhere: cannot be imported"),
        ("theirs", "usage"),
        # Parameters that a scenario rejects are rejected here too.
        ("theirs:Plain", "must be a class made with wnsim.core.params.parameters"),
        ("theirs:Other", 'must have the field model: Literal["theirs:Other"]'),
        ("theirs:Bare", "must have blockage, as each path loss has"),
    ):
        assert contracts.main([name]) == 2
        assert complaint in capsys.readouterr().err
    # One that cannot be checked is named once, and the others are checked.
    assert contracts.main(["theirs:Bare", "theirs:Good"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("theirs:Bare must have blockage")
    assert said.out == "theirs:Good, a path loss: satisfies its contract\n"


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
