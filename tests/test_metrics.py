"""Metrics of a run: hand-made tables with known results."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from wnsim.metrics import DEFINITIONS, definition, interval, of_run
from wnsim.metrics.delivery import of_transfers, on_air
from wnsim.metrics.devices import jain
from wnsim.metrics.learning import of_evaluations, of_targets
from wnsim.metrics.rounds import of_rounds
from wnsim.metrics.targets import targets_of, to_target

Row = dict[str, Any]


def transfer(source: str, target: str, sent_s: float, ended_s: float, **facts: Any) -> Row:
    """Return a message of 980 bytes and a header of 20, in two packets with 50 bytes of headers."""
    row = {
        "round": 1, "kind": "update", "source": source, "target": target, "size_bytes": 1000,
        "header_bytes": 20, "sent_s": sent_s, "started_s": sent_s, "ended_s": ended_s,
        "delivered": True, "reason": "", "queue_s": 0.0, "channel_access_s": 0.0,
        "retransmission_s": 0.0, "backhaul_s": 0.0, "packets": 2, "air_bytes": 1100,
        "acked_bytes": 1100, "carried_bytes": 1100, "blocks": 10, "failed_blocks": 0,
        "capacity_bytes": 2200.0,
    }  # fmt: skip
    row |= {"latency_s": ended_s - sent_s, "airtime_s": ended_s - sent_s} | facts
    elsewhere = ("queue_s", "channel_access_s", "retransmission_s", "backhaul_s")
    row["airtime_s"] = row["latency_s"] - sum(row[part] for part in elsewhere)
    return row


def evaluation(round_: int, time_s: float, **accuracies: tuple[float, float]) -> list[Row]:
    """Return the rows of devices 0 and 1 on the tasks given, the first of which 0 trains."""
    return [
        {
            "round": round_, "time_s": time_s, "device": device, "task": task,
            "present": device == 0, "own_task": place == device, "examples": 10 * (place + 1),
            "accuracy": values[device],
            "accuracy_before_aggregation": math.nan, "routing_accuracy": math.nan,
            "expert_usage_entropy": math.nan,
        }
        for place, (task, values) in enumerate(accuracies.items())
        for device in (0, 1)
    ]  # fmt: skip


TRANSFERS = [
    transfer("0", "1", 2.0, 4.0, queue_s=0.25, retransmission_s=0.5, failed_blocks=2, blocks=12),
    # Half of it has arrived when it is late.
    transfer(
        "1",
        "0",
        3.0,
        8.0,
        delivered=False,
        reason="deadline",
        acked_bytes=550,
        carried_bytes=550,
        blocks=5,
        channel_access_s=1.0,
    ),
    transfer("0", "1", 11.0, 14.0, round=2),
    # Nothing arrives: blocks as large as those of all messages, 4030 bytes in 52 blocks.
    transfer(
        "1",
        "0",
        11.0,
        11.5,
        round=2,
        delivered=False,
        reason="departed",
        acked_bytes=0,
        carried_bytes=0,
        blocks=4,
        failed_blocks=4,
    ),
    transfer("0", "1", 15.0, 16.0, round=2, kind="cluster-exchange", blocks=10),
    transfer(
        "0",
        "1",
        1.0,
        1.5,
        kind="control",
        size_bytes=120,
        air_bytes=180,
        acked_bytes=180,
        carried_bytes=180,
        blocks=17,
    ),
    transfer("0", "1", 9.0, 9.5, round=1, kind="query"),
    transfer("0", "1", 0.0, 1.0, kind="background", size_bytes=7000),
]
ROUNDS = [
    {"round": 1, "device": "0", "start_s": 0.0, "trained_s": 2.0, "end_s": 8.5, "epsilon": 1.5},
    {"round": 1, "device": "1", "start_s": 0.0, "trained_s": 3.0, "end_s": 4.0, "epsilon": 1.0},
    {"round": 2, "device": "0", "start_s": 9.0, "trained_s": 11.0, "end_s": 12.0, "epsilon": 2.0},
    {"round": 2, "device": "1", "start_s": 9.0, "trained_s": 11.0, "end_s": 14.0, "epsilon": 1.25},
]
EVALUATIONS = [
    *evaluation(0, 0.0, a=(0.1, 0.1), b=(0.1, 0.1)),
    *evaluation(1, 9.0, a=(0.9, 0.7), b=(0.2, 0.4)),
    *evaluation(2, 14.0, a=(0.6, 0.4), b=(0.6, 0.8)),
]
DEVICES = [
    {
        "device": "0", "energy_tx_j": 3.0, "energy_rx_j": 1.0, "energy_idle_j": 0.5,
        "energy_compute_j": 1.5, "stored_bytes": 100, "a_cosine": 0.1, "a_block_norm": 0.5,
    },
    {
        "device": "1", "energy_tx_j": 1.0, "energy_rx_j": 0.5, "energy_idle_j": 0.25,
        "energy_compute_j": 0.25, "stored_bytes": 300, "a_cosine": 0.2, "a_block_norm": 0.7,
    },
]  # fmt: skip
CLUSTER = {
    "round": 2, "time_s": 14.0, "expected_collision_rate": 0.0, "collision_rate": 0.0,
    "collision_rate_active": 0.0, "sign_conflict_rate": math.nan, "consensus_error": 0.0,
    "spectral_gap": 1.0,
}  # fmt: skip
CLUSTERS = [
    CLUSTER | {"round": 1, "time_s": 9.0, "cluster": 0, "devices": 4},
    CLUSTER | {"cluster": 0, "devices": 1},
    CLUSTER | {
        "cluster": 1, "devices": 3, "expected_collision_rate": 0.2, "collision_rate": 0.4,
        "collision_rate_active": 0.8, "sign_conflict_rate": 0.5, "consensus_error": 0.1,
        "spectral_gap": 0.6,
    },
]  # fmt: skip


ENERGY = [
    {
        "time_s": time_s, "device": device, "energy_tx_j": tx, "energy_rx_j": 0.5,
        "energy_idle_j": 0.25, "energy_compute_j": 1.0,
    }
    for time_s, tx in ((0.0, 0.0), (9.0, 1.0), (14.0, 2.0)) for device in ("0", "1")
]  # fmt: skip
QUERIES = [
    {"round": 1, "answered": True, "latency_s": 9.0, "accuracy": 0.1, "accuracy_alone": 0.1},
    {"round": 2, "answered": True, "latency_s": 1.0, "accuracy": 0.8, "accuracy_alone": 0.2},
    {"round": 2, "answered": False, "latency_s": None, "accuracy": 0.9, "accuracy_alone": 0.3},
    {"round": 2, "answered": True, "latency_s": 2.0, "accuracy": 0.6, "accuracy_alone": 0.1},
]
CLASSES = [
    {"round": round_, "device": device, "class_number": number, "train_examples": trains,
     "test_examples": 4, "accuracy": accuracy}
    for round_, device, number, trains, accuracy in (
        (1, 0, 0, 30, 0.0), (1, 1, 0, 5, 0.0),
        (2, 0, 0, 30, 1.0), (2, 0, 1, 10, 0.5), (2, 0, 2, 7, None),
        (2, 1, 0, 0, 0.75), (2, 1, 1, 5, 0.25), (2, 1, 2, 0, None),
    )
]  # fmt: skip
TARGETS = [{"accuracy": 0.5, "crossing": "smoothed"}, {"accuracy": 0.8, "crossing": "smoothed"}]


@pytest.fixture
def metrics(tmp_path: Path) -> dict[str, int | float]:
    """Return the metrics of a run that has every table."""
    rows = [
        row | {
            "accuracy_before_aggregation": row["accuracy"] + 0.1 * row["round"],
            "routing_accuracy": 0.75, "expert_usage_entropy": 0.5,
        } if row["round"] else row
        for row in EVALUATIONS
    ]  # fmt: skip
    tables = {
        "transfers": TRANSFERS, "rounds": ROUNDS, "evaluations": rows, "devices": DEVICES,
        "clusters": CLUSTERS, "targets": TARGETS, "energy": ENERGY, "queries": QUERIES,
        "classes": CLASSES,
    }  # fmt: skip
    for name, table in tables.items():
        pd.DataFrame(table).to_csv(tmp_path / f"{name}.csv", index=False)
    return of_run(tmp_path, {"simulated_s": 16.0})


def test_every_metric_is_defined_and_every_definition_used(metrics: dict[str, float]) -> None:
    used = {definition(name) for name in metrics}
    assert used == set(DEFINITIONS.values())
    assert len(set(DEFINITIONS.values())) == len(DEFINITIONS)
    with pytest.raises(KeyError):
        definition("accuracy")


def test_the_loss_of_privacy_is_that_of_the_most_exposed_device(
    metrics: dict[str, float],
) -> None:
    assert metrics["epsilon"] == 2.0


def test_classes_by_hand(metrics: dict[str, float]) -> None:
    # Classes 0 and 1 of the last round: (30 + 5) / 40 and 5 * 0.25 / 5, and class 1 on both.
    assert metrics["accuracy_own_data"] == pytest.approx((35 / 40 + 0.25) / 2)
    assert metrics["accuracy_worst_class"] == pytest.approx((0.5 + 0.25) / 2)


def test_queries_by_hand(metrics: dict[str, float]) -> None:
    assert metrics["queries"] == 4
    assert metrics["query_answered_ratio"] == 0.75
    assert metrics["query_latency_median_s"] == 2.0
    assert metrics["query_latency_p95_s"] == pytest.approx(2.0 + 0.9 * 7.0)
    # Without an answer, the device's own.
    assert metrics["query_accuracy"] == pytest.approx((0.8 + 0.3 + 0.6) / 3)
    assert metrics["query_accuracy_alone"] == pytest.approx(0.2)
    assert metrics["query_bytes"] == 980


def test_messages_by_hand(metrics: dict[str, float]) -> None:
    assert metrics["simulated_s"] == 16.0
    # Control and queries count in bytes only.
    assert metrics["messages"] == 5
    assert metrics["offered_bytes"] == 6 * 1000 + 120
    assert metrics["acked_bytes"] == 4 * 1100 + 550 + 180
    assert metrics["delivery_ratio"] == 3 / 5
    assert metrics["late_ratio"] == metrics["loss_ratio"] == metrics["lost_departed_ratio"] == 1 / 5
    assert metrics["latency_median_s"] == 2.0
    assert metrics["latency_p95_s"] == pytest.approx(2.9)
    assert metrics["goodput_bps"] == 8 * 3000 / 16
    assert metrics["payload_bytes_per_message"] == 980
    carried = 5 * 1100 + 550 + 180
    assert metrics["shannon_efficiency"] == pytest.approx(carried / (8 * 2200))


def test_bytes_on_the_air_by_hand(metrics: dict[str, float]) -> None:
    """Law: what arrived and what was sent in vain add up; late messages count in part."""
    assert metrics["payload_bytes"] == pytest.approx(980 * 2.5)
    assert metrics["cluster_exchange_bytes"] == pytest.approx(980)
    assert metrics["control_bytes"] == pytest.approx(100)
    assert metrics["header_bytes"] == pytest.approx(120 * 4.5 + 80)
    usual = (4 * 1100 + 550 + 180) / (10 + 5 + 10 + 0 + 10 + 17 + 10)
    assert metrics["retransmitted_bytes"] == pytest.approx(2 * 110 + 4 * usual)
    parts = ("payload", "cluster_exchange", "control", "query", "header", "retransmitted")
    total = sum(metrics[f"{name}_bytes"] for name in parts)
    assert metrics["on_air_bytes"] == pytest.approx(total)
    arrived = metrics["on_air_bytes"] - metrics["retransmitted_bytes"]
    assert arrived == pytest.approx(sum(row["carried_bytes"] for row in TRANSFERS[:7]))


def test_what_goes_through_a_station_is_on_the_air_twice() -> None:
    relayed = transfer("0", "1", 0.0, 1.0, carried_bytes=2200, blocks=20)
    found = on_air(pd.DataFrame([relayed]))
    assert found["payload_bytes"] == pytest.approx(2 * 980)
    assert found["on_air_bytes"] == pytest.approx(2 * 1100)


def test_nothing_sent(tmp_path: Path) -> None:
    pd.DataFrame([], columns=list(TRANSFERS[0])).to_csv(tmp_path / "transfers.csv", index=False)
    silent = [{"device": "0", "stored_bytes": None, "a_cosine": None, "a_block_norm": None}]
    pd.DataFrame(silent).to_csv(tmp_path / "devices.csv", index=False)
    found = of_run(tmp_path, {"simulated_s": 0.0})
    assert math.isnan(found.pop("shannon_efficiency"))
    assert set(found.values()) == {0}
    assert {"simulated_s", "messages", "offered_bytes", "acked_bytes", "on_air_bytes"} < set(found)
    assert "delivery_ratio" not in found


def test_accuracies_by_hand(metrics: dict[str, float]) -> None:
    assert metrics["accuracy_all_tasks"] == pytest.approx(0.6)
    assert metrics["accuracy_own_task"] == pytest.approx((0.6 + 0.8) / 2)
    assert metrics["accuracy_worst_task"] == pytest.approx((0.6 + 0.4) / 2)
    assert metrics["best_accuracy"] == pytest.approx(0.6)
    # Task a was at 0.8 and is at 0.5; task b never was as high as it is.
    assert metrics["forgetting"] == pytest.approx(((0.8 - 0.5) + (0.3 - 0.7)) / 2)
    assert metrics["task_interference"] == pytest.approx((0.1 + 0.2) / 2)
    assert metrics["jain_accuracy"] == pytest.approx(1.4**2 / (2 * (0.36 + 0.64)))
    assert metrics["routing_accuracy"] == 0.75
    assert metrics["expert_usage_entropy"] == 0.5
    assert (metrics["devices_tested"], metrics["devices_present"]) == (2, 1)
    assert metrics["test_examples"] == metrics["test_examples_own"] == 10 + 20


def test_what_was_not_measured_is_no_metric() -> None:
    found = of_evaluations(pd.DataFrame(EVALUATIONS[:4]))
    assert math.isnan(found.pop("forgetting"))
    assert set(found) == {
        "accuracy_all_tasks", "accuracy_own_task", "accuracy_worst_task", "best_accuracy",
        "jain_accuracy", "devices_tested", "devices_present", "test_examples", "test_examples_own",
    }  # fmt: skip


def test_targets_by_hand(metrics: dict[str, float]) -> None:
    """Law: 0.1, 0.55, 0.6 have moving means of 0.1, 0.325, 0.4167: neither is reached."""
    assert (metrics["reached_0.5"], metrics["reached_0.8"]) == (0, 0)
    for name in (
        "time_to_0.5_s",
        "bytes_to_0.5",
        "energy_to_0.5_j",
        "time_to_0.8_s",
        "bytes_to_0.8",
    ):
        assert math.isnan(metrics[name])


def test_energy_until_a_target_is_that_of_its_evaluation_by_hand() -> None:
    rows = [*EVALUATIONS[:8], *evaluation(2, 14.0, a=(0.9, 0.9), b=(0.9, 0.9))]
    targets = pd.DataFrame({"accuracy": [0.5, 0.8, 0.95], "crossing": "first"})
    found = of_targets(pd.DataFrame(rows), pd.DataFrame(TRANSFERS), targets, pd.DataFrame(ENERGY))
    assert (found["energy_to_0.5_j"], found["energy_to_0.8_j"]) == (2 * 2.75, 2 * 3.75)
    assert math.isnan(found["energy_to_0.95_j"])
    assert found["targets_observed_j"] == 2 * 3.75


def test_bytes_through_the_server_go_up_and_down() -> None:
    path = [
        transfer("server", "0", 1.0, 3.0, size_bytes=700),
        transfer("0", "station-11", 6.0, 10.0, size_bytes=50),
        transfer("station-11", "server", 6.0, 10.0, size_bytes=4),
        transfer("0", "server-2", 2.0, 9.0),
    ]
    found = of_transfers(pd.DataFrame(path), 10.0)
    assert (found["uplink_bytes"], found["downlink_bytes"]) == (50, 700)


def test_a_target_is_reached_by_the_mean_of_three_evaluations() -> None:
    curve = [0.2, 0.8, 0.8, 0.9, 0.9, 0.1]
    rows = [row for n, x in enumerate(curve) for row in evaluation(n, 5.0 * n, a=(x, x))]
    targets = pd.DataFrame({"accuracy": [0.2, 0.6, 0.85, 0.9], "crossing": "smoothed"})
    found = of_targets(pd.DataFrame(rows), pd.DataFrame(TRANSFERS), targets)
    # Means of 0.2, 0.5, 0.6, 0.8333, 0.8667, 0.6333: the first is of one value alone.
    assert [found[f"time_to_{x:g}_s"] for x in (0.2, 0.6, 0.85)] == [0.0, 10.0, 20.0]
    assert [found[f"reached_{x:g}"] for x in (0.2, 0.6, 0.85, 0.9)] == [1, 1, 1, 0]
    # Messages sent by then, for control too, but not what else uses the air.
    assert [found[f"bytes_to_{x:g}"] for x in (0.2, 0.6, 0.85)] == [0, 3120, 6120]
    assert math.isnan(found["time_to_0.9_s"])
    assert (found["targets_observed_s"], found["targets_observed_bytes"]) == (25.0, 6120)
    first = of_targets(
        pd.DataFrame(rows), pd.DataFrame(TRANSFERS), targets.assign(crossing="first")
    )
    assert [first[f"time_to_{x:g}_s"] for x in (0.2, 0.6, 0.85, 0.9)] == [0.0, 5.0, 15.0, 15.0]


def test_rounds_by_hand(metrics: dict[str, float]) -> None:
    """Law: the slowest device of round 1 waits until the late message has expired, and 0.5 s more;
    that of round 2 for the message that arrives; the parts add up to the mean latency."""
    assert metrics["round_latency_mean_s"] == (8.5 + 5.0) / 2
    assert metrics["round_latency_p95_s"] == pytest.approx(8.5 - 0.05 * 3.5)
    assert metrics["straggler_ratio"] == pytest.approx((2.25 / 8.5 + 1.0 / 5.0) / 2)
    assert metrics["round_compute_s"] == (3.0 + 2.0) / 2
    assert metrics["round_channel_access_s"] == 0.5
    assert metrics["round_airtime_s"] == (4.0 + 3.0) / 2
    assert metrics["round_waiting_s"] == 0.25
    assert metrics["round_queue_s"] == metrics["round_retransmission_s"] == 0.0
    parts = (
        "compute",
        "queue",
        "channel_access",
        "airtime",
        "retransmission",
        "backhaul",
        "waiting",
    )
    total = sum(metrics[f"round_{part}_s"] for part in parts)
    assert total == pytest.approx(metrics["round_latency_mean_s"])


def test_a_round_that_waits_for_nobody_is_computing() -> None:
    rows = [{"round": 1, "device": "0", "start_s": 0.0, "trained_s": 9.0, "end_s": 9.0}]
    found = of_rounds(pd.DataFrame(rows), pd.DataFrame(TRANSFERS))
    assert found["round_compute_s"] == found["round_latency_mean_s"] == 9.0
    assert found["straggler_ratio"] == 0.0


@pytest.mark.parametrize("aggregator", ["server", "station-1"])
def test_a_client_receives_trains_and_answers(aggregator: str) -> None:
    """Law: 2 s down, 3 s of training, 4 s up over the backhaul and the air."""
    path = [
        transfer(aggregator, "0", 1.0, 3.0, backhaul_s=0.5),
        transfer("0", aggregator, 6.0, 10.0, queue_s=1.0, backhaul_s=0.5),
        transfer("1", aggregator, 2.0, 9.0),
    ]
    rows = [{"round": 1, "device": "0", "start_s": 1.0, "trained_s": 6.0, "end_s": 10.0}]
    found = of_rounds(pd.DataFrame(rows), pd.DataFrame(path))
    assert found["round_compute_s"] == 3.0
    assert found["round_queue_s"] == 1.0
    assert found["round_airtime_s"] == 1.5 + 2.5
    assert found["round_backhaul_s"] == 1.0
    assert found["round_waiting_s"] == 0.0
    assert found["round_latency_mean_s"] == 9.0


def test_devices_by_hand(metrics: dict[str, float]) -> None:
    assert metrics["energy_total_j"] == 8.0
    spent = [metrics[f"energy_{name}_j"] for name in ("tx", "rx", "idle", "compute")]
    assert spent == [4.0, 1.5, 0.75, 1.75]
    # Delivered: four of 1000 bytes, one of 120 and one of the background's 7000.
    assert metrics["energy_per_megabit_j"] == pytest.approx(5.5 / (8e-6 * 11_120))
    assert metrics["jain_energy"] == pytest.approx(64 / (2 * (36 + 4)))
    assert metrics["stored_bytes"] == 200
    assert metrics["a_cosine"] == pytest.approx(0.15)
    assert metrics["a_block_norm"] == 0.7


@pytest.mark.parametrize(("count", "of"), [(1, 4), (2, 4), (4, 4), (3, 10)])
def test_jain_of_some_that_have_all(count: int, of: int) -> None:
    """Law: if k of n have the same and the others nothing, the index is k/n."""
    assert jain(pd.Series([2.5] * count + [0.0] * (of - count))) == pytest.approx(count / of)
    assert math.isnan(jain(pd.Series([0.0, 0.0])))


def test_groups_by_hand(metrics: dict[str, float]) -> None:
    """Law: those of the last evaluation count by their sizes, 1 and 3."""
    assert metrics["clusters"] == 1.5
    assert metrics["cluster_size_mean"] == pytest.approx(8 / 3)
    assert metrics["cluster_size_max"] == 4
    assert metrics["expected_collision_rate"] == pytest.approx(0.15)
    assert metrics["collision_rate"] == pytest.approx(0.3)
    assert metrics["collision_rate_active"] == pytest.approx(0.6)
    # Nothing collides in the group of one.
    assert metrics["sign_conflict_rate"] == 0.5
    assert metrics["consensus_error"] == pytest.approx(0.075)
    assert metrics["spectral_gap"] == pytest.approx((1 + 3 * 0.6) / 4)


def test_the_interval_of_several_runs_is_student_s_over_runs() -> None:
    """Law: the 97.5 % quantile of Student's t with 1 degree is 12.706; counts do not matter."""
    runs = [{"delivery_ratio": 0.5, "messages": 1e6}, {"delivery_ratio": 0.7, "messages": 10.0}]
    found = interval("delivery_ratio", runs)
    assert (found.n, found.mean) == (2, 0.6)
    assert found.half == pytest.approx(12.7062 * 0.1, rel=1e-5)


def test_the_interval_of_a_single_run_is_that_of_its_counts() -> None:
    """Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263, Wilson 0.2553 to 0.3662."""
    for name, count in (
        ("delivery_ratio", "messages"),
        ("lost_departed_ratio", "messages"),
        ("accuracy_all_tasks", "test_examples"),
        ("accuracy_own_task", "test_examples_own"),
    ):
        found = interval(name, [{name: 81 / 263, count: 263.0}])
        assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert math.isnan(interval("goodput_bps", [{"goodput_bps": 1.0, "messages": 3.0}]).low)
    assert math.isnan(interval("delivery_ratio", [{"delivery_ratio": 1.0}]).low)


def test_a_target_that_some_never_reach_has_no_mean() -> None:
    """Law: of 0 of 20 runs Wilson says 0 to 0.1611 (the same table); of the times only those of all
    runs have a mean, and the median is that of Kaplan and Meier."""
    never = [{"reached_0.5": 0, "time_to_0.5_s": math.nan, "targets_observed_s": 9.0}] * 20
    found = interval("reached_0.5", never)
    assert (found.n, found.low, found.high) == (20, 0.0, pytest.approx(0.1611, abs=5e-5))
    some = [{"reached_0.5": 1, "time_to_0.5_s": x, "targets_observed_s": 9.0} for x in (1.0, 2.0)]
    assert interval("time_to_0.5_s", some).mean == 1.5
    assert math.isnan(interval("time_to_0.5_s", [*some, never[0]]).mean)
    assert targets_of([*some, *never, {"reached_0.45": 1}]) == ["0.45", "0.5"]
    assert to_target([*some, never[0]], "0.5", "time_s").median().mean == 2.0
    assert to_target(never, "0.5", "time_s").median().mean == math.inf
