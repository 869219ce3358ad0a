"""Round latency and its breakdown along the critical path (`rounds.csv`, `transfers.csv`).

The latency of a round is that of its slowest device. Its critical path is followed backwards from
the end of the round to the last update received before it, and over the transfer of that update to
the end of its sender's computation. Compute, queue, channel access, airtime, retransmission,
backhaul and waiting times therefore add up to the latency exactly; with split learning they are
sums over all messages of the device. The inter-cluster exchange follows the round and is not part
of it.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from wnsim.core.transfer import ACTIVATION, SPLIT_KINDS
from wnsim.metrics.delivery import fixed

DEFINITIONS = {
    "round_latency_mean_s": "time from a round's start until its slowest device has aggregated [s]",
    "round_latency_p95_s": "95th percentile over rounds of the same time [s]",
    "straggler_ratio": "(max - median) / max of the devices' durations; mean over rounds",
    "round_compute_s": "part of the mean latency: computation before the last update is sent [s]",
    "round_queue_s": "that update queued behind other messages or waiting for a slot [s]",
    "round_channel_access_s": "channel-access delay of that update [s]",
    "round_airtime_s": "airtime of that update's successful transmissions [s]",
    "round_retransmission_s": "airtime of that update's failed transmissions [s]",
    "round_backhaul_s": "that update on the backhaul [s]",
    "epsilon": "local privacy loss of the most exposed device, with the delta of `fl.privacy`",
    "round_waiting_s": "waiting while no update that will be received is in transit [s]",
}

# Records are rounded to a nanosecond.
_SAME_S = 2e-9
_PARTS = ("queue", "channel_access", "airtime", "retransmission", "backhaul")
COLUMNS = (
    "round", "kind", "source", "target", "size_bytes", "sent_s", "ended_s", "latency_s",
    *(f"{name}_s" for name in _PARTS),
)  # fmt: skip
"""Columns of transfers.csv that these metrics and those of targets need."""


def of_rounds(rounds: pd.DataFrame, transfers: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of rounds by name; empty if no device has ended one.

    Parameters
    ----------
    rounds, transfers : tables of a run
    """
    rounds = rounds.dropna(subset=["start_s", "end_s"])
    if rounds.empty:
        return {}
    duration_s = rounds["end_s"] - rounds["start_s"]
    by_round = duration_s.groupby(rounds["round"])
    slowest = rounds.loc[by_round.idxmax()]
    latency_s = by_round.max()
    late = (latency_s - by_round.median()) / latency_s.where(latency_s > 0)
    metrics = {
        "round_latency_mean_s": latency_s.mean(),
        "round_latency_p95_s": latency_s.quantile(0.95),
        "straggler_ratio": late.mean(),
    }
    if "epsilon" in rounds and rounds["epsilon"].notna().any():
        metrics["epsilon"] = rounds["epsilon"].max()
    updates = transfers[transfers["kind"].isin(("update", *SPLIT_KINDS))]
    # Clients exchange with a server, or with the aggregators at base stations.
    updates = updates.assign(goes_up=fixed(updates["target"]), goes_down=fixed(updates["source"]))
    of_round = dict(tuple(updates.groupby("round")))
    parts = pd.DataFrame(
        [_path(row, of_round.get(row.round, updates.iloc[:0])) for row in slowest.itertuples()]
    )
    return metrics | {f"round_{name}_s": parts[name].mean() for name in parts}


def _path(row: Any, updates: pd.DataFrame) -> dict[str, float]:
    """Return the parts of a device's round along its critical path [s].

    Parameters
    ----------
    row : row of the device and round
    updates : update transfers of the round
    """
    # Updates to the device; a client also waits for its own upload.
    own = (updates["target"] == row.device) | (
        (updates["source"] == row.device) & updates["goes_up"]
    )
    inside = updates["ended_s"] <= row.end_s + _SAME_S
    ended_s = updates["ended_s"].where(own & inside)
    # A client receives the model before it trains, and exchanges activations while it trains.
    early = updates["goes_down"] | (updates["kind"] == ACTIVATION)
    first = early & (ended_s <= row.trained_s + _SAME_S)
    path, before_s = [*first[first].index], updates["latency_s"][first].sum()
    ready_s, waited_s = row.trained_s, row.end_s - row.trained_s
    after_s = ended_s[ended_s > row.trained_s + _SAME_S]
    if len(after_s):
        last = after_s.idxmax()
        path.append(last)
        ready_s, waited_s = updates["sent_s"][last], row.end_s - after_s[last]
    parts = {name: updates[f"{name}_s"][path].sum() for name in _PARTS}
    return {"compute": ready_s - row.start_s - before_s, **parts, "waiting": max(waited_s, 0.0)}
