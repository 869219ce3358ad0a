"""Laws of collaborative inference: devices that cannot train ask others."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fl.config import ByTask, ClusterExchange, Full, Lora, Mixture, OneTask, Queries

# Devices 0 and 2 have one task, 1 and 3 another; device 3 is nearest to device 2.
PLACES = ((0.0, 0.0), (100.0, 0.0), (0.0, 200.0), (0.0, 150.0))
SETTINGS: dict[str, Any] = {
    "method": Lora(rank=4), "rounds": 2, "evaluate_every": 1, "partition": OneTask()
}  # fmt: skip


def asking(learn_over: Any, network: Any, helper: str = "nearest", **settings: Any) -> Any:
    queries = Queries(devices=(2,), helper=helper, prompts=3)
    return learn_over(network, queries=queries, **{"topology": Full(), **SETTINGS, **settings})


@pytest.mark.parametrize("helper", ["nearest", "matching"])
def test_a_query_is_two_messages_and_a_computation(  # type: ignore[no-untyped-def]
    make_network, learn_over, helper: str
) -> None:
    network, trainer, session = asking(learn_over, make_network(PLACES), helper)
    rows = list(session.queries)
    assert [(row.round, row.device) for row in rows] == [(1, 2), (2, 2)]
    chosen = 3 if helper == "nearest" else 0
    assert {row.helper for row in rows} == {chosen}
    task = trainer.task_of[2][0]
    prompts = trainer.tasks[task].test[:3]
    ours = [each for each in network.transfers if each.message.kind in ("query", "answer")]
    assert len(ours) == 4
    for row, there, back in zip(rows, ours[::2], ours[1::2], strict=True):
        assert row.answered
        assert row.task == trainer.tasks[task].name
        header = there.message.header_bytes
        assert row.query_bytes == there.message.size_bytes
        assert row.query_bytes - header == sum(len(each.prompt.encode()) for each in prompts)
        assert row.answer_bytes - header == sum(len(each.answer.encode()) for each in prompts)
        # Law: the way there, the computation, and the way back.
        length = trainer.cost_model.tokens(1, trainer.examples.width(2))[1]
        flops = 2.0 * trainer.model.parameter_count * 3 * length
        computing_s = session.compute_time_s(chosen, flops)
        assert row.time_s == there.sent_s
        assert back.sent_s == pytest.approx(there.ended_s + computing_s, abs=1e-9)
        assert row.latency_s == pytest.approx(back.ended_s - there.sent_s, abs=1e-9)
    control = [each.message for each in network.transfers if each.message.kind == "control"]
    announced = [(0, 2), (1, 2), (3, 2)] if helper == "matching" else []
    assert sorted((each.source, each.target) for each in control) == announced


def test_answers_are_those_of_the_helper(make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    """Law: as accurate as the helper in the evaluation of the round; alone, as at the start."""
    _, trainer, session = asking(learn_over, make_network(PLACES))
    task = trainer.task_of[2][0]
    tested = {(row.round, row.device, row.task): row.accuracy for row in session.evaluations}
    alone = trainer.test(2, 0, None).value().accuracies[task]
    for row in session.queries:
        assert row.accuracy == tested[row.round, 3, row.task]
        assert row.accuracy_alone == alone


def test_who_asks_takes_no_part_in_rounds(make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    """Law: the others train, exchange and are tested as without it."""
    network, _, session = asking(learn_over, make_network(PLACES))
    assert {row.device for row in session.rounds} == {0, 1, 3}
    assert {row.neighbors for row in session.rounds} == {2}
    assert {row.device for row in session.evaluations} == {0, 1, 3}
    updates = [each.message for each in network.transfers if each.message.kind == "update"]
    assert {2} & {node for each in updates for node in (each.source, each.target)} == set()
    assert session.states[2] is None


def test_mixtures_answer(make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    """Law: a helper with a cache answers with its mixture, as it is tested."""
    _, _, session = asking(
        learn_over, make_network(PLACES), topology=ByTask(), inference=Mixture(gate="oracle"),
        cluster_exchange=ClusterExchange(every=1),
    )  # fmt: skip
    tested = {(row.round, row.device, row.task): row.accuracy for row in session.evaluations}
    rows = list(session.queries)
    assert rows
    for row in rows:
        assert row.accuracy == tested[row.round, 3, row.task]


def test_a_query_that_arrives_late_has_no_answer(make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    """Law: without a link in time there is no answer, and the session ends."""
    network = make_network(PLACES, bandwidth_hz=20e6, tx_power_dbm=-120.0)
    _, _, session = asking(learn_over, network, deadline_s=0.5)
    rows = list(session.queries)
    assert len(rows) == 2
    assert not any(row.answered for row in rows)
    assert all(math.isnan(row.latency_s) for row in rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("queries: {devices: [3]}", r"fl\.queries: devices must be 0 to 2, got 3"),
        ("queries: {devices: [0, 1, 2]}", r"fl\.queries: some device must train"),
        ("queries: {devices: [1, 1]}", r"devices of queries must be distinct, got one twice"),
        ("queries: {devices: [1], prompts: 49}", r"prompts must be at most test_examples, 48"),
        ("queries: {devices: [1]}, protocol: {model: asynchronous}", r"queries are for protocol"),
    ],
)  # fmt: skip
def test_errors(scenario_of, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    head = "name: x\ndevices: {count: 3}\n"
    with pytest.raises(ValueError, match=message):
        scenario_of(head + f"fl: {{topology: {{model: full}}, {text}}}\n")
