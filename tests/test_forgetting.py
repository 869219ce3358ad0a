"""Laws of the deletion of devices that have left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fl.config import ByTask, ClusterExchange, Full, Lora, Mixture, OneTask
from fl.session.forgetting import Forgetting
from wnsim.faults import Churn

PLACES = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0), (100.0, 100.0))


def left(tmp_path: Path, make_network: Any, *, forget: bool) -> Any:
    """Return a network whose first device, the fastest, leaves for good in the first round, after
    the others have its update."""
    path = tmp_path / "churn.csv"
    names = make_network(PLACES)._world.motion.names
    path.write_text(f"t_s,id,event\n1.9,{names[0]},leave\n")
    return make_network(PLACES, faults={"churn": Churn(file=str(path), forget=forget)})


SETTINGS = {"method": Lora(rank=4), "rounds": 3}


def test_states_are_aggregated_without_the_leaver(  # type: ignore[no-untyped-def]
    tmp_path, make_network, learn_over, monkeypatch
) -> None:
    """Law: at the start of the round after, the mean of what the others sent, in NumPy; no message
    is sent for it, and each of the others is tested on the task of the leaver."""
    seen: list[list[Any]] = []
    tests = Forgetting._tests

    def spy(self: Any, number: int, devices: Any) -> Any:
        seen.append([self._session.states[device].value().adapter for device in devices])
        return tests(self, number, devices)

    monkeypatch.setattr(Forgetting, "_tests", spy)
    network, trainer, session = learn_over(
        left(tmp_path, make_network, forget=True), topology=Full(), **SETTINGS
    )
    before, after = seen
    trained = [trainer.train(device, 1, None).value().adapter for device in range(4)]
    for layer in range(2):
        own = [each.b[layer].double().numpy() for each in trained]
        # Received factors are in half precision, and the batch of this training is another one.
        for devices, found in ((range(4), before), (range(1, 4), after)):
            mean = np.mean([own[device] for device in devices], axis=0)
            for adapter in found:
                np.testing.assert_allclose(adapter.b[layer].numpy(), mean, atol=1e-4)
    rows = list(session.forgettings)
    assert {(row.round, row.device, row.leaver, row.sent_bytes) for row in rows} == {
        (2, device, 0, 0) for device in (1, 2, 3)
    }
    assert {row.task for row in rows} == {trainer.tasks[t].name for t in trainer.task_of[0]}
    assert {each.message.kind for each in network.transfers} == {"update"}


def exchanged(learn_over: Any, network: Any) -> Any:
    return learn_over(
        network, topology=ByTask(), partition=OneTask(), inference=Mixture(),
        cluster_exchange=ClusterExchange(every=1), **SETTINGS,
    )  # fmt: skip


def test_mixtures_lose_the_leaver(tmp_path, make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    """Law: no cache has it any more, and all have everybody else; the rest of its cluster sends a
    new update to the others, whose bytes are those of the table."""
    network, _, session = exchanged(learn_over, left(tmp_path, make_network, forget=True))
    for device in (1, 2, 3):
        assert set(session.cached_updates(device)) == {1, 2, 3}
    sent = {row.sent_bytes for row in session.forgettings}
    # The deletion ends before the second round's training begins.
    begin_s = min(row.start_s for row in session.rounds if row.round == 2)
    again = [
        each.message
        for each in network.transfers
        if each.message.kind == "cluster-exchange" and each.message.round == 2
        and each.sent_s < begin_s
    ]  # fmt: skip
    assert sent == {sum(message.size_bytes for message in again)} != {0}
    # Device 2 has the task of device 0, and is the rest of its cluster.
    assert {message.source for message in again} == {2}
    assert {message.target for message in again} == {1, 3}


def test_without_the_option_it_stays(tmp_path, make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    _, _, session = exchanged(learn_over, left(tmp_path, make_network, forget=False))
    assert 0 in session.cached_updates(2)
    assert len(session.forgettings) == 0


def test_it_needs_rounds(scenario_of) -> None:  # type: ignore[no-untyped-def]
    text = "name: x\ndevices: {count: 3}\nfaults: {churn: {leave_per_s: 1, forget: true}}\n"
    with pytest.raises(ValueError, match=r"faults\.churn\.forget needs fl\.protocol synchronous"):
        scenario_of(text + "fl: {protocol: {model: asynchronous}, topology: {model: full}}\n")
