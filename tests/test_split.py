"""Split learning: what is learned, against federated averaging; times and bytes in closed form."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fl.adapters import AdaptedModel
from fl.config import Learning, Lora, Server, Split
from fl.methods import method_of
from fl.models.nets import Network
from fl.models.nets.bundled import Cnn, ResNet8
from fl.session.quadratic_trainer import QuadraticTrainer
from fl.trainer.cost_model import CostModel
from fl.trainer.cut import cut_of
from wnsim import load, run
from wnsim.mac import Cell
from wnsim.scenario.errors import ScenarioError

PLACES = ((50.0, 0.0), (100.0, 0.0), (200.0, 0.0))
OPTIMA = (1.0, -2.0, 5.0)
DIGITS = """
name: split
area_m: [200, 200]
devices: {count: 4}
mobility: {model: static}
channel: {fading: {model: none}, shadowing: {sigma_db: 0}}
mac: {model: cell, scheduler: equal}
base_stations: {count: 1}
compute: {flops_per_s: 1e9, utilization: 0.5}
fl:
  model: cnn
  tasks: {arrays: digits}
  method: {model: full-ft, learning_rate: 5e-3}
  partition: {model: iid}
  protocol: {model: server}
  rounds: 2
  local_steps: 3
  batch_size: 8
  train_examples: 128
  test_examples: 64
  evaluate_every: 1
"""


@pytest.fixture
def hold(make_network: Any, hold_session: Any) -> Callable[..., Any]:
    """Return a runner of a session; gives network and session."""

    def start(protocol: Server, rounds: int = 3, deadline_s: float = 20.0, **options: Any) -> Any:
        settings = {"stations_m": ((0.0, 0.0),), "mac": Cell(scheduler="equal")} | options
        network = make_network(PLACES, **settings)
        learning = Learning(
            rounds=rounds, evaluate_every=1, protocol=protocol, deadline_s=deadline_s
        )
        trainer: Any = QuadraticTrainer(OPTIMA, 0.1)
        return network, hold_session(network, trainer, learning, lambda device, flops: 0.1 * flops)

    return start


def _values(session: Any) -> list[float]:
    return [session.current(device).value() for device in range(len(PLACES))]


def test_clients_at_once_learn_as_by_federated_averaging(hold: Callable[..., Any]) -> None:
    _, split = hold(Split(cut=1))
    _, server = hold(Server())
    assert _values(split) == _values(server)


def test_clients_in_turns_go_on_where_the_one_before_has_ended(hold: Callable[..., Any]) -> None:
    _, session = hold(Split(cut=1, order="sequential"), rounds=2)
    x = 0.0
    for target in OPTIMA * 2:
        x -= 0.1 * (x - target)
    assert _values(session) == pytest.approx([x] * 3, rel=1e-12)
    rows = sorted(session.rounds, key=lambda row: row.start_s)
    assert [row.device for row in rows] == [0, 1, 2] * 2
    assert all(one.end_s <= two.start_s for one, two in pairwise(rows))


@pytest.mark.parametrize("order", ["parallel", "sequential"])
def test_local_steps_last_as_long_as_their_parts(hold: Callable[..., Any], order: Any) -> None:
    """Law: steps x (forward + up + server + down + backward), and as many messages."""
    network, session = hold(Split(cut=1, order=order, server_flops_per_s=4.0), rounds=2)
    for row in session.rounds:
        sent = [
            each
            for each in network.transfers
            if each.message.round == row.round
            and row.device in (each.message.source, each.message.target)
        ]
        steps = [each for each in sent if each.message.kind in ("activation", "gradient")]
        assert [each.message.kind for each in steps] == ["activation", "gradient"] * 2
        before_s = sum(
            each.latency_s
            for each in sent
            if each.message.kind == "update" and each.message.target == row.device
        )
        on_air_s = before_s + sum(each.latency_s for each in steps)
        computing_s = 2 * (0.1 * (1.0 + 2.0) + 3.0 / 4.0)
        assert row.trained_s - row.start_s == pytest.approx(on_air_s + computing_s, abs=1e-6)


def test_clients_without_an_answer_in_time_do_not_count(hold: Callable[..., Any]) -> None:
    network, session = hold(Split(cut=1), rounds=2, deadline_s=1e-5)
    assert not len(session.rounds)
    assert all(state is None for state in session.states)
    assert {each.message.kind for each in network.transfers} == {"activation"}


def test_cut_of_a_language_model_counts_its_blocks(make_lm: Callable[..., Any]) -> None:
    lm = make_lm()
    depth = lm.config.num_hidden_layers
    of_blocks = sum(
        each.numel() for name, each in lm.named_parameters() if name.startswith("model.layers.0.")
    )
    total = sum(each.numel() for each in lm.parameters())
    model = AdaptedModel(lm)
    cut = cut_of(model, 1)
    assert cut.width == lm.config.hidden_size
    assert cut.share == pytest.approx(of_blocks / total)
    assert [layer.name for layer in model.layers[: cut.layers]] == [
        layer.name for layer in model.layers if layer.name.startswith("model.layers.0.")
    ]
    # 10 tokens of 16 bits, and their labels.
    assert cut.activation_bytes(10, 16) == (20 * cut.width + 40, 20 * cut.width)
    with pytest.raises(ValueError, match=f"cut must be less than the model's {depth} blocks"):
        cut_of(model, depth)


def test_cut_of_a_network_counts_its_members() -> None:
    module = Cnn((1, 8, 8), 10)
    network = Network(module, (1, 8, 8), full=True)
    cut = cut_of(network, 3)
    # 2 operations of 9 weights for each of 16 x 8 x 8 outputs; then 16 x 9 for 32 x 4 x 4.
    first, second = 2 * 9 * 16 * 64, 2 * 9 * 16 * 32 * 16
    dense = 2 * (32 * 4 * 64 + 64 * 10)
    assert cut.share == pytest.approx(first / (first + second + dense))
    assert cut.width == 16 * 4 * 4
    # Weight and bias of the first convolution.
    assert cut.layers == 2
    assert cut_of(Network(ResNet8((1, 8, 8), 10), (1, 8, 8), full=False), 4).layers == 3


def test_updates_are_those_of_the_part_on_the_device(make_lm: Callable[..., Any]) -> None:
    model, method = AdaptedModel(make_lm()), method_of(Lora(rank=4))
    whole, part = CostModel(None, method, model), CostModel(None, method, model, blocks=1)
    entries = sum(
        4 * (layer.inputs + layer.outputs)
        for layer in model.layers
        if layer.name.startswith("model.layers.0.")
    )
    header = whole.size_bytes(False) - 2 * sum(
        4 * (layer.inputs + layer.outputs) for layer in model.layers
    )
    assert part.size_bytes(False) == part.average_bytes == header + 2 * entries
    assert part.forward_flops(7) == whole.forward_flops(7)


def test_a_split_network_learns_the_same_with_other_messages(tmp_path: Path) -> None:
    (tmp_path / "split.yaml").write_text(DIGITS)
    protocols = {
        "whole": {"model": "server"},
        "split": {"model": "split", "cut": 3},
    }
    results = {
        name: run(load(tmp_path / "split.yaml", settings={"fl.protocol": protocol}),
                  tmp_path / name, figures=False)
        for name, protocol in protocols.items()
    }  # fmt: skip
    whole, split = (results[name] for name in protocols)
    accuracy = [each.table("evaluations")["accuracy"] for each in (whole, split)]
    assert accuracy[0].tolist() == accuracy[1].tolist()
    transfers = split.transfers
    size = transfers.groupby("kind")["size_bytes"].unique()
    header = transfers["header_bytes"].max()
    # 8 inputs of 16 x 4 x 4 values of two bytes, and labels of four.
    assert size["activation"].tolist() == [header + 8 * (2 * 256 + 4)]
    assert size["gradient"].tolist() == [header + 8 * 2 * 256]
    # 16 kernels of nine values, and their biases, in half precision.
    assert size["update"].tolist() == [header + 2 * (16 * 9 + 16)]
    assert (transfers["kind"] == "activation").sum() == 4 * 2 * 3
    shares = {name: _computing_s(each) for name, each in results.items()}
    assert shares["split"] < 0.5 * shares["whole"]


def _computing_s(results: Any) -> float:
    rows = results.summary.query("metric == 'round_compute_s'")
    return float(rows["value"].mean())


@pytest.mark.parametrize(
    ("protocol", "more", "message"),
    [
        ("{model: split, cut: 10}", "", "cut must be less than the model's 10 blocks, got 10"),
        ("{model: split, cut: 0}", "", "cut"),
        ("{model: split, order: sequential, over_selection: 1.5, share: 0.5}", "", "in turns"),
        ("{model: split, bits: 8}", "", "bits"),
        ("{model: split}", "bits_per_parameter: 8", "rounds the part of the server"),
        ("{model: split}", "method: {model: so-lora}", "got method so-lora"),
        ("{model: split}", "privacy: {clip: 1.0}", "labels"),
    ],
)
def test_impossible_cuts_are_refused(
    tmp_path: Path, protocol: str, more: str, message: str
) -> None:
    text = DIGITS.replace("{model: server}", protocol)
    if more:
        text = text.replace("  method: {model: full-ft, learning_rate: 5e-3}\n", "")
        text += f"  {more}\n"
    (tmp_path / "split.yaml").write_text(text)
    with pytest.raises(ScenarioError, match=message):
        run(load(tmp_path / "split.yaml"), tmp_path / "out", figures=False)
