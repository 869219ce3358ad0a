"""Churn: devices that leave and return, by rates or from a file.

Sources: exponential on and off times, the alternating renewal process of Yao, Leonard, Wang,
Loguinov, "Modeling heterogeneous user churn and local resilience of unstructured P2P networks",
IEEE ICNP 2006.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.streams import generator
from wnsim.core.units import FAR_NS, NS_PER_S
from wnsim.faults.kinds import Node
from wnsim.faults.spans import Spans

Rate = Annotated[float, Field(ge=0, le=1e3)]
_HEADER = ["t_s", "id", "event"]
_LATEST_S = 1e9


@parameters
class Churn:
    """Devices that leave and return.

    An absent device continues computing but reaches no device; transfers in progress to or from it
    fail with the reason `departed`.

    Parameters
    ----------
    devices : affected devices; all if none is given
    leave_per_s : rate at which a present device leaves, the inverse of its mean stay [1/s]
    return_per_s : rate at which an absent device returns [1/s]
    present_share : probability of being present at the start
    file : in place of the rates, lines `t_s,id,event` with that header, in order of time, with
        names of devices and `join` or `leave`; a device that joins first was absent before
    forget : whether all others delete what they hold of a device that has left, at the start of the
        next round; for protocol `synchronous`, with a table `forgetting.csv`
    """

    devices: tuple[Node, ...] = ()
    leave_per_s: Rate = 0.0
    return_per_s: Rate = 0.0
    present_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    file: Annotated[str, Field(min_length=1)] | None = None
    forget: bool = False

    def __post_init__(self) -> None:
        by_rates = self.leave_per_s > 0 or self.present_share < 1
        if self.file is None and not by_rates:
            raise ValueError("churn needs a file, leave_per_s or present_share, got none")
        if self.file is not None and (by_rates or self.return_per_s or self.devices):
            raise ValueError("churn by a file needs no devices and no rates, got both")

    def spans(self, names: Sequence[str], seed: int) -> dict[int, Spans]:
        """Return the absence intervals by device.

        Parameters
        ----------
        names : names of the devices
        seed : seed of the scenario

        Raises
        ------
        ValueError
            if the file cannot be used
        """
        if self.file is not None:
            return {device: Spans(away) for device, away in _read(Path(self.file), names).items()}
        return {
            device: Spans(more=self._drawn(device, seed))
            for device in self.devices or range(len(names))
        }

    def _drawn(self, device: int, seed: int) -> Iterator[tuple[int, int]]:
        """Yield the absence intervals of a device without end."""
        rng = generator(seed, "churn", device)
        now_s = 0.0
        if rng.random() < self.present_share:
            now_s += _exponential(rng.random(), self.leave_per_s)
        while now_s < _LATEST_S:
            back_s = now_s + _exponential(rng.random(), self.return_per_s)
            yield round(now_s * NS_PER_S), _instant_ns(back_s)
            now_s = back_s + _exponential(rng.random(), self.leave_per_s)


def _exponential(draw: float, rate: float) -> float:
    """Draw an exponential time; infinite for rate 0."""
    return -math.log1p(-draw) / rate if rate else math.inf


def _instant_ns(time_s: float) -> int:
    return round(time_s * NS_PER_S) if time_s < _LATEST_S else FAR_NS


def _read(path: Path, names: Sequence[str]) -> dict[int, list[tuple[int, int]]]:
    """Return the absence intervals given by a file."""
    number = {name: device for device, name in enumerate(names)}
    away_since: dict[int, int | None] = {}
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    last_s = 0.0
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: is not a regular file")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file)
            if next(lines, None) != _HEADER:
                raise ValueError(f"{path}:1: the header must be {','.join(_HEADER)}")
            for fields in lines:
                where = f"{path}:{lines.line_num}"
                last_s, name, event = _fields(fields, where, last_s)
                if name not in number:
                    raise ValueError(f"{where}: there is no device {name!r}")
                device, at_ns = number[name], round(last_s * NS_PER_S)
                known = device in away_since
                since = away_since.get(device, 0 if event == "join" else None)
                if (event == "join") != (since is not None):
                    state = "away" if since is not None else "there"
                    raise ValueError(f"{where}: {name} cannot {event}, it is {state} already")
                if since is not None:
                    spans[device].append((since if known else 0, at_ns))
                away_since[device] = at_ns if event == "leave" else None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    for device, since in away_since.items():
        if since is not None:
            spans[device].append((since, FAR_NS))
    return dict(spans)


def _fields(fields: Sequence[str], where: str, last_s: float) -> tuple[float, str, str]:
    """Return instant, name and event of a line."""
    if len(fields) != len(_HEADER):
        raise ValueError(f"{where}: a line must have {len(_HEADER)} fields, got {len(fields)}")
    text, name, event = fields
    try:
        time_s = float(text)
    except ValueError:
        raise ValueError(f"{where}: t_s must be a number, got {text!r}") from None
    if not last_s <= time_s <= _LATEST_S:
        raise ValueError(f"{where}: t_s must not fall, and be at most {_LATEST_S:g}, got {text}")
    if event not in ("join", "leave"):
        raise ValueError(f"{where}: event must be join or leave, got {event!r}")
    return time_s, name, event
