"""Delivery metrics: latency, delivery ratio, goodput and bytes on the air (`transfers.csv`).

A message is delivered if all of it was received by its deadline, late if not, and lost if it was
given up before its deadline: delivery_ratio + late_ratio + loss_ratio = 1. A message to several
receivers counts once per receiver. Messages in flight at the end of a run do not count, and of
outcomes and latencies neither do background traffic, probes and control messages. The first two
count in no metric but `shannon_efficiency`.

Bytes on the air are the bytes received on all hops, including those of late and dropped messages,
plus the bytes of failed transmissions: payload_bytes + cluster_exchange_bytes + control_bytes +
header_bytes + retransmitted_bytes = on_air_bytes. The received part of a message is split into
payload and header in the proportion of the whole message. The table counts failed blocks, not
their bits: the size of a failed block is estimated by the mean size of the message's received
blocks, or of all messages' received blocks if it has none.
"""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

from wnsim.core.transfer import (
    BELOW_THRESHOLD,
    DELIVERED,
    LATE,
    LATE_REASON,
    LOST_REASONS,
    OTHER_KINDS,
    QUERY_KINDS,
    SIDE_KINDS,
)

DEFINITIONS = {
    "shannon_efficiency": "bits carried over the Shannon capacity of the time and band used",
    "messages": "messages whose outcome counts",
    "offered_bytes": "offered load: sizes of all messages, delivered or not [byte]",
    "uplink_bytes": "the part of it from devices to the server or a base station [byte]",
    "downlink_bytes": "the part of it from the server or a base station to devices [byte]",
    "acked_bytes": "bytes received at destinations, packet headers included [byte]",
    "delivery_ratio": "share of the messages delivered",
    "late_ratio": "share of the messages late",
    "loss_ratio": "share of the messages lost, for whatever reason",
    "lost_*_ratio": "share of the messages lost for a reason, such as departed",
    "latency_median_s": "median latency of delivered messages, from submission to delivery [s]",
    "latency_p95_s": "95th percentile of the same latency [s]",
    "goodput_bps": "sizes of delivered messages over simulated time [bit/s]",
    "payload_bytes_per_message": "mean size of an update, without its header [byte]",
    "payload_bytes": "updates on the air, without headers [byte]",
    "cluster_exchange_bytes": "inter-cluster exchange on the air, without headers [byte]",
    "control_bytes": "messages that form clusters or select clients, without headers [byte]",
    "query_bytes": "queries and their answers on the air, without headers [byte]",
    "header_bytes": "message and packet headers on the air [byte]",
    "retransmitted_bytes": "failed transmissions, estimated from failed blocks [byte]",
    "on_air_bytes": "sum of all kinds of bytes on the air; those of updates that are added "
    "over the air are none [byte]",
}


COLUMNS = (
    "kind", "source", "target", "size_bytes", "header_bytes", "delivered", "reason", "latency_s",
    "air_bytes", "acked_bytes", "carried_bytes", "blocks", "failed_blocks", "capacity_bytes",
)  # fmt: skip
"""Columns of transfers.csv that the metrics need."""
# Kinds of messages whose bytes are not those of updates.
_APART = ("cluster-exchange", "control", *QUERY_KINDS)
_FIXED = re.compile(r"server|station-\d+")
LOST_RATIOS = {f"lost_{reason}_ratio": reason for reason in LOST_REASONS}
"""Metrics of lost messages, and the reason of each."""
ADDED_ONLY = f"lost_{BELOW_THRESHOLD}_ratio"
"""The one among them that only runs have that add updates over the air."""


def of_transfers(transfers: pd.DataFrame, simulated_s: float) -> dict[str, Any]:
    """Return the metrics of messages by name.

    Parameters
    ----------
    transfers : transfers of a run
    simulated_s : duration of the run [s]
    """
    sent = transfers["capacity_bytes"].sum()
    metrics = {"shannon_efficiency": transfers["carried_bytes"].sum() / sent if sent else math.nan}
    ours = of_workload(transfers)
    data = counted(transfers)
    metrics["messages"] = len(data)
    metrics["offered_bytes"] = int(ours["size_bytes"].sum())
    from_above, to_above = fixed(ours["source"]), fixed(ours["target"])
    metrics["uplink_bytes"] = int(ours.loc[to_above & ~from_above, "size_bytes"].sum())
    metrics["downlink_bytes"] = int(ours.loc[from_above & ~to_above, "size_bytes"].sum())
    metrics["acked_bytes"] = int(ours["acked_bytes"].sum())
    if len(data):
        delivered = data[data["delivered"]]
        ending = endings(data)
        lost = ending[~ending.isin([DELIVERED, LATE])]
        metrics["delivery_ratio"] = len(delivered) / len(data)
        metrics["late_ratio"] = (ending == LATE).mean()
        metrics["loss_ratio"] = len(lost) / len(data)
        metrics |= {
            name: (lost == why).sum() / len(data)
            for name, why in LOST_RATIOS.items()
            if name != ADDED_ONLY or _adds(data)
        }
        latency_s = delivered["latency_s"].dropna()
        metrics["latency_median_s"] = latency_s.median()
        metrics["latency_p95_s"] = latency_s.quantile(0.95)
        bits = 8.0 * delivered["size_bytes"].sum()
        metrics["goodput_bps"] = bits / simulated_s if simulated_s else math.nan
        updates = data[data["kind"] != "cluster-exchange"]
        own = updates["size_bytes"] - updates["header_bytes"]
        metrics["payload_bytes_per_message"] = own.mean()
    return metrics | on_air(ours)


def _adds(transfers: pd.DataFrame) -> bool:
    """Return whether updates are added over the air: they arrive in blocks without bytes."""
    arrived = transfers["delivered"] & (transfers["blocks"] > 0)
    added = arrived & (transfers["carried_bytes"] == 0)
    return bool((added | (transfers["reason"] == BELOW_THRESHOLD)).any())


def of_workload(transfers: pd.DataFrame) -> pd.DataFrame:
    """Return the messages of learning or of the section `traffic`, control included."""
    return transfers[~transfers["kind"].isin(SIDE_KINDS)]


def fixed(nodes: pd.Series) -> pd.Series:
    """Return whether each node is the server or a base station, by its name."""
    names = nodes.unique()
    return nodes.isin([name for name in names if _FIXED.fullmatch(str(name))])


def counted(transfers: pd.DataFrame) -> pd.DataFrame:
    """Return the messages whose outcome counts: without background, probes and control."""
    return transfers[counts(transfers["kind"])] if "kind" in transfers else transfers


def counts(kind: pd.Series) -> pd.Series:
    """Return whether the outcome of a message of each kind counts."""
    return ~kind.isin(OTHER_KINDS)


def endings(transfers: pd.DataFrame) -> pd.Series:
    """Return how each message ended: `delivered`, `late`, or the reason for which it was lost."""
    reason = transfers["reason"].astype(object).replace(LATE_REASON, LATE)
    return reason.where(~transfers["delivered"].astype(bool), DELIVERED)


def on_air(transfers: pd.DataFrame) -> dict[str, float]:
    """Return the bytes on the air by kind, and their sum [byte].

    Parameters
    ----------
    transfers : transfers to account for
    """
    carried = transfers["carried_bytes"]
    own = (transfers["size_bytes"] - transfers["header_bytes"]) / transfers["air_bytes"] * carried
    kind = transfers["kind"]
    asked = kind.isin(QUERY_KINDS)
    parts = {
        "payload_bytes": own[~kind.isin(_APART)].sum(),
        "cluster_exchange_bytes": own[kind == "cluster-exchange"].sum(),
        "control_bytes": own[kind == "control"].sum(),
        **({"query_bytes": own[asked].sum()} if asked.any() else {}),
        "header_bytes": (carried - own).sum(),
        "retransmitted_bytes": retransmitted(transfers).sum(),
    }
    return {**parts, "on_air_bytes": sum(parts.values())}


def retransmitted(transfers: pd.DataFrame) -> pd.Series:
    """Estimate the bytes of failed transmissions of each transfer from its failed blocks [byte]."""
    carried = transfers["carried_bytes"]
    # Blocks of updates that are added over the air carry no bytes.
    arrived = (transfers["blocks"] - transfers["failed_blocks"]).where(carried > 0, 0)
    usual = carried.sum() / arrived.sum() if arrived.any() else 0.0
    block = (carried / arrived.where(arrived > 0)).fillna(usual)
    return block * transfers["failed_blocks"]
