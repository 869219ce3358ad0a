"""Replayed links: validity of samples, both directions, and malformed files."""

import gzip
from collections.abc import Callable
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
from wnsim.core.transfer import Message
from wnsim.network import Backhaul, Network

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
        ("t_s,source,target,gain_db\n0,a,b,nan\n", "gain_db must be from -1000 to 0, got 'nan'"),
        ("t_s,source,target,gain_db\n0,a,b,80\n", "gain_db must be from -1000 to 0, got '80'"),
        ("t_s,source,target,rate_bps\n0,a,b,-1\n", "rate_bps must be from 0 to 1e.15, got '-1'"),
        ("t_s,source,target,gain_db\ninf,a,b,0\n", "t_s must be from -9e.09 to 9e.09, got 'inf'"),
        (
            "t_s,source,target,gain_db\n1,a,b,-80\n1,a,b,-81\n",
            "links.csv:3: time must increase on a link, got 1 s after 1 s from 'a' to 'b'",
        ),
        ('t_s,source,target,gain_db\n1,a,"b,-80\n', "links.csv:2: the line is not comma-separated"),
        ("t_s,source,target,gain_db\n" + "1" * 9000, "links.csv:2: a line may have at most 8192"),
    ],
)
def test_errors_name_file_line_rule_and_value(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(tmp_path, text)


def test_errors_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"nothing\.csv: no such file"):
        Replay(file=str(tmp_path / "nothing.csv")).links(NAMES)
    with pytest.raises(ValueError, match="is not a regular file"):
        Replay(file=str(tmp_path)).links(NAMES)
    monkeypatch.setattr("wnsim.channel.replay_lines._MAX_LINES", 3)
    with pytest.raises(ValueError, match="at most 10000000 samples, got more"):
        table(tmp_path)
    (tmp_path / "bytes.csv").write_bytes(b"t_s,source,target,gain_db\n0,\xff,b,-80\n")
    with pytest.raises(ValueError, match=r"bytes\.csv:2: text must be UTF-8"):
        Replay(file=str(tmp_path / "bytes.csv")).links(NAMES)


# --- recordings, and links with the server -------------------------------------------------------

FILES = Path(__file__).parent / "files" / "links"


def recordings(*names: str, devices: int = 1, **options: object) -> ReplayTable:
    """Return the links of devices 0 to n - 1 with the server, node n + 1 behind one station."""
    files = tuple(str(FILES / name) for name in names)
    made = Replay(file=files, **options)  # type: ignore[arg-type]
    return made.links([str(n) for n in range(devices)], stations=1)


def arrival_s(made: ReplayTable, source: int, target: int, now_s: float, bits: int) -> float:
    return float(made.arrival_s(source, target, now_s, np.array([bits]))[0])


def test_table_with_stations_and_the_server(tmp_path: Path) -> None:
    file = tmp_path / "links.csv"
    file.write_text(
        "t_s,source,target,rate_bps\n0,a,station-1,1e6\n0,station-1,a,2e6\n0,server,b,3e6\n"
    )
    made = Replay(file=str(file)).links(["a", "b"], stations=2)
    # Devices 0 and 1, stations 2 and 3, server 4.
    rate_bps = made.rate_bps(np.array([0, 3, 4, 1]), np.array([3, 0, 1, 4]), np.zeros(1))
    assert rate_bps is not None
    assert rate_bps[:, 0].tolist() == [1e6, 2e6, 3e6, 3e6]
    with pytest.raises(ValueError, match="target must be a device, got 'station-1'"):
        Replay(file=str(file)).links(["a", "b"])


def test_mahimahi_delivers_1500_bytes_at_each_line() -> None:
    made = recordings("walk.down", uplink=str(FILES / "walk.up"))
    down, up = (2, 0), (0, 2)
    # Two packets in each of the first 1,000 ms, then one; up one every 2 ms, of 2,000 ms.
    for packets, at_ms in ((1, 0.5), (2, 1), (2000, 1000), (2001, 1001), (3000, 2000)):
        assert arrival_s(made, *down, 0.0, 12_000 * packets) == pytest.approx(at_ms / 1e3, rel=1e-9)
    # The trace repeats after its last line, and so does that of the other direction.
    for packets, at_ms in ((3002, 2001), (5000, 3000), (30_000, 20_000)):
        assert arrival_s(made, *down, 0.0, 12_000 * packets) == pytest.approx(at_ms / 1e3, rel=1e-9)
    assert arrival_s(made, *up, 0.0, 12_000 * 2500) == pytest.approx(5.0, rel=1e-9)
    # From 1.5 s on: 500 packets to the end of the pass, then 2 per ms.
    assert arrival_s(made, *down, 1.5, 12_000 * 700) == pytest.approx(2.1, rel=1e-9)
    assert made.carried_bits(*down, 1.5, 2.1) == pytest.approx(12_000 * 700)


@pytest.mark.parametrize("interpolate", ["hold", "linear"])
def test_repeated_rates_equal_the_same_rates_written_out(interpolate: str) -> None:
    """Twelve passes, with outages, against a table that has them one after another."""
    draws = np.random.default_rng(3)
    when_s, rates_bps = np.array([0.0, 0.7, 1.5, 3.0]), draws.uniform(1e5, 1e6, 4)
    passes = np.concatenate([when_s + 4.0 * n for n in range(12)])
    # Held from the last sample of a pass to its end.
    ends_s = np.array([4.0 * n - 1e-9 for n in range(1, 13)])
    long = np.column_stack([passes, np.tile(rates_bps, 12)])
    long = np.concatenate([long, np.column_stack([ends_s, np.full(12, rates_bps[-1])])])
    long = long[np.argsort(long[:, 0])]
    written = ReplayTable(["rate_bps"], {(0, 1): long}, interpolate)  # type: ignore[arg-type]
    short = {(0, 1): np.column_stack([when_s, rates_bps])}
    repeated = ReplayTable(
        ["rate_bps"],
        short,
        interpolate,
        ends_s={(0, 1): 4.0},
        wraps=[(0, 1)],  # type: ignore[arg-type]
    )
    dark_s = [(1.0, 2.5), (6.0, 9.5), (20.0, 20.1)]
    bits = np.array([1, 1000, 400_000, 2_000_000, 9_000_000])
    for now_s in (0.0, 0.3, 2.0, 3.9, 4.0, 11.0):
        expected_s = written.arrival_s(0, 1, now_s, bits, dark_s)
        assert repeated.arrival_s(0, 1, now_s, bits, dark_s) == pytest.approx(expected_s, rel=1e-7)
        assert repeated.carried_bits(0, 1, now_s, 17.0, dark_s) == pytest.approx(
            written.carried_bits(0, 1, now_s, 17.0, dark_s), rel=1e-7
        )
    # Between the instants at which a held rate changes.
    at_s = np.linspace(-0.95, 30.05, 311)
    ends = np.array([0]), np.array([1])
    assert repeated.rate_bps(*ends, at_s) == pytest.approx(written.rate_bps(*ends, at_s), rel=1e-6)


def test_after_the_end(tmp_path: Path) -> None:
    """1, then 2 Mbit/s, a second each: 4 Mbit take 2.5 s if held, 3 s if repeated, or never end."""
    text = "t_s,source,target,rate_bps\n0,a,b,1e6\n1,a,b,2e6\n"
    file = tmp_path / "links.csv"
    file.write_text(text)
    arrivals_s = {
        end: arrival_s(Replay(file=str(file), end=end).links(["a", "b"]), 0, 1, 0.0, 4_000_000)  # type: ignore[arg-type]
        for end in ("auto", "hold", "wrap", "stop")
    }
    assert arrivals_s == {"auto": 2.5, "hold": 2.5, "wrap": 3.0, "stop": np.inf}
    stopped = Replay(file=str(file), end="stop", interpolate="linear").links(["a", "b"])
    # The last value holds for a step: 1.5 Mbit on the ramp, then 2 Mbit.
    assert arrival_s(stopped, 0, 1, 0.0, 3_400_000) == pytest.approx(1.95)
    assert arrival_s(stopped, 0, 1, 0.0, 3_600_000) == np.inf
    file.write_text(text.replace("rate_bps", "gain_db").replace("1e6", "-80").replace("2e6", "-90"))
    gains_db = {
        end: Replay(file=str(file), end=end)  # type: ignore[arg-type]
        .links(["a", "b"])
        .gain_db(np.array([0]), np.array([1]), np.array([1.5, 2.5, 3.5]))[0]
        .tolist()
        for end in ("hold", "wrap", "stop")
    }
    assert gains_db == {
        "hold": [-90, -90, -90], "wrap": [-90, -80, -90], "stop": [-90, -np.inf, -np.inf],
    }  # fmt: skip


def test_drive_tests() -> None:
    """Rates as the files' texts have them, in kbit/s, Mbit/s, and bytes in an interval."""
    at_s = np.array([0.0, 1.0, 2.0, 3.5, 5.0])
    server, device = np.array([2]), np.array([0])
    ucc = recordings("ucc-5g.csv")
    down, up = ucc.rate_bps(server, device, at_s), ucc.rate_bps(device, server, at_s)
    assert down is not None
    assert up is not None
    assert down[0].tolist() == [20e6, 21e6, 22e6, 23e6, 25e6]
    assert up[0] == pytest.approx([500e3, 510e3, 520e3, 530e3, 550e3])
    ghent = recordings("ghent-4g.log").rate_bps(server, device, at_s)
    assert ghent is not None
    # 125,000 bytes in the first second, which ends at 1,000 ms, and so on.
    assert ghent[0] == pytest.approx([1e6, 2e6, 3e6, 4e6, 5e6])
    nyu = recordings("nyu-mets.csv").rate_bps(server, device, at_s)
    assert nyu is not None
    assert nyu[0].tolist() == [12.5e6, 0.0, 7.25e6, 30e6, 30e6]
    lumos = recordings("lumos5g.csv", devices=2)
    runs = lumos.rate_bps(np.array([3, 3]), np.array([0, 1]), at_s)
    assert runs is not None
    assert runs[:, 0].tolist() == [110e6, 210e6]
    assert runs[:, 3].tolist() == [140e6, 240e6]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("positive-gain.csv",), {"devices": 2},
         "positive-gain.csv:2: gain_db must be from -1000 to 0"),
        (("walk.down",), {"devices": 2}, "a recording of the downlink of each device, got 1 for 2"),
        (("walk.down", "stations.csv"), {"devices": 2},
         "stations.csv:1: a recording must be of mahimahi"),
        (("nyu-mets.csv",), {"format": "mahimahi"},
         "nyu-mets.csv:1: a line must be a whole number of milliseconds"),
        (("walk.up",), {"format": "ucc"}, "walk.up:1: the columns must include Timestamp, DL_"),
    ],
)  # fmt: skip
def test_recordings_that_are_refused(
    names: tuple[str, ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        recordings(*names, **options)  # type: ignore[arg-type]


def test_recordings_need_a_server() -> None:
    with pytest.raises(ValueError, match="they need a section base_stations"):
        Replay(file=str(FILES / "walk.down")).links(["a"])


def test_bad_rows_may_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "links.csv"
    file.write_text(TABLE + "4,a,b,30,1\n5,a,b,-70\n6,a,b,-60,0\n")
    with pytest.raises(ValueError, match=r"links\.csv:7: gain_db must be from"):
        Replay(file=str(file)).links(NAMES)
    made = Replay(file=str(file), on_bad_row="skip").links(NAMES)
    assert made.gain_db(np.array([0]), np.array([1]), np.array([7.0]))[0, 0] == -60.0
    (note,) = made.notes
    assert note.startswith("2 rows left out: ")
    assert ":7: gain_db must be from -1000 to 0, got '30'; " in note
    assert ":8: a line must have 5 values, got 4" in note


# --- the network over measured up- and downlinks -------------------------------------------------


def latencies_s(network: Network, ends: list[tuple[int, int]], size_bytes: int) -> list[float]:
    """Return how long messages take that are sent at once [s]."""
    events = [network.send(Message(source, target, size_bytes, 99.0)) for source, target in ends]
    network.env.run(until=network.env.all_of(events))
    assert all(event.value.delivered for event in events)
    return [event.value.latency_s for event in events]


def test_messages_with_the_server_take_as_long_as_was_measured(
    make_network: Callable[..., Network],
) -> None:
    replay = recordings("walk.down", "nyu-mets.csv", devices=2, uplink=(
        str(FILES / "walk.up"), str(FILES / "walk.up")))  # fmt: skip
    network = make_network(((0.0, 0.0), (9.0, 0.0)), stations_m=((0.0, 0.0),), replay=replay)
    server = network.server
    assert server == 3
    # 100 packets of 1500 bytes: 2 ms each up; half a ms each down to the first device, and at
    # 12.5 Mbit/s to the second. Between the devices: up, and then down.
    took_s = latencies_s(network, [(0, 3), (3, 0), (3, 1), (0, 1)], 150_000)
    assert took_s == pytest.approx([0.2, 0.05, 0.096, 0.296], rel=1e-6)


def test_messages_with_the_server_go_through_the_best_measured_station(
    tmp_path: Path, make_network: Callable[..., Network]
) -> None:
    file = tmp_path / "links.csv"
    rows = ["0,0,station-0,1e6", "0,station-0,0,8e6", "0,0,station-1,4e6", "0,station-1,0,2e6"]
    file.write_text("t_s,source,target,rate_bps\n" + "\n".join([*rows, "0,0,1,16e6", ""]))
    replay = Replay(file=str(file)).links(["0", "1"], stations=2)
    network = make_network(
        ((0.0, 0.0), (9.0, 0.0)), stations_m=((0.0, 0.0), (5.0, 0.0)), replay=replay,
        backhaul=Backhaul(delay_s=0.125),
    )  # fmt: skip
    # 4 Mbit: up by station 1, down by station 0, each with the backhaul; directly between devices.
    assert latencies_s(network, [(0, 4), (4, 0), (0, 1)], 500_000) == pytest.approx(
        [1.0 + 0.125, 0.5 + 0.125, 0.25]
    )


@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
@pytest.mark.parametrize("seed", range(5))
def test_damaged_files_end_in_one_sentence(tmp_path: Path, seed: int, on_bad_row: str) -> None:
    draws = np.random.default_rng(seed)
    for source in sorted(FILES.iterdir()):
        data = bytearray(source.read_bytes()[:3000])
        for place in draws.integers(len(data), size=5):
            data[place] = draws.integers(256)
        damaged = tmp_path / source.name
        damaged.write_bytes(data[: draws.integers(1, len(data) + 1)])
        problem = ""
        try:
            Replay(file=str(damaged), on_bad_row=on_bad_row).links(["0"], 1)  # type: ignore[arg-type]
        except ValueError as error:
            problem = str(error)
        assert problem == "" or problem.startswith(str(damaged))
        assert "\n" not in problem


def test_a_table_names_stations() -> None:
    made = recordings("stations.csv", devices=2)
    at_s = np.array([0.0, 2.0])
    rate_bps = made.rate_bps(np.array([0, 2, 1]), np.array([2, 0, 2]), at_s)
    assert rate_bps is not None
    assert rate_bps.tolist() == [[4e6, 6e6], [8e6, 8e6], [4e6, 6e6]]
