"""Sessions of small federations: times of training, transmission and aggregation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fl.config import AdamW, Asynchronous, Full, Local, Lora, Ring, SoLora, Synchronous
from fl.engine.jobs import DerivedValue
from fl.trainer.state import State
from wnsim.mobility import Static

SQUARE = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0), (100.0, 100.0))


@pytest.fixture
def federate(make_network, learn_over) -> Callable[..., Any]:  # type: ignore[no-untyped-def]
    """Return a runner of small federations; gives network, trainer and session."""

    def run(positions=SQUARE, motion=None, bandwidth_hz=20e6, **learning):  # type: ignore[no-untyped-def]
        devices = len(positions) if motion is None else len(motion.names)
        network = make_network(positions, motion=motion, bandwidth_hz=bandwidth_hz)
        settings = {"rounds": 2, "topology": Full(), "evaluate_every": 1} | learning
        return learn_over(network, devices, **settings)

    return run


def test_rounds_are_synchronous_and_send_to_every_neighbor(federate) -> None:  # type: ignore[no-untyped-def]
    network, _, session = federate(method=Lora(rank=4))
    assert len(network.transfers) == 2 * 4 * 3
    assert all(transfer.delivered for transfer in network.transfers)
    for number in (1, 2):
        rows = [row for row in session.rounds if row.round == number]
        assert len({row.start_s for row in rows}) == 1
        assert [row.trained_s - row.start_s for row in sorted(rows, key=lambda r: r.device)] == [
            pytest.approx(1.0 + device) for device in range(4)
        ]
        assert {(row.neighbors, row.updates_received) for row in rows} == {(3, 3)}
    second = min(row.start_s for row in session.rounds if row.round == 2)
    assert second == max(row.end_s for row in session.rounds if row.round == 1)


def test_full_averaging_makes_all_devices_alike(federate) -> None:  # type: ignore[no-untyped-def]
    _, _, session = federate(method=Lora(rank=4))
    first, *others = session.adapters
    for other in others:
        # A device's own factors are in single precision, received ones in half.
        assert all(torch.allclose(x, y, atol=1e-3) for x, y in zip(first.b, other.b, strict=True))


def test_local_devices_send_nothing(federate) -> None:  # type: ignore[no-untyped-def]
    network, _, session = federate(method=Local(rank=4))
    assert not network.transfers
    assert max(row.end_s for row in session.rounds) == pytest.approx(2 * 4.0)


def test_aggregation_continues_without_late_updates(federate) -> None:  # type: ignore[no-untyped-def]
    far = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0), (90_000.0, 90_000.0))
    network, _, session = federate(far, method=Lora(rank=4), deadline_s=0.5, bandwidth_hz=1e5)
    late = [transfer for transfer in network.transfers if not transfer.delivered]
    assert {3} <= {t.message.source for t in late} | {t.message.target for t in late}
    assert {transfer.reason for transfer in late} == {"deadline"}
    assert len(network.transfers) == 24
    for row in session.rounds:
        arrived = [
            t for t in network.transfers
            if t.delivered and t.message.target == row.device and t.message.round == row.round
        ]  # fmt: skip
        assert row.updates_received == len(arrived)
    # All devices wait for the slowest one's message to expire: 4 s of training and 0.5 s.
    assert max(row.end_s for row in session.rounds if row.round == 1) == pytest.approx(4.5)
    assert not session.adapters[3].is_zero()


def test_mask_and_a_are_sent_until_they_have_arrived(federate) -> None:  # type: ignore[no-untyped-def]
    network, trainer, session = federate(
        SQUARE[:3], method=SoLora(rank=4, density=0.3, calibration_prompts=8), rounds=3,
        topology=Ring(),
    )  # fmt: skip
    by_round = {
        number: {t.message.size_bytes for t in network.transfers if t.message.round == number}
        for number in (1, 2, 3)
    }
    assert len(by_round[1]) == len(by_round[2]) == 1
    assert by_round[2] == by_round[3]
    layers = trainer.model.layers
    entries = 4 * sum(layer.outputs for layer in layers)
    (later,), (first,) = by_round[2], by_round[1]
    assert later == 32 + 2 * round(0.3 * entries)
    assert first == later + math.ceil(entries / 8) + 2 * 4 * sum(layer.inputs for layer in layers)
    for adapter in session.adapters:
        received_too = [b[~mask] for b, mask in zip(adapter.b, adapter.mask, strict=True)]
        assert any(bool(part.any()) for part in received_too)


def test_first_contact_is_repeated_when_it_was_lost(federate) -> None:  # type: ignore[no-untyped-def]
    far = ((0.0, 0.0), (95_000.0, 0.0))
    network, _, _ = federate(
        far, method=SoLora(rank=4, density=0.3, calibration_prompts=8), deadline_s=0.01,
        topology=Ring(), bandwidth_hz=1e4,
    )  # fmt: skip
    assert not any(transfer.delivered for transfer in network.transfers)
    assert len({transfer.message.size_bytes for transfer in network.transfers}) == 1


class Coming:
    """Device 2 is there from 5 s to 8 s only, in the middle of the first round."""

    names = ("0", "1", "2")
    max_speed_mps = 0.0
    _still = Static(layout="given", positions_m=SQUARE[:3]).motion(3, (1e3, 1e3), 1)
    _changes = (5.0, 8.0)

    def position_m(self, devices: Any, t_s: Any) -> Any:
        return self._still.position_m(devices, t_s)

    def present(self, devices: Any, t_s: Any) -> Any:
        t_s = np.asarray(t_s)[None, :]
        there = (t_s >= self._changes[0]) & (t_s < self._changes[1])
        return (np.asarray(devices)[:, None] < 2) | there

    def next_change_s(self, t_s: float) -> float:
        return min((change for change in self._changes if change > t_s), default=math.inf)

    def presence_end_s(self, device: int, t_s: float) -> float:
        return 8.0 if device == 2 else math.inf


def test_devices_arrive_and_depart(federate) -> None:  # type: ignore[no-untyped-def]
    network, _, session = federate(
        motion=Coming(), method=Lora(rank=4), rounds=3, deadline_s=0.5,
        compute_s=lambda device, flops: 5.1 if device < 2 else 4.0,
    )  # fmt: skip
    members = {
        number: sorted(row.device for row in session.rounds if row.round == number)
        for number in (1, 2, 3)
    }
    assert members == {1: [0, 1], 2: [0, 1, 2], 3: [0, 1]}
    # In round 2 it departs while it trains: it sends nothing, and no device waits forever.
    gone = [row for row in session.rounds if row.device == 2]
    assert gone[0].neighbors == 0
    assert all(transfer.message.source != 2 for transfer in network.transfers)


def test_a_world_without_devices_ends(federate) -> None:  # type: ignore[no-untyped-def]
    class Gone(Coming):
        def present(self, devices: Any, t_s: Any) -> Any:
            return super().present(devices, t_s) & (np.asarray(devices)[:, None] == 2)

    _, _, session = federate(
        motion=Gone(), method=Lora(rank=4), rounds=3, compute_s=lambda device, flops: 10.0
    )
    assert [row.round for row in session.rounds] == [1]
    assert next(iter(session.rounds)).start_s == 5.0
    # What it has learned by then is still evaluated.
    assert {row.round for row in session.evaluations} == {0, 1}


def test_a_device_that_receives_nothing_is_the_same_with_and_without_neighbors(federate) -> None:  # type: ignore[no-untyped-def]
    method = SoLora(rank=4, density=0.3, calibration_prompts=8)
    far = ((0.0, 0.0), (95_000.0, 0.0))
    kept = []
    for positions, devices in ((far, 2), (far[:1], 1)):
        _, _, session = federate(
            positions, method=method, deadline_s=0.01, topology=Ring(), bandwidth_hz=1e4,
        )  # fmt: skip
        assert len(session.adapters) == devices
        kept.append(session.adapters[0])
    for adapter in kept:
        for b, mask in zip(adapter.b, adapter.mask, strict=True):
            assert not b[~mask].any()


@pytest.mark.parametrize("deadline_s", [0.0123456789123, 0.1, 1 / 3])
def test_every_message_ends_in_a_row(federate, deadline_s: float) -> None:  # type: ignore[no-untyped-def]
    far = (*SQUARE[:3], (90_000.0, 90_000.0))
    network, _, session = federate(
        far, method=Lora(rank=4), deadline_s=deadline_s, bandwidth_hz=1e5,
        compute_s=lambda device, flops: (1.0 + device) / 3,
    )  # fmt: skip
    assert network.in_flight == 0
    assert len(network.transfers) == sum(row.neighbors for row in session.rounds)


def test_divergence_of_training_is_an_error(make_trainer) -> None:  # type: ignore[no-untyped-def]
    trainer = make_trainer(method=Local(rank=4))
    initial = trainer._kernels.initial_adapter(1)
    broken = dataclasses.replace(initial, b=tuple(b + float("inf") for b in initial.b))
    start = DerivedValue("broken", (), lambda: State(broken))
    with pytest.raises(ValueError, match="device 1 diverged in round 3"):
        trainer.train(1, 3, start).value()


def test_a_linear_schedule_lowers_the_rate_round_by_round(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: the last of four rounds is trained at a quarter of the rate, the first at all of it."""
    falling = make_trainer(
        method=Lora(learning_rate=0.02), rounds=4, optimizer=AdamW(schedule="linear")
    )
    for number, rate in ((1, 0.02), (3, 0.01), (4, 0.005)):
        steady = make_trainer(method=Lora(learning_rate=rate), rounds=4)
        ours, theirs = (
            trainer.train(0, number, None).value().adapter for trainer in (falling, steady)
        )
        for one, other in zip((*ours.a, *ours.b), (*theirs.a, *theirs.b), strict=True):
            assert torch.equal(one, other)


def test_rank_is_at_most_the_width_of_a_layer(make_trainer) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="rank must be at most"):
        make_trainer(method=Lora(rank=33))


def test_evaluations_cover_every_device_and_task_at_every_time(federate) -> None:  # type: ignore[no-untyped-def]
    _, trainer, session = federate(method=Lora(rank=4))
    assert len(session.evaluations) == 3 * 4 * 2
    assert {row.round for row in session.evaluations} == {0, 1, 2}
    assert all(0 <= row.accuracy <= 1 for row in session.evaluations)
    own = [row for row in session.evaluations if row.own_task]
    assert {(row.device, row.task) for row in own} == {
        (device, trainer.tasks[device % 2].name) for device in range(4)
    }


def test_devices_are_tested_before_aggregation_on_request(federate) -> None:  # type: ignore[no-untyped-def]
    """Law: without aggregation both accuracies are equal; the test takes no simulated time."""
    plain, _, session = federate(method=Lora(rank=4))
    assert all(math.isnan(row.accuracy_before_aggregation) for row in session.evaluations)
    asked, _, session = federate(method=Lora(rank=4), evaluate_before_aggregation=True)
    assert asked.now_s == plain.now_s
    assert [repr(t) for t in asked.transfers] == [repr(t) for t in plain.transfers]
    for row in session.evaluations:
        assert math.isnan(row.accuracy_before_aggregation) == (row.round == 0)
    _, _, session = federate(method=Local(rank=4), evaluate_before_aggregation=True)
    rows = [row for row in session.evaluations if row.round]
    assert [row.accuracy_before_aggregation for row in rows] == [row.accuracy for row in rows]


@pytest.mark.parametrize("protocol", [Synchronous(), Asynchronous()])
def test_the_state_tested_before_aggregation_is_the_trained_one(federate, protocol) -> None:  # type: ignore[no-untyped-def]
    _, trainer, session = federate(
        method=Lora(rank=4), protocol=protocol, evaluate_before_aggregation=True
    )
    last = list(session.evaluations)[-8:]
    for device, state in enumerate(session.trained):
        expected = trainer.test(device, 9, state).value().accuracies
        found = [row.accuracy_before_aggregation for row in last if row.device == device]
        assert found == expected
        # It was aggregated with the others' after that.
        assert state.value().adapter is not session.adapters[device]


def test_evaluation_equals_decoding_token_by_token(make_trainer, tokenizer) -> None:  # type: ignore[no-untyped-def]
    """Law: one teacher-forced pass accepts exactly the answers that greedy decoding would
    produce."""
    from fl.evaluation import Evaluator
    from fl.tasks import Example, Task

    words = ("red", "green", "7", "one two", "blue", "12")
    learned = tuple(Example(f"{i} ->", word) for i, word in enumerate(words))
    trainer = make_trainer(
        devices=1, tasks=[Task("t", learned, learned, 0.0)], local_steps=200, batch_size=6,
        method=Lora(rank=8, learning_rate=1e-2),
    )  # fmt: skip
    adapter = trainer.train(0, 1, None).value().adapter
    # Memorized answers are correct, other answers to the same prompts are wrong.
    examples = [*learned, *(Example(e.prompt, "nothing") for e in learned[:3])]
    free = [Example(example.prompt, example.answer) for example in examples]
    (accuracy,) = Evaluator(
        trainer.model, [Task("t", (), tuple(free), 0.0)], tokenizer, 64
    ).accuracies([adapter])[0]
    right = []
    with torch.no_grad(), trainer.model.merged(adapter):
        for example in free:
            answer = tokenizer(" " + example.answer, add_special_tokens=False)["input_ids"]
            ids = tokenizer(example.prompt, add_special_tokens=False)["input_ids"]
            written = []
            for _ in range(len(answer) + 1):
                token = int(
                    trainer.model.model(torch.tensor([[*ids, *written]])).logits[0, -1].argmax()
                )
                written.append(token)
            right.append(written == [*answer, tokenizer.eos_token_id])
    assert 0 < sum(right) < len(right)
    assert accuracy == pytest.approx(float(np.mean(right)))


def test_choices_are_scored_by_their_likelihood(make_trainer, tokenizer) -> None:  # type: ignore[no-untyped-def]
    """Law: the answer is the choice whose tokens have the highest mean log-likelihood."""
    from fl.evaluation import Evaluator
    from fl.tasks import Example, Task

    trainer = make_trainer(method=Lora(rank=4))
    zero = trainer._kernels.initial_adapter(0)
    choices = ("red", "green and blue", "7")
    prompts = [f"color of {word} ->" for word in ("sky", "grass", "night", "snow", "sand")]
    examples = [Example(prompt, choices[i % 3], choices) for i, prompt in enumerate(prompts)]
    (accuracy,) = Evaluator(
        trainer.model, [Task("t", (), tuple(examples), 1 / 3)], tokenizer, 64
    ).accuracies([zero])[0]
    hits = []
    for example in examples:
        scores = []
        for choice in choices:
            ids = tokenizer(example.prompt, add_special_tokens=False)["input_ids"]
            answer = tokenizer(" " + choice, add_special_tokens=False)["input_ids"]
            answer = [*answer, tokenizer.eos_token_id]
            with torch.no_grad():
                logits = trainer.model.model(torch.tensor([[*ids, *answer]])).logits[0]
            log = logits.log_softmax(-1)
            scores.append(np.mean([float(log[len(ids) - 1 + i, t]) for i, t in enumerate(answer)]))
        hits.append(choices[int(np.argmax(scores))] == example.answer)
    assert accuracy == pytest.approx(float(np.mean(hits)))


@pytest.mark.parametrize("method", [Lora(rank=4), SoLora(rank=4, density=0.5)])
def test_neighbors_average_quantized_updates(federate, method) -> None:  # type: ignore[no-untyped-def]
    """Received parameters are off by at most a level; messages have the size of their bytes."""
    sent_bytes = {}
    for bits in (16, 8):
        network, trainer, _ = federate(method=method, rounds=1, bits_per_parameter=bits)
        trained = [trainer.train(device, 1, None) for device in range(4)]
        update = trainer.outgoing_update(2, 1, trained[2]).value()
        own = trained[2].value().adapter
        step = max(float(b.abs().max()) for b in own.b) / (127 if bits == 8 else 2**10)
        assert all(
            float((x - y).abs().max()) <= step * 1.001 for x, y in zip(update.b, own.b, strict=True)
        )
        sent_bytes[bits] = sum(transfer.message.size_bytes for transfer in network.transfers)
    if isinstance(method, Lora):
        assert 0.5 < sent_bytes[8] / sent_bytes[16] < 0.53
    else:
        # A and the mask are sent in full at first contact.
        assert sent_bytes[8] < sent_bytes[16]
