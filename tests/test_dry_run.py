"""The dry run's forecast, against closed forms and against the run that it forecasts."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wnsim.scenario.__main__ import main
from wnsim.scenario.simulation.dry_run import lines, warnings
from wnsim.scenario.simulation.forecast import Forecast, forecast
from wnsim.scenario.spec.bundled import shipped
from wnsim.scenario.spec.plan import plan

PAIR = """
name: pair
devices: {count: 2, tx_power_dbm: 20}
mobility: {model: static, layout: given, positions_m: [[0, 0], [100, 0]]}
channel: {path_loss: {model: free-space}, shadowing: {sigma_db: 0}, fading: {model: none}}
radio: {phy: {model: shannon}, bandwidth_hz: 1.0e+6}
mac: {model: ideal}
transport: {packet_header_bytes: 0}
traffic: {size_bytes: 1000000, neighbors: 1}
"""

LEARNING = """
name: learning
devices: {count: 4}
mobility: {model: static, layout: grid}
fl:
  tasks: [reverse, total]
  method: {model: so-lora, rank: 2, density: 0.5, calibration_prompts: 4, calibration_batches: 1}
  topology: {model: full}
  rounds: 2
  local_steps: 1
  batch_size: 2
  train_examples: 8
  test_examples: 2
"""


def scenario(tmp_path: Path, text: str, *settings: str) -> Any:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    (run,) = plan(str(path), settings)
    return run.scenario


# What shortens each bundled scenario, and variants that are compared.
LEARNS = (
    "fl.rounds=2", "fl.local_steps=1", "fl.test_examples=1", "fl.evaluate_every=2",
    "fl.train_examples=16", "fl.tasks=[home, topic]", "repeat=1", "devices.count=5",
)  # fmt: skip
SMALL = "fl.model=tiny"
SHORT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "aircomp": (
        (
            "fl.rounds=2",
            "fl.local_steps=1",
            "fl.test_examples=1",
            "fl.evaluate_every=2",
            "fl.train_examples=64",
            "sweep={devices.count: [5]}",
        ),
        ("16 bits", "over the air"),
    ),
    "async": ((*LEARNS, "fl.evaluate_every=1"), ("asynchronous",)),
    "cell": (
        ("traffic.rounds=1", "traffic.size_bytes=100000", "devices.count=6"),
        ("proportional fair",),
    ),
    "digits": (
        (
            "fl.rounds=2",
            "fl.local_steps=1",
            "fl.test_examples=10",
            "fl.train_examples=200",
            "fl.evaluate_every=2",
            "devices.count=5",
        ),
        ("SCAFFOLD", "gossip"),
    ),
    "fair": (LEARNS, ("by-task oracle",)),
    "faults": ((*LEARNS, "devices.count=10"), ("mean",)),
    "hierarchical": (
        (*LEARNS, "fl.train_examples=128"),
        ("one server", "cloud in each round"),
    ),
    "highway": (
        ("traffic.rounds=1", "traffic.size_bytes=150000", "devices.count=12"),
        ("discard", "broadcast"),
    ),
    "indoor": (
        ("traffic.rounds=1", "traffic.size_bytes=60000", "devices.count=6"),
        ("unicast", "broadcast", "access point"),
    ),
    # The model of this scenario is not at hand; the messages of two models differ in size only.
    "llm": ((*LEARNS, SMALL), ("hard-moe",)),
    "mesh": ((*LEARNS, "fl.train_examples=128", "devices.count=6"), ("direct", "four hops")),
    "traced": (
        ("traffic.rounds=1", "traffic.size_bytes=200000", "devices.count=5"),
        ("nearest receiver", "between receivers"),
    ),
    "network": (
        ("traffic.rounds=1", "traffic.size_bytes=500000", "devices.count=6"),
        ("one shared band",),
    ),
    "paper-collision": ((*LEARNS, "sweep={fl.method.density: [0.54]}"), ("s_max 0.6",)),
    "paper-convergence": (LEARNS, ("so-lora-plus",)),
    "paper-table1": (LEARNS, ("lori-d",)),
    "paper-table2": (LEARNS, ("lora",)),
    "satellite": (
        (*LEARNS, "fl.train_examples=128", "devices.count=3"),
        ("one satellite", "twelve satellites"),
    ),
    "scheduling": ((*LEARNS, "fl.train_examples=128"), ("importance and channel", "least energy")),
    "smollm": ((*LEARNS, SMALL), ("hard-moe",)),
    # Nor are the tasks of these.
    "smollm-table1": ((*LEARNS, SMALL, "devices.count=6"), ("lori-d",)),
    "smollm-table2": ((*LEARNS, SMALL), ("lora",)),
    "star": ((*LEARNS, "fl.train_examples=128"), ("a third of them",)),
    "urban": (LEARNS, ("so-lora",)),
}


def first_round(found: Forecast, folder: Path) -> tuple[list[Any], list[Any]]:
    """Return the messages of a run's first round, by the forecast and by the run's table."""
    devices = pd.read_csv(folder / "devices.csv", dtype=str)["device"].tolist()
    places = pd.read_csv(folder / "positions.csv", dtype=str)["device"].dropna()
    stations = sorted({name for name in places if name.startswith("station-")})
    # Satellites, which are between stations and server, are ends of no message.
    names = defaultdict(lambda: "server", enumerate([*devices, *stations]))
    simulated_s = json.loads((folder / "manifest.json").read_text("utf-8"))["simulated_s"]
    columns = ["source", "target", "kind", "size_bytes", "sent_s", "ended_s", "reason"]
    forecast_rows = [
        (names[each.message.source], names[each.message.target], each.message.kind,
         each.message.size_bytes, round(each.sent_s, 9), round(each.ended_s, 9), each.reason)
        for each in (*found.transfers, *found.others)
        if each.ended_s <= simulated_s
    ]  # fmt: skip
    table = pd.read_csv(
        folder / "transfers.csv", keep_default_na=False, dtype={"source": str, "target": str}
    )
    # In gossip without a barrier the rounds of devices differ.
    inside = table["sent_s"] <= round(found.end_s, 9)
    if "asynchronous" not in folder.name:
        inside &= table["round"] <= 1
    rows = table.loc[inside, columns].itertuples(index=False, name=None)
    return sorted(forecast_rows), sorted(rows)


def test_every_bundled_scenario_is_compared() -> None:
    assert {f"{name}.yaml" for name in SHORT} == set(shipped())


@pytest.mark.parametrize("name", SHORT)
def test_the_forecast_is_the_first_round_of_the_run(name: str, tmp_path: Path) -> None:
    """The run is the law: the same messages, with the same instants and outcomes."""
    settings, labels = SHORT[name]
    runs = {run.scenario.label: run for run in plan(name, settings)}
    options = [word for setting in settings for word in ("--set", setting)]
    for label in labels:
        run, out = runs[label], tmp_path / label
        assert main([name, *options, "--only", run.folder, "--out", str(out)]) == 0
        ours, theirs = first_round(forecast(run.scenario), out / run.folder)
        assert ours == theirs
        assert bool(ours) == (label != "lora")


def test_a_message_takes_what_shannon_says(tmp_path: Path) -> None:
    """Law: bits over W log2(1 + SNR), free space at 100 m and 3.5 GHz, 9 dB noise figure."""
    found = forecast(scenario(tmp_path, PAIR))
    loss_db = 20 * math.log10(4 * math.pi * 100 * 3.5e9 / 299_792_458)
    noise_dbm = 10 * math.log10(1.380649e-23 * 290 * 1e6) + 30 + 9
    rate_bps = 1e6 * math.log2(1 + 10 ** ((20 - loss_db - noise_dbm) / 10))
    latency_s = [each.latency_s for each in found.transfers]
    assert latency_s == pytest.approx([8e6 / rate_bps] * 2, rel=1e-3)
    assert found.contact_s is None
    assert found.range_m == pytest.approx(100)
    assert warnings(found) == []


def test_a_broadcast_is_sent_once(tmp_path: Path) -> None:
    """Law: the rate is that of the farther of two receivers."""
    places = "mobility.positions_m=[[0, 0], [100, 0], [300, 0]]"
    found = forecast(
        scenario(tmp_path, PAIR, places, "devices.count=3", "traffic.neighbors=2",
                 "traffic.broadcast=true")
    )  # fmt: skip
    expected_s = []
    for far_m in (300, 300, 200, 200, 300, 300):
        loss_db = 20 * math.log10(4 * math.pi * far_m * 3.5e9 / 299_792_458)
        noise_dbm = 10 * math.log10(1.380649e-23 * 290 * 1e6) + 30 + 9
        expected_s.append(8e6 / (1e6 * math.log2(1 + 10 ** ((20 - loss_db - noise_dbm) / 10))))
    arrived_s = [each.latency_s for each in found.transfers if each.delivered]
    assert sorted(arrived_s) == pytest.approx(sorted(expected_s), rel=1e-3)


def test_the_range_is_a_distance_in_space(tmp_path: Path) -> None:
    places = "mobility.positions_m=[[0, 0], [30, 0]]"
    found = forecast(scenario(tmp_path, PAIR, places, "devices.height_m=[1.5, 41.5]"))
    assert found.range_m == pytest.approx(50.0)


def test_what_cannot_work_is_said(tmp_path: Path) -> None:
    given = scenario(tmp_path, PAIR, "traffic.lifetime_s=0.1")
    found = forecast(given)
    assert found.range_m is None
    (warning,) = warnings(found)
    assert warning.startswith("0 of 2 messages of a round are delivered")
    assert warning.endswith("a deadline later than 0.1 s")
    said = lines(given, 1)
    assert said[1] == "first round: 0 to 1 s, 2 messages: 0 delivered, 2 late, 0 lost"
    assert not any(line.startswith(("contacts", "latency")) for line in said)
    slow = forecast(scenario(tmp_path, PAIR))
    brief = replace(slow, contact_s=np.array([0.01]))
    (warning,) = warnings(brief)
    assert warning.endswith("the median contact 0.01 s")


def test_contacts_are_those_within_the_range_of_a_message(tmp_path: Path) -> None:
    """Law: two that pass 1 m apart at 60 m/s are within r of each other for 2 r / 60 s; r is the
    distance of the only two whose messages are delivered."""
    trace = tmp_path / "t.csv"
    rows = ["0,a,-3000,0", "0,b,3000,1", "0,c,0,90000", "0,d,120,90000"]
    rows += ["200,a,3000,0", "200,b,-3000,1", "200,c,0,90000", "200,d,120,90000"]
    trace.write_text("\n".join(["t_s,id,x_m,y_m", *rows]) + "\n")
    given = scenario(tmp_path, PAIR, f"mobility={{model: trace, file: {trace}}}",
                     "devices.count=4", "traffic.lifetime_s=1.8")  # fmt: skip
    found = forecast(given)
    assert [each.outcome for each in found.transfers].count("delivered") == 2
    assert found.range_m == pytest.approx(120)
    assert found.contact_s == pytest.approx([2 * 120 / 60], rel=1e-3)


def test_only_sampled_clients_send_and_not_to_each_other(tmp_path: Path) -> None:
    """Law: round(0.5 x 4) clients send one update each, to the server; no contacts matter."""
    more = ["base_stations={count: 1}", "mac={model: cell}"]
    more.append("fl.protocol={model: server, share: 0.5}")
    found = forecast(scenario(tmp_path, LEARNING, *more))
    assert len(found.transfers) == 2
    assert len({each.message.target for each in found.transfers}) == 1
    assert all(each.delivered for each in found.transfers)
    assert found.range_m is None


def test_background_takes_its_part_of_the_air(tmp_path: Path) -> None:
    """Law: where all share one band in turn, no message arrives earlier for the load of others, and
    the last one later."""
    text = PAIR.replace("mac: {model: ideal}", "mac: {model: tdma}").replace(
        "neighbors: 1", "neighbors: 2"
    )
    text = text.replace("count: 2", "count: 3").replace("[100, 0]]", "[100, 0], [0, 100]]")
    alone = forecast(scenario(tmp_path, text))
    # Of the messages that wait at a device, those of higher priority are sent first.
    load = "background=[{rate_bps: 1.0e+6, size_bytes: 10000, priority: 1}]"
    loaded = forecast(scenario(tmp_path, text, load))
    assert not alone.others
    assert len(loaded.others) > 10
    assert {each.message.kind for each in loaded.others} == {"background"}
    pairs = [sorted(each.ended_s for each in found.transfers) for found in (alone, loaded)]
    assert all(late_s >= early_s for early_s, late_s in zip(*pairs, strict=True))
    assert pairs[1][-1] > pairs[0][-1]


def test_a_scene_that_is_empty_at_first_is_waited_for(tmp_path: Path) -> None:
    """Law: the devices appear at 5.5 s, in the sixth round of a second each."""
    trace = tmp_path / "t.csv"
    trace.write_text("t_s,id,x_m,y_m\n5.5,a,0,0\n5.5,b,100,0\n60,a,0,0\n60,b,100,0\n")
    moves = f"mobility={{model: trace, file: {trace}}}"
    given = scenario(tmp_path, PAIR, moves, "traffic.size_bytes=1000")
    found = forecast(given)
    assert (found.start_s, found.end_s) == (5.5, 6.0)
    assert found.transfers == ()
    given = scenario(tmp_path, LEARNING, "devices.count=2", moves)
    found = forecast(given)
    assert found.start_s == 5.5
    assert [each.sent_s > 5.5 for each in found.transfers] == [True, True]
    never = scenario(tmp_path, PAIR, moves, "traffic.rounds=3")
    assert lines(never, 1)[1] == "first round: none, no device is ever present"


def test_sizes_are_those_of_the_run_and_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fl.trainer.kernels import Kernels

    path = tmp_path / "s.yaml"
    path.write_text(LEARNING)

    def refuse(*_: object) -> None:
        raise AssertionError("something is computed")

    with monkeypatch.context() as patched:
        patched.setattr(Kernels, "compute", refuse)
        found = forecast(scenario(tmp_path, LEARNING))
        assert main([str(path), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("# seed=1\nmessage: ")
    assert not (tmp_path / "results").exists()
    assert main([str(path), "--out", str(tmp_path / "out"), "--only", "seed=1"]) == 0
    transfers = pd.read_csv(tmp_path / "out" / "seed=1" / "transfers.csv")
    first, later = (transfers[transfers["round"] == number]["size_bytes"] for number in (1, 2))
    assert set(first) == {found.first_bytes}
    assert set(later) == {found.size_bytes}
    assert len(found.transfers) == len(later) == 12
    rounds = pd.read_csv(tmp_path / "out" / "seed=1" / "rounds.csv")
    second = rounds[rounds["round"] == 2].sort_values("device")
    took_s = (second["trained_s"] - second["start_s"]).to_numpy()
    assert took_s == pytest.approx(found.compute_s, abs=1e-8)


def test_operations_are_those_of_the_tokens_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: for each parameter, four operations a trained token and two a tested one.

    The run draws its examples, which may be longer than the mean, and fills batches up.
    """
    from fl.adapters.decoder import Decoder
    from fl.models.language_model import load

    text = re.sub(r"method: .*", "method: {model: lora, rank: 2}", LEARNING)
    text = text.replace("local_steps: 1", "local_steps: 8")
    found = forecast(scenario(tmp_path, text))
    tokens = {True: 0, False: 0}
    compute = Decoder.forward

    def counted(decoder: Any, grid: Any, saves: bool, inputs: Any = None) -> Any:
        tokens[saves] += len(grid.layout.ids)
        return compute(decoder, grid, saves, inputs)

    monkeypatch.setattr(Decoder, "forward", counted)
    assert main([str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out"), "--only", "seed=1"]) == 0
    model, _ = load("tiny")
    embedding = model.get_input_embeddings().weight
    inner = sum(each.numel() for each in model.parameters()) - embedding.numel()
    expected = inner * (4 * tokens[True] + 2 * tokens[False])
    assert found.wall_flop == pytest.approx(expected, rel=0.2)


def test_first_messages_carry_prompt_centroids_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{LEARNING}  inference: {{}}\n"
    found = forecast(scenario(tmp_path, text))
    assert main([str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out"), "--only", "seed=1"]) == 0
    transfers = pd.read_csv(tmp_path / "out" / "seed=1" / "transfers.csv")
    transfers = transfers[transfers["kind"] == "update"]
    first, later = (transfers[transfers["round"] == number]["size_bytes"] for number in (1, 2))
    assert set(first) == {found.first_bytes}
    assert set(later) == {found.size_bytes}
    # Two bytes for each input of the seven layers of each of the bundled model's four blocks.
    without = forecast(scenario(tmp_path, LEARNING))
    assert found.first_bytes - without.first_bytes == 2 * 4 * (6 * 128 + 352)
    assert found.size_bytes == without.size_bytes


def test_memory_is_that_of_weights_and_of_the_largest_batch(tmp_path: Path) -> None:
    """Law: four bytes a weight, and activations in proportion to the devices in a batch."""
    from fl.models.language_model import load

    model, _ = load("tiny")
    weights = 4 * sum(each.numel() for each in model.parameters())
    text = re.sub(r"method: .*", "method: {model: lora, rank: 2}", LEARNING)
    one, four = (
        forecast(
            scenario(tmp_path, text, f"fl.trainer.micro_batch_tokens={tokens}")
        ).memory_bytes - weights
        for tokens in (1, 100_000)
    )  # fmt: skip
    assert one > 0
    assert four == pytest.approx(4 * one, rel=0.02)
    said = lines(scenario(tmp_path, text), 1)
    assert said[-1].startswith("memory: about ")
