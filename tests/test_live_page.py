"""The page of a command that goes on: what it shows, and what it does not serve."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.execution.live_page import LivePage, RunState, contents
from wnsim.scenario.progress import Progress


class Quiet:
    """A watcher that remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def expect(self, runs: Any) -> None: ...

    def watch(self, progress: Any) -> None: ...

    def over(self, run: str) -> None: ...

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[LivePage]:
    with LivePage(Quiet(), tmp_path) as live:
        yield live


def get(live: LivePage, path: str, host: str = "", method: str = "GET") -> tuple[int, str]:
    port = int(live.address.rsplit(":", 1)[1].rstrip("/"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_it_is_bound_to_this_machine_and_says_where(tmp_path: Path) -> None:
    watcher = Quiet()
    with LivePage(watcher, tmp_path) as live:
        assert watcher.said == [f"watch: {live.address}"]
        assert live._server.server_address[0] == "127.0.0.1"
        port = live._server.server_port
        with pytest.raises(ScenarioError, match=f"--watch-port {port}: Address already in use"):
            LivePage(Quiet(), tmp_path, port)
    with socket.socket() as other:
        # It has ended.
        assert other.connect_ex(("127.0.0.1", port)) != 0


def test_nothing_but_page_and_report_is_served(page: LivePage, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / "scenario.yaml").write_text("secret")
    assert get(page, "/report.html")[0] == 404
    (tmp_path / "report.html").write_text("<p>all results</p>")
    assert get(page, "/report.html") == (200, "<p>all results</p>")
    for path in (
        "/secret.txt", "/seed=1/scenario.yaml", "/../secret.txt", "/%2e%2e/secret.txt",
        "//secret.txt", "/report.html/", "/report.html?x=1", "/.", "", "*",
    ):  # fmt: skip
        status, text = get(page, path or "/x")
        assert status == 404, path
        assert "secret" not in text.replace("/secret.txt", "")
    assert get(page, "/", method="POST")[0] == 501


def test_links_are_not_followed(page: LivePage, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.html"
    target.write_text("elsewhere")
    (tmp_path / "report.html").symlink_to(target)
    assert get(page, "/report.html")[0] == 404
    assert "/report.html" not in get(page, "/")[1]
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    assert get(page, "/report.html")[0] == 404


def test_names_of_others_that_lead_here_are_refused(page: LivePage) -> None:
    """A page elsewhere could point its own name to the loopback address."""
    port = page._server.server_port
    assert get(page, "/", f"localhost:{port}")[0] == 200
    for host in ("example.org", f"example.org:{port}", "127.0.0.1"):
        assert get(page, "/", host)[0] == 403


def test_it_shows_runs_and_escapes_their_names() -> None:
    last = Progress("<b>", 3, 10, 12.5, 0.5, 100, 4.0)
    states = {
        "<b>": RunState(last, [(0.0, 0.0), (12.5, 0.5)], is_over=False),
        "other": RunState(),
        "failed": RunState(is_over=True),
    }
    text = contents("<name>", states, has_report=True)
    assert "<b>" not in text
    assert "&lt;b&gt;" in text
    assert "&lt;name&gt;" in text
    assert "1 of 3 runs have ended" in text
    assert "3/10" in text
    assert "0.500" in text
    # Of a height of 172 from 206 upwards, and a width of 572 from 34 on.
    assert 'points="34.0,206.0 606.0,120.0"' in text
    assert "failed (ended)" in text
    assert "other" not in text
    assert 'href="/report.html"' in text
    assert "href" not in contents("x", states, has_report=False)


SCENARIO = """
name: watched
repeat: 2
area_m: [100, 100]
devices: {count: 2}
mobility: {model: static}
fl:
  tasks: [reverse]
  method: {model: lora, rank: 2}
  topology: {model: full}
  rounds: 1
  local_steps: 1
  batch_size: 2
  train_examples: 8
  test_examples: 2
"""


def test_a_command_shows_its_progress_and_the_report_of_complete_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "watched.yaml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    pages, reports = [], []
    watch, over = LivePage.watch, LivePage.over

    def watch_and_look(live: LivePage, progress: Progress) -> None:
        watch(live, progress)
        pages.append(get(live, "/")[1])

    def over_and_look(live: LivePage, run: str) -> None:
        over(live, run)
        reports.append(get(live, "/report.html"))

    monkeypatch.setattr(LivePage, "watch", watch_and_look)
    monkeypatch.setattr(LivePage, "over", over_and_look)
    assert main(["watched.yaml", "--watch", "--no-figures"]) == 0
    assert "watch: http://127.0.0.1:" in capsys.readouterr().err
    assert "0/1" in pages[0]
    assert "seed=2" in pages[-1]
    assert "1 of 2 runs have ended" in pages[-1]
    # The report of the first run can be read while the second one goes on.
    assert reports[0][0] == 200
    assert "watched" in reports[0][1]


def test_a_port_is_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["urban.yaml", "--watch", "--watch-port", "70000"])
    assert "must be a whole number from 0 to 65535, got '70000'" in capsys.readouterr().err
