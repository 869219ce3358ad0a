"""Replayed links: validity of samples, both directions, and malformed files."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from wnsim.channel import (
    Carrier,
    Channel,
    Geometry,
    Propagation,
    Rayleigh,
    Replay,
    ReplayTable,
    Shadowing,
    UmiStreetCanyon,
)

TABLE = """t_s,source,target,gain_db,rate_bps
0,a,b,-80,1e6
1,a,b,-90,2e6
0.5,1,2,-70,5e6
2.5,c,b,-60,7e6
3,a,b,-100,0
"""
NAMES = ["a", "b", "c", "d"]


def table(tmp_path: Path, text: str = TABLE, interpolate: str = "hold") -> ReplayTable:
    file = tmp_path / "links.csv"
    file.write_text(text, encoding="utf-8")
    return Replay(file=str(file), interpolate=interpolate).links(NAMES)


def test_hold_keeps_the_last_sample(tmp_path: Path) -> None:
    t_s = np.array([-1.0, 0.0, 0.999, 1.0, 2.0, 3.0, 9.0])
    gain_db = table(tmp_path).gain_db(np.array([0, 1]), np.array([1, 0]), t_s)
    assert gain_db[0].tolist() == [-80, -80, -80, -90, -90, -100, -100]
    # Only one direction was measured.
    assert np.array_equal(gain_db[1], gain_db[0])


def test_linear_goes_from_sample_to_sample(tmp_path: Path) -> None:
    made = table(tmp_path, interpolate="linear")
    t_s = np.array([-1.0, 0.25, 1.0, 2.0, 9.0])
    gain_db = made.gain_db(np.array([1]), np.array([0]), t_s)
    assert gain_db[0] == pytest.approx([-80, -82.5, -90, -95, -100])
    rate_bps = made.rate_bps(np.array([0]), np.array([1]), t_s)
    assert rate_bps is not None
    assert rate_bps[0] == pytest.approx([1e6, 1.25e6, 2e6, 1e6, 0])


def test_two_measured_directions_differ(tmp_path: Path) -> None:
    gain_db = table(tmp_path).gain_db(np.array([1, 2]), np.array([2, 1]), np.array([9.0]))
    assert gain_db[:, 0].tolist() == [-70, -60]


def test_links_that_were_not_measured(tmp_path: Path) -> None:
    made = table(tmp_path)
    unlinked = (np.array([0, 3]), np.array([3, 2]), np.zeros(1))
    assert np.all(np.isneginf(made.gain_db(*unlinked)))
    rate_bps = made.rate_bps(*unlinked)
    assert rate_bps is not None
    assert not rate_bps.any()
    assert made.latency_s(*unlinked) is None
    slow = table(tmp_path, "t_s,source,target,latency_s\n0,a,b,0.5\n")
    latency_s = slow.latency_s(np.array([1, 0]), np.array([0, 3]), np.zeros(1))
    assert latency_s is not None
    assert latency_s[:, 0].tolist() == [0.5, np.inf]
    assert not slow.has_gain
    with pytest.raises(ValueError, match="gain_db must be a column of a replayed table"):
        slow.gain_db(*unlinked)


def test_channel_replays_gains_in_place_of_all_models(tmp_path: Path) -> None:
    def channel(replay: ReplayTable | None) -> Channel:
        return Channel(
            Propagation(UmiStreetCanyon(), Shadowing(), Rayleigh(), replay=replay),
            Carrier(3.5e9, subbands=2),
            Geometry(
                np.full(4, 1.5),
                lambda d, t: np.asarray(d)[:, None, None] * np.full((1, len(t), 2), 50.0),
                0.0,
            ),
            1,
        )

    source, target = np.array([0, 1, 0]), np.array([1, 0, 3])
    made = channel(table(tmp_path))
    gain = made.gain_blocks(source, target, 0, 4, 1_000_000_000)
    assert gain.shape == (3, 4, 2)
    assert gain[..., 1] == pytest.approx(
        np.array([[1e-8, 1e-9, 1e-9, 1e-10], [1e-8, 1e-9, 1e-9, 1e-10], [0, 0, 0, 0]])
    )
    t_s = np.arange(4.0)
    assert np.abs(made.response(source, target, t_s)) ** 2 == pytest.approx(gain)
    assert made.gain_db(source[:2], target[:2], t_s)[0, :, 0].tolist() == [-80, -90, -90, -100]
    assert made.max_range_m(100.0) == 1e7
    rates_only = channel(table(tmp_path, "t_s,source,target,rate_bps\n0,a,b,1e6\n"))
    models = channel(None).gain_blocks(source, target, 0, 4, 1_000_000)
    assert np.array_equal(rates_only.gain_blocks(source, target, 0, 4, 1_000_000), models)


def test_compressed_files(tmp_path: Path) -> None:
    file = tmp_path / "links.csv.gz"
    file.write_bytes(gzip.compress(TABLE.encode()))
    made = Replay(file=str(file)).links(NAMES)
    assert made.gain_db(np.array([0]), np.array([1]), np.zeros(1))[0, 0] == -80.0
    file.write_bytes(gzip.compress(TABLE.encode())[:-12])
    with pytest.raises(ValueError, match=r"the compressed file is (truncated|damaged)"):
        Replay(file=str(file)).links(NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "links.csv:1: the first line must be t_s,source,target and one or more of"),
        ("t_s,source,target\n", "links.csv:1: the first line must be"),
        ("t_s,source,target,gain\n", "links.csv:1: the first line must be"),
        ("t_s,source,target,gain_db,gain_db\n", "links.csv:1: the first line must be"),
        ("t_s,source,target,gain_db\n", "a table must have at least one sample, got none"),
        ("t_s,source,target,gain_db\n0,a,b\n", "links.csv:2: a line must have 4 values, got 3"),
        ("t_s,source,target,gain_db\n0,a,e,-80\n", "links.csv:2: target must be a device, got 'e'"),
        ("t_s,source,target,gain_db\n0,a,a,-80\n", "must join two devices, got 'a' with itself"),
        ("t_s,source,target,gain_db\n0,a,0,-80\n", "must join two devices, got 'a' with itself"),
        ("t_s,source,target,gain_db\n0,a,b,nan\n", "gain_db must be from -1000 to 100, got 'nan'"),
        ("t_s,source,target,rate_bps\n0,a,b,-1\n", "rate_bps must be from 0 to 1e.15, got '-1'"),
        ("t_s,source,target,gain_db\ninf,a,b,0\n", "t_s must be from -9e.09 to 9e.09, got 'inf'"),
        (
            "t_s,source,target,gain_db\n1,a,b,-80\n1,a,b,-81\n",
            "links.csv:3: time must increase on a link, got 1 s after 1 s from 'a' to 'b'",
        ),
        ('t_s,source,target,gain_db\n1,a,"b,-80\n', "links.csv:2: the line is not comma-separated"),
        ("t_s,source,target,gain_db\n" + "1" * 5000, "links.csv:2: a line may have at most 4096"),
    ],
)
def test_errors_name_file_line_rule_and_value(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(tmp_path, text)


def test_errors_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"nothing\.csv: no such file"):
        Replay(file=str(tmp_path / "nothing.csv")).links(NAMES)
    with pytest.raises(ValueError, match="the file cannot be read"):
        Replay(file=str(tmp_path)).links(NAMES)
    monkeypatch.setattr("wnsim.channel.replay_file._MAX_LINES", 3)
    with pytest.raises(ValueError, match="at most 10000000 samples, got more"):
        table(tmp_path)
    (tmp_path / "bytes.csv").write_bytes(b"t_s,source,target,gain_db\n0,\xff,b,-80\n")
    with pytest.raises(ValueError, match=r"bytes\.csv:2: text must be UTF-8"):
        Replay(file=str(tmp_path / "bytes.csv")).links(NAMES)
