"""What the network made of the messages of learning, or of the traffic: `transfers.csv`.

Background traffic and probes do not count, but in `of_shannon_bound`. A message to several
receivers counts once for each of them.

On the air is what arrived on all legs, of late and lost messages too, and what was sent in vain:
payload_bytes + sharing_bytes + control_bytes + header_bytes + retransmitted_bytes = on_air_bytes.
What arrived of a message is payload and header in the proportion in which the message is. The table
counts blocks that did not arrive, not their bits: each of them is taken to be as large as the
message's blocks that did arrive are on average, or all messages' where none did.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

DEFINITIONS = {
    "of_shannon_bound": "bits carried over what Shannon's bound allows in their time and band",
    "messages": "messages handed over",
    "offered_bytes": "sizes of all messages, whether they arrived or not [byte]",
    "acked_bytes": "what arrived of them at their targets, headers of packets included [byte]",
    "delivered_share": "share of messages that arrived in time, control messages apart",
    "deadline_miss_share": "share of messages given up at their deadline, control messages apart",
    "latency_median_s": "median time from being handed over to being delivered, if it was [s]",
    "latency_p95_s": "95 % quantile of that time [s]",
    "goodput_bps": "sizes delivered, control messages apart, over simulated time [bit/s]",
    "payload_bytes_per_message": "mean size of an update, its header apart [byte]",
    "payload_bytes": "of updates, on the air, headers apart [byte]",
    "sharing_bytes": "of what groups tell each other, on the air, headers apart [byte]",
    "control_bytes": "of what is told to agree on groups, on the air, headers apart [byte]",
    "header_bytes": "headers of messages and of packets on the air [byte]",
    "retransmitted_bytes": "sent but did not arrive, estimated from the number of blocks [byte]",
    "on_air_bytes": "sum of the five kinds of bytes on the air [byte]",
}

OTHERS = ("background", "probe")
"""Kinds of messages that are not learning's, nor the traffic's."""


def of_transfers(transfers: pd.DataFrame, simulated_s: float) -> dict[str, Any]:
    """Return the metrics of messages by name.

    Parameters
    ----------
    transfers : of a run
    simulated_s : how long it was [s]
    """
    sent = transfers["capacity_bytes"].sum()
    metrics = {"of_shannon_bound": transfers["carried_bytes"].sum() / sent if sent else math.nan}
    ours = transfers[~transfers["kind"].isin(OTHERS)]
    metrics["messages"] = len(ours)
    metrics["offered_bytes"] = int(ours["size_bytes"].sum())
    metrics["acked_bytes"] = int(ours["acked_bytes"].sum())
    told = ours[ours["kind"] != "control"]
    if len(told):
        delivered = told[told["delivered"]]
        metrics["delivered_share"] = len(delivered) / len(told)
        metrics["deadline_miss_share"] = (told["reason"] == "deadline").mean()
        metrics["latency_median_s"] = delivered["latency_s"].median()
        metrics["latency_p95_s"] = delivered["latency_s"].quantile(0.95)
        bits = 8.0 * delivered["size_bytes"].sum()
        metrics["goodput_bps"] = bits / simulated_s if simulated_s else math.nan
        updates = told[told["kind"] != "share"]
        own = updates["size_bytes"] - updates["header_bytes"]
        metrics["payload_bytes_per_message"] = own.mean()
    return metrics | on_air(ours)


def on_air(transfers: pd.DataFrame) -> dict[str, float]:
    """Return what was on the air by what it was, and the sum [byte].

    Parameters
    ----------
    transfers : some messages
    """
    carried = transfers["carried_bytes"]
    own = (transfers["size_bytes"] - transfers["header_bytes"]) / transfers["air_bytes"] * carried
    kind = transfers["kind"]
    parts = {
        "payload_bytes": own[~kind.isin(["share", "control"])].sum(),
        "sharing_bytes": own[kind == "share"].sum(),
        "control_bytes": own[kind == "control"].sum(),
        "header_bytes": (carried - own).sum(),
        "retransmitted_bytes": retransmitted(transfers).sum(),
    }
    return {**parts, "on_air_bytes": sum(parts.values())}


def retransmitted(transfers: pd.DataFrame) -> pd.Series:
    """Return what was sent in vain for each of some messages, estimated from its blocks [byte]."""
    arrived = transfers["blocks"] - transfers["failed_blocks"]
    carried = transfers["carried_bytes"]
    usual = carried.sum() / arrived.sum() if arrived.any() else 0.0
    block = (carried / arrived.where(arrived > 0)).fillna(usual)
    return block * transfers["failed_blocks"]
