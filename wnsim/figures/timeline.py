"""Gantt chart of a device: what it does in each round, and for how long."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from wnsim.figures.lines import Line
from wnsim.figures.style import area_style, in_rows, legend_above, short
from wnsim.metrics import read_transfers
from wnsim.metrics.delivery import fixed

COMPUTING, ON_AIR, QUEUEING, WAITING = "computing", "on air", "queueing", "waiting"
_STYLES = {
    COMPUTING: area_style(1),
    QUEUEING: area_style(2),
    ON_AIR: area_style(4),
    WAITING: area_style(0),
}
_MOST_ROUNDS, _MOST_LINES = 12, 4
# Share of the axis below which a part cannot be seen.
_LEAST_SHOWN = 0.002
# Records are rounded to a nanosecond.
_SAME_S = 2e-9
_ROW_IN, _FRAME_IN, _GAP_IN = 0.16, 0.55, 0.32

Span = tuple[float, float]


def timeline(figure: Figure, lines: Sequence[Line], device: str = "") -> pd.DataFrame | None:
    """Plot the rounds of one device, the first ones of the first run of up to four lines.

    A round is divided into the device's local steps; the time in which a message of it is on the
    air; that in which some wait in a queue or for the channel and none is on the air; and the rest,
    in which it waits for others. Messages of a device are what it sends after its local steps, and
    what a server or a base station sends to it before them. Of a message that is sent again, or
    contends several times, the delays are taken as if they came before the first transmission.

    Parameters
    ----------
    figure, lines : empty figure, and lines of the legend
    device : name of the device; the first one in the table of rounds by default
    """
    found = [(line, _rounds(line, device)) for line in lines]
    shown = [(line, rounds) for line, rounds in found if len(rounds)][:_MOST_LINES]
    if not shown:
        return None
    rows = [rounds["round"].nunique() for _, rounds in shown]
    height_in = sum(rows) * _ROW_IN + len(rows) * _GAP_IN + _FRAME_IN
    figure.set_size_inches(figure.get_figwidth(), height_in)
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0]
    for axes, (line, rounds) in zip(panels, shown, strict=True):
        names = list(dict.fromkeys(rounds["round"]))
        row = {name: number for number, name in enumerate(names)}
        for part, style in _STYLES.items():
            of_part = rounds[rounds["part"] == part]
            axes.barh(
                of_part["round"].map(row), of_part["end_s"] - of_part["begin_s"],
                left=of_part["begin_s"], height=0.7, **style,
            )  # fmt: skip
        axes.set_yticks(range(len(names)), [str(name) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_title(short(line.name), loc="left")
    middle = panels[len(panels) // 2] if len(panels) % 2 else None
    if middle is not None:
        middle.set_ylabel("Round")
    else:
        figure.supylabel("Round", fontsize=8)
    name = str(shown[0][1]["device"].iloc[0])
    panels[-1].set_xlabel(f"Time since the start of the round [s], device {in_rows(name)}")
    panels[-1].set_xlim(left=0)
    every = pd.concat([rounds for _, rounds in shown])
    wide = every["end_s"] - every["begin_s"] > _LEAST_SHOWN * every["end_s"].max()
    used = set(every.loc[wide, "part"])
    legend_above(
        figure, [Patch(label=part, **style) for part, style in _STYLES.items() if part in used]
    )
    return pd.concat([rounds.assign(line=line.name) for line, rounds in shown])


def _rounds(line: Line, device: str) -> pd.DataFrame:
    """Return the parts of a device's first rounds: round, device, part, begin and end [s]."""
    rows: list[tuple[int, str, str, float, float]] = []
    tables = line.tables("rounds.csv", ["round", "device", "start_s", "trained_s", "end_s"])
    if tables and len(tables[0]):
        table = tables[0]
        # Of numbers the least one, not the first in the order of texts.
        names = sorted(table["device"].astype(str).unique(), key=lambda each: (len(each), each))
        name = device or names[0]
        own = table[table["device"].astype(str) == name].sort_values("start_s")
        down, up = _messages(line, name)
        for each in own.head(_MOST_ROUNDS).itertuples():
            times_s = float(each.start_s), float(each.trained_s), float(each.end_s)
            rows += [
                (int(each.round), name, part, begin - times_s[0], end - times_s[0])
                for part, begin, end in _parts(times_s, down, up)
            ]
    return pd.DataFrame(rows, columns=["round", "device", "part", "begin_s", "end_s"])


def _messages(line: Line, device: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the messages from stations to a device, and from the device, with three instants.

    These are submission, first transmission, and end of the way over the air [s].
    """
    columns = ["source", "target", "sent_s", "ended_s", "queue_s", "channel_access_s"]
    transfers = read_transfers(line.folders[0], [*columns, "backhaul_s"])
    if not set(columns) <= set(transfers):
        none = pd.DataFrame(columns=["sent_s", "air_s", "ended_s"], dtype=float)
        return none, none
    backhaul_s = transfers["backhaul_s"].fillna(0.0) if "backhaul_s" in transfers else 0.0
    waited_s = transfers["queue_s"].fillna(0.0) + transfers["channel_access_s"].fillna(0.0)
    to_device = transfers["target"].astype(str) == device
    # The backhaul comes before the downlink, and after the uplink.
    begin_s = transfers["sent_s"] + backhaul_s * to_device
    ended_s = transfers["ended_s"] - backhaul_s * ~to_device
    air_s = np.minimum(begin_s + waited_s, ended_s)
    times = pd.DataFrame({"sent_s": transfers["sent_s"], "air_s": air_s, "ended_s": ended_s})
    down = times[to_device & fixed(transfers["source"])]
    return down, times[transfers["source"].astype(str) == device]


def _parts(
    times_s: tuple[float, float, float], down: pd.DataFrame, up: pd.DataFrame
) -> Iterable[tuple[str, float, float]]:
    """Yield the parts of a round in order: name, begin and end [s].

    Parameters
    ----------
    times_s : start of the round, end of the local steps, and end of the round [s]
    down, up : messages to and from the device
    """
    start_s, trained_s, end_s = times_s
    before = down[(down["sent_s"] >= start_s - _SAME_S) & (down["ended_s"] <= trained_s + _SAME_S)]
    begin_s = min(float(before["ended_s"].max()), trained_s) if len(before) else start_s
    yield from _divided(start_s, begin_s, before)
    if trained_s > begin_s:
        yield COMPUTING, begin_s, trained_s
    after = up[(up["ended_s"] > trained_s) & (up["sent_s"] < end_s)]
    yield from _divided(trained_s, end_s, after)


def _divided(
    begin_s: float, end_s: float, messages: pd.DataFrame
) -> Iterable[tuple[str, float, float]]:
    """Yield the parts of a time without local steps by what messages do in it."""
    air = _spans(messages["air_s"], messages["ended_s"])
    queue = _spans(messages["sent_s"], messages["air_s"])
    edges = {edge for span in (*air, *queue) for edge in span if begin_s < edge < end_s}
    parts: list[tuple[str, float, float]] = []
    for begin, end in itertools.pairwise(sorted({begin_s, end_s} | edges)):
        middle = (begin + end) / 2
        part = WAITING
        if any(a < middle < b for a, b in air):
            part = ON_AIR
        elif any(a < middle < b for a, b in queue):
            part = QUEUEING
        if parts and parts[-1][0] == part:
            begin = parts.pop()[1]
        parts.append((part, begin, end))
    return parts


def _spans(begins: pd.Series, ends: pd.Series) -> list[Span]:
    return [(float(a), float(b)) for a, b in zip(begins, ends, strict=True) if b > a]
