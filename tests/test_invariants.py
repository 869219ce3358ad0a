"""Invariants: violations are detected while a run lasts, and correct runs pass."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wnsim.channel import LogDistance, Rayleigh
from wnsim.core import invariants
from wnsim.core.clock import Clock
from wnsim.core.invariants import (
    EnergyMonotonicityCheck,
    HalfDuplexCheck,
    InvariantError,
    check_totals,
)
from wnsim.core.transfer import Message
from wnsim.mac import Cell, Csma, Ideal, Ofdma, Reuse, Sidelink, Tdma
from wnsim.mobility import RandomWaypoint
from wnsim.network import Network
from wnsim.network.delivery import Delivery
from wnsim.phy import NrMcs, Shannon, Wifi
from wnsim.scenario.__main__ import main
from wnsim.scenario.simulation import tables

Make = Callable[..., Network]
TRIANGLE = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0))
TRAFFIC = """\
name: laws
devices: {count: 4}
mobility: {model: static}
area_m: [100, 100]
traffic: {size_bytes: 100_000, neighbors: 2, rounds: 3}
energy: {}
"""


def send_all(net: Network, rounds: int = 2) -> None:
    count = len(net.snapshot().present)
    for _ in range(rounds):
        events = [
            net.send(Message(source, (source + step) % count, 20_000, 0.2))
            for source in range(count)
            for step in (1, 2)
        ]
        net.env.run(until=net.env.all_of(events))


@pytest.mark.parametrize("engine", ["windowed", "packet"])
@pytest.mark.parametrize(
    ("mac", "phy"),
    [
        (Ideal(), Shannon()), (Tdma(), Shannon()), (Ofdma(), NrMcs()),
        (Ofdma(shared=True), NrMcs()), (Reuse(), Shannon()),
        (Reuse(protection_ratio_db=5), Shannon()), (Cell(), NrMcs()),
        (Csma(), Wifi()), (Sidelink(period_slots=20), Shannon()),
    ],
    ids=["ideal", "tdma", "ofdma", "shared", "reuse", "protected", "cell", "csma", "sidelink"],
)  # fmt: skip
def test_every_medium_access_keeps_the_laws(
    make_network: Make, mac: object, phy: object, engine: str
) -> None:
    net = make_network(
        motion=RandomWaypoint(speed_mps=(1, 20)).motion(6, (120.0, 120.0), 1),
        mac=mac,
        phy=phy,
        engine=engine,
        fading=Rayleigh(),
        path_loss=LogDistance(exponent=3.0),
        stations_m=((30.0, 30.0), (90.0, 90.0)) if isinstance(mac, Cell) else (),
    )
    send_all(net)
    net.close()
    assert len(net.transfers) == 24


def test_bits_that_are_gone_are_missed(make_network: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    net = make_network()
    net.send(Message(0, 1, 1000, 10.0))
    net._pending.clear()
    with pytest.raises(
        InvariantError,
        match=r"\(byte conservation\) for device 0 at 0.0\d+ s: 1000 bytes were sent, but 0 "
        r"delivered, 0 failed and 0 are in flight",
    ):
        net.close()


def test_a_record_that_is_gone_is_missed(make_network: Make) -> None:
    net = make_network(TRIANGLE)
    send_all(net)
    net.close()
    net.transfers = list(net.transfers)[1:]
    with pytest.raises(InvariantError, match=r"but the records contain 60000"):
        net.close()


def test_devices_add_up_to_what_was_counted_when_messages_ended(make_network: Make) -> None:
    net = make_network(TRIANGLE)
    send_all(net)
    sums = tables._sums(net, ["a", "b", "c"])
    assert [each.offered_bytes for each in sums] == [80_000] * 3
    net.transfers = list(net.transfers)[1:]
    with pytest.raises(InvariantError, match=r"offered_bytes add up to 220000 bytes, .* 240000"):
        tables._sums(net, ["a", "b", "c"])


def test_bits_from_nowhere_stop_the_run(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Delivery.transfer

    def more(self: Delivery, *args: object) -> object:
        made = whole(self, *args)
        return dataclasses.replace(made, acked_bytes=made.air_bytes + 1)

    monkeypatch.setattr(Delivery, "transfer", more)
    with pytest.raises(
        InvariantError, match=r"for device 0 at .* 20001 bytes of 20000 were received"
    ):
        send_all(make_network(TRIANGLE))


def test_the_ledger_is_checked_while_running(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invariants, "_CHECK_INTERVAL", 3)
    net = make_network(TRIANGLE)
    monkeypatch.setattr(invariants.ByteLedger, "sent", lambda self, message: None)
    with pytest.raises(InvariantError, match=r"\(byte conservation\) for device 0"):
        send_all(net)
    assert len(net.transfers) == 3


def test_a_radio_that_does_both_at_once(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    duplex = HalfDuplexCheck(["a", "b", "c"])
    duplex.begin(0, [1], 1.0)
    with pytest.raises(InvariantError, match=r"\(half duplex\) for device b at 2.0+ s"):
        duplex.begin(1, [2], 2.0)
    # A medium access that breaks its own rule is detected.
    monkeypatch.setattr("wnsim.air.queues.Queues._fits", lambda self, transmission, before: True)
    monkeypatch.setattr("wnsim.air.queues.Queues._may_receive", lambda self, transmission: True)
    with pytest.raises(InvariantError, match=r"\(half duplex\) for device"):
        send_all(make_network(TRIANGLE, mac=Reuse()))


def test_energy_that_comes_back() -> None:
    spent = EnergyMonotonicityCheck(["x", "y"])
    spent.check({"transmit": np.array([1.0, 2.0]), "idle": np.array([5.0, 5.0])}, 1.0)
    spent.check({"transmit": np.array([1.0, 2.0]), "idle": np.array([4.0, 5.0])}, 2.0)
    with pytest.raises(InvariantError, match=r"\(energy\) for device y at 3.0+ s: .* 2 J"):
        spent.check({"transmit": np.array([1.5, 1.9]), "idle": np.array([5.0, 5.0])}, 3.0)
    with pytest.raises(InvariantError, match=r"\(energy\) for device x"):
        spent.check({"idle": np.array([-1.0, 0.0])}, 4.0)


def test_time_that_runs_backwards() -> None:
    clock = Clock()
    clock.run(until=clock.timeout(1_000_000_000))
    clock.at(500_000_000, lambda: None)
    with pytest.raises(InvariantError, match=r"\(time\) for the clock at 1.0+ s"):
        clock.run()


def test_sums_that_do_not_add_up() -> None:
    check_totals({"acked_bytes": [1, 2]}, {"acked_bytes": 3}, 1.0)
    with pytest.raises(InvariantError, match="acked_bytes add up to 3 bytes, those of all"):
        check_totals({"acked_bytes": [1, 2]}, {"acked_bytes": 4}, 1.0)


def test_a_violated_invariant_ends_its_run_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """End to end: one of two runs violates an invariant: code 2; the other one completes."""
    path = tmp_path / "invariants.yaml"
    path.write_text(TRAFFIC)
    closed = Network.close
    runs = []

    def broken(self: Network) -> None:
        runs.append(self)
        if len(runs) == 1:
            self.transfers = list(self.transfers)[1:]
        closed(self)

    monkeypatch.setattr(Network, "close", broken)
    assert main([str(path), "--out", str(tmp_path / "one")]) == 2
    output = capsys.readouterr().err
    assert "invariant violated (byte conservation) for device" in output
    assert "Traceback" not in output
    runs.clear()
    path.write_text(TRAFFIC + "repeat: 2\n")
    assert main([str(path), "--out", str(tmp_path / "two")]) == 2
    assert not (tmp_path / "two" / "seed=1" / "manifest.json").exists()
    manifest = json.loads((tmp_path / "two" / "seed=2" / "manifest.json").read_text())
    assert manifest["complete"]
