"""How long rounds take, and what for: `rounds.csv`, with the `transfers.csv` that they wait for.

The latency of a round is that of its slowest device. It is split along the path that it waits for:
back from its end to the last update that came in before that, over its transfer to the end of its
sender's computing. So compute, queue, access, air, retransmission, backhaul and waiting add up to
the latency exactly. What groups tell each other comes after the round, and is not in it.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

DEFINITIONS = {
    "round_latency_mean_s": "from a round's begin until its slowest device has merged; mean [s]",
    "round_latency_p95_s": "95 % quantile of that over rounds [s]",
    "straggler_share": "(max - median) / max of devices' durations of a round; mean over rounds",
    "round_compute_s": "of the mean latency: training before the update that is waited for [s]",
    "round_queue_s": "that update waiting for others or for its slot [s]",
    "round_access_s": "that update on the air, but not its turn [s]",
    "round_air_s": "that update on the air, sending what arrived [s]",
    "round_retransmission_s": "that update on the air, sending what did not arrive [s]",
    "round_backhaul_s": "that update between base stations [s]",
    "round_waiting_s": "waiting when nothing that comes is under way any more [s]",
}

# Records are rounded to a nanosecond.
_SAME_S = 2e-9
_SERVER = "server"
_PARTS = ("queue", "access", "air", "retransmission", "backhaul")


def of_rounds(rounds: pd.DataFrame, transfers: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of rounds by name; nothing if there was no round.

    Parameters
    ----------
    rounds, transfers : of a run
    """
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
        "straggler_share": late.mean(),
    }
    updates = transfers[transfers["kind"] == "update"]
    of_round = dict(tuple(updates.groupby("round")))
    parts = pd.DataFrame(
        [_path(row, of_round.get(row.round, updates.iloc[:0])) for row in slowest.itertuples()]
    )
    return metrics | {f"round_{name}_s": parts[name].mean() for name in parts}


def _path(row: Any, updates: pd.DataFrame) -> dict[str, float]:
    """Return what a device's round consists of, along the path that it waits for [s].

    Parameters
    ----------
    row : of the round
    updates : transfers of this round
    """
    # What it hears; a client of a server waits for what it answers, too.
    own = (updates["target"] == row.device) | (
        (updates["source"] == row.device) & (updates["target"] == _SERVER)
    )
    inside = updates["ended_s"] <= row.end_s + _SAME_S
    ended_s = updates["ended_s"].where(own & inside)
    # A client is told before it trains.
    from_server = (updates["source"] == _SERVER) & (ended_s <= row.trained_s + _SAME_S)
    path, before_s = [*from_server[from_server].index], updates["latency_s"][from_server].sum()
    ready_s, waited_s = row.trained_s, row.end_s - row.trained_s
    after_s = ended_s[ended_s > row.trained_s + _SAME_S]
    if len(after_s):
        last = after_s.idxmax()
        path.append(last)
        ready_s, waited_s = updates["sent_s"][last], row.end_s - after_s[last]
    parts = {name: updates[f"{name}_s"][path].sum() for name in _PARTS}
    return {"compute": ready_s - row.start_s - before_s, **parts, "waiting": max(waited_s, 0.0)}
