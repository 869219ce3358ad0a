"""Recorded channels: a run that replays its own gains sends the same messages."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wnsim.channel import (
    Carrier,
    Channel,
    Geometry,
    LogDistance,
    Propagation,
    Rayleigh,
    Replay,
    Shadowing,
)
from wnsim.channel.recording import GainRecord
from wnsim.scenario.__main__ import main

HEAD = """
name: recorded
seed: 3
area_m: [300, 300]
transport: {packet_bytes: 1460}
traffic: {size_bytes: 50_000, neighbors: 1, rounds: 2, lifetime_s: 5}
"""
# What is simulated with recorded gains, and how its channel is replayed.
CASES = {
    "devices": (
        """
devices: {count: 5}
mobility: {model: random-waypoint, speed_mps: [5, 20]}
mac: {model: ofdma, shared: true}
""",
        "",
    ),
    "relays": (
        """
devices: {count: 6, tx_power_dbm: 0}
mobility: {model: random-waypoint, speed_mps: [1, 3]}
transport: {packet_bytes: 1460, max_hops: 3}
mac: {model: reuse}
""",
        "",
    ),
    "cell": (
        """
devices: {count: 4}
mobility: {model: random-waypoint, speed_mps: [5, 20]}
channel:
  fading: {model: tdl, profile: A, delay_spread_s: 300e-9}
  subbands: 3
  propagation_delay: true
radio: {phy: {model: nr}, csi_delay_s: 0.004}
base_stations: {count: 2}
mac: {model: cell}
""",
        ", subbands: 3, propagation_delay: true",
    ),
    "csma": (
        """
devices: {count: 5}
mobility: {model: random-waypoint, speed_mps: [5, 20]}
channel: {fading: {model: rician}}
radio: {phy: {model: wifi}}
mac: {model: csma}
""",
        "",
    ),
    "sidelink": (
        """
devices: {count: 6}
mobility: {model: random-waypoint, speed_mps: [5, 20]}
radio: {phy: {model: nr}}
mac: {model: sidelink}
""",
        "",
    ),
    "outages": (
        """
devices: {count: 4}
mobility: {model: static, layout: grid}
mac: {model: tdma}
faults: {link_outages: [{links: [[0, 1]], from_s: 0.0, until_s: 0.3}]}
""",
        "",
    ),
}


def run(tmp_path: Path, text: str, out: str, *settings: str) -> Path:
    """Simulate a scenario, and return the folder of its run."""
    file = tmp_path / f"{out}.yaml"
    file.write_text(text, encoding="utf-8")
    options = [part for setting in settings for part in ("--set", setting)]
    folder = str(tmp_path / out)
    assert main([str(file), "--out", folder, "--only", "seed=3", *options]) == 0
    return tmp_path / out / "seed=3"


@pytest.mark.parametrize(
    ("case", "engine"), [*((case, "windowed") for case in CASES), ("cell", "packet")]
)
def test_a_replayed_record_gives_the_same_messages(tmp_path: Path, case: str, engine: str) -> None:
    """To the bit, except for means over the air: decibels round gains to some 1e-15."""
    body, channel = CASES[case]
    # A later key of the same name would be an error.
    head = HEAD.replace("transport: {packet_bytes: 1460}\n", "") if "transport" in body else HEAD
    first = run(tmp_path, head + body, "first", "record_channel=true", f"engine={engine}")
    kept = [line for line in body.splitlines() if not line.startswith(("channel", "  "))]
    replay = f"\nchannel: {{replay: {{file: '{first}/channel.csv.gz'}}{channel}}}\n"
    again = run(tmp_path, head + "\n".join(kept) + replay, "again", f"engine={engine}")
    one, other = (pd.read_csv(each / "transfers.csv") for each in (first, again))
    inexact = ["mean_snr_db", "capacity_bytes"]
    pd.testing.assert_frame_equal(one[inexact], other[inexact], rtol=1e-12)
    pd.testing.assert_frame_equal(
        one.drop(columns=inexact), other.drop(columns=inexact), check_exact=True
    )
    assert one["delivered"].any()
    assert (first / "devices.csv").read_bytes() == (again / "devices.csv").read_bytes()


def test_engines_record_the_same_values(tmp_path: Path) -> None:
    """The packet engine's record is that of the windowed one at fewer instants."""
    body, _ = CASES["cell"]
    values = []
    for engine in ("windowed", "packet"):
        folder = run(tmp_path, HEAD + body, engine, f"engine={engine}", "record_channel=true")
        links = Replay(file=str(folder / "channel.csv.gz")).links(["0", "1", "2", "3"], 2)
        with gzip.open(folder / "channel.csv.gz", "rt") as file:
            rows = [line.split(",") for line in file.read().splitlines()[1:]]
        values.append((links, rows))
    (windowed, more), (packet, fewer) = values
    assert {tuple(row[1:3]) for row in fewer} <= {tuple(row[1:3]) for row in more}
    assert len(fewer) <= len(more)
    names = {str(n): n for n in range(4)} | {"station-0": 4, "station-1": 5}
    seen = 0
    for row in fewer:
        ends = np.array([names[row[1]]]), np.array([names[row[2]]])
        at_s = np.array([float(row[0])])
        if row[3]:
            seen += 1
            one, other = (links.power_gain(*ends, at_s) for links in (windowed, packet))
            assert np.array_equal(one, other)
    assert seen > 10


def moving(record: bool = True) -> Channel:
    """Return a channel between four devices that move along x."""

    def position(nodes: np.ndarray, t_s: np.ndarray) -> np.ndarray:
        x_m = 40.0 * nodes[:, None] + 3.0 * t_s
        return np.stack([x_m, np.zeros_like(x_m)], axis=-1)

    return Channel(
        Propagation(LogDistance(exponent=3.0), Shadowing(), Rayleigh()),
        Carrier(3.5e9),
        Geometry(np.full(4, 1.5), position, 3.0),
        1,
        record=record,
    )


def test_a_record_has_what_was_asked_for_and_nothing_else() -> None:
    channel, plain = moving(), moving(record=False)
    channel.gain_blocks(np.array([2]), np.array([0]), 4, 3, 1_000_000)
    channel.gain_blocks(np.array([0, 1]), np.array([2, 3]), 6, 2, 1_000_000)
    channel.large_scale_db(np.array([1]), np.array([2]), np.array([0.25]))
    record = channel.end_record()
    assert record is not None
    assert channel.end_record() is None
    names = ["a", "b", "c", "d"]
    header, *lines = record.lines(channel, names, 1.0)
    assert header == "t_s,source,target,gain_db,mean_gain_db"
    cells = [line.split(",") for line in lines]
    assert [cell[:3] for cell in cells] == [
        *([repr(block * 1e-3), "a", "c"] for block in (4, 5, 6, 7)),
        ["0.25", "b", "c"],
        *([repr(block * 1e-3), "b", "d"] for block in (6, 7)),
    ]
    expected = plain.gain_db(np.array([0]), np.array([2]), np.arange(4, 8) * 1e-3)[0, :, 0]
    assert [float(cell[3]) for cell in cells[:4]] == pytest.approx(expected.tolist(), abs=1e-4)
    mean_db = plain.large_scale_db(np.array([1]), np.array([2]), np.array([0.25]))[0, 0]
    assert (cells[4][3], float(cells[4][4])) == ("", mean_db)
    # Nothing after the end, and no table that could not be read.
    assert len(list(record.lines(channel, names, 0.0055))) == 3
    with pytest.raises(OverflowError):
        list(record.lines(channel, names, 1.0, most=6))


def test_a_value_that_holds_is_written_once() -> None:
    channel = Channel(
        Propagation(LogDistance(exponent=3.0), Shadowing(), Rayleigh(residual_speed_mps=0.0)),
        Carrier(3.5e9),
        Geometry(np.full(2, 1.5), lambda n, t: np.asarray(n)[:, None, None] * np.full(
            (1, len(t), 2), 30.0), 0.0),
        1,
        record=True,
    )  # fmt: skip
    channel.gain_blocks(np.array([0]), np.array([1]), 0, 100, 1_000_000)
    record = channel.end_record()
    assert record is not None
    assert len(list(record.lines(channel, ["a", "b"], 1.0))) == 2


def test_a_record_without_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wnsim.channel.recording.MAX_SAMPLES", 3)
    record = GainRecord()
    record.add_means(np.array([0, 1]), np.array([1, 2]), np.array([0.0, 1.0]))
    with pytest.raises(OverflowError):
        next(record.lines(moving(), ["a", "b", "c", "d"], 1.0))


TABLE = "t_s,source,target,{}\n"


def links(tmp_path: Path, header: str, *rows: str) -> object:
    file = tmp_path / "links.csv"
    file.write_text("\n".join([f"t_s,source,target,{header}", *rows, ""]))
    return Replay(file=str(file)).links(["a", "b"])


def test_empty_cells_have_no_sample(tmp_path: Path) -> None:
    made = links(tmp_path, "gain_db,mean_gain_db", "0,a,b,-80,", "1,a,b,,-70", "2,a,b,-90,-75")
    ends = np.array([0]), np.array([1])
    t_s = np.array([0.0, 1.0, 2.0])
    assert made.gain_db(*ends, t_s)[0].tolist() == [-70, -70, -75]
    assert 10 * np.log10(made.power_gain(*ends, t_s)[0, :, 0]) == pytest.approx([-80, -80, -90])


def test_columns_of_subbands(tmp_path: Path) -> None:
    made = links(tmp_path, "gain_db_0,gain_db_1", "0,a,b,-80,-90", "1,a,b,-1000,-70")
    ends, t_s = (np.array([1]), np.array([0])), np.array([0.0, 1.0])
    power = made.power_gain(*ends, t_s)[0]
    assert power == pytest.approx(np.array([[1e-8, 1e-9], [0.0, 1e-7]]))
    # Without a column of mean gains the mean power of the subbands.
    assert made.gain_db(*ends, t_s)[0] == pytest.approx(10 * np.log10([5.5e-9, 5e-8]))
    with pytest.raises(ValueError, match=r"channel\.subbands must be 2, as many as the columns"):
        Channel(
            Propagation(LogDistance(exponent=3.0), Shadowing(), Rayleigh(), replay=made),
            Carrier(3.5e9, subbands=4),
            Geometry(np.full(2, 1.5), lambda n, t: np.zeros((len(n), len(t), 2)), 0.0),
            1,
        )


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("gain_db_1", "0,a,b,-80", "links.csv:1: the first line must be"),
        ("gain_db_0,gain_db_2", "0,a,b,-80,-80", "links.csv:1: the first line must be"),
        ("gain_db,gain_db_0", "0,a,b,-80,-80", "links.csv:1: the first line must be"),
        ("mean_gain_db", "0,a,b,-80", "links.csv:1: the first line must be"),
        ("rate_bps,mean_gain_db", "0,a,b,1,-80", "links.csv:1: the first line must be"),
        ("gain_db,mean_gain_db", "0,a,b,,", "links.csv:2: a line must have a value, and all"),
        ("gain_db,mean_gain_db", "0,a,b,-80,3", "mean_gain_db must be from -1000 to 0, got '3'"),
        ("gain_db_0", "0,a,b,x", "gain_db_0 must be from -1000 to 0, got 'x'"),
        ("rate_bps", "0,a,b,", "rate_bps must be from 0 to 1e"),
    ],
)
def test_errors_of_columns(tmp_path: Path, header: str, row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        links(tmp_path, header, row)


PLAN = """
contact_plan: {file: p.csv}
transport: {routing: contacts, max_hops: 2, on_link_failure: resume}
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            PLAN,
            "record_channel is not for satellites or a contact_plan",
        ),
        (
            "channel: {replay: {file: rates.csv}}\n",
            "record_channel is for simulated gains, and channel.replay has rates or latencies",
        ),
        (
            "channel: {replay: {file: rates.csv}, propagation_delay: true}\n",
            "channel.propagation_delay is for simulated gains, and channel.replay has rates",
        ),
        (
            "channel: {replay: {file: rates.csv}}\ntransport: {max_hops: 2}\n",
            "transport.max_hops needs the mean gains of links, and channel.replay has rates",
        ),
    ],
)
def test_what_cannot_be_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, message: str
) -> None:
    (tmp_path / "rates.csv").write_text("t_s,source,target,rate_bps\n0,0,1,1e6\n")
    (tmp_path / "p.csv").write_text("start_s,end_s,source,target,rate_bps\n0,9,0,1,1e6\n")
    text = "name: bad\ndevices: {count: 2}\ntraffic: {size_bytes: 1000}\n" + more
    if "record_channel" in message:
        text += "record_channel: true\n"
    (tmp_path / "bad.yaml").write_text(text)
    assert main([str(tmp_path / "bad.yaml"), "--check"]) == 2
    assert message in capsys.readouterr().err
