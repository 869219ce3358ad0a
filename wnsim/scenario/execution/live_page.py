"""Page of the runs of a command while they go on, on this machine alone.

A server of the standard library, bound to the loopback address, answers requests for three things:
the page, its contents, which the page asks for every two seconds, and the report of the results
folder, which is written again after each run. Anything else does not exist; links are not followed.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.progress import Progress, Watcher

HOST = "127.0.0.1"
REPORT = "report.html"
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_WIDTH, _HEIGHT, _MARGIN = 640, 240, 34
_MOST_RUNS = 200
# Nothing is loaded from elsewhere, and no other page may show these.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>wnsim</title><style>
body { font: 15px system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .2em .6em; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
tr + tr { border-top: 1px solid #ddd; } svg { max-width: 100%; } progress { width: 8em; }
</style></head><body><div id="live">LIVE</div><script>
const live = document.getElementById("live");
async function renew() {
  try {
    const answer = await fetch("/live");
    if (answer.ok) live.innerHTML = await answer.text();
  } catch { document.title = "wnsim: the command has ended"; return; }
  setTimeout(renew, 2000);
}
setTimeout(renew, 2000);
</script></body></html>
"""


@dataclass
class RunState:
    """What is known of a run.

    Parameters
    ----------
    last : its last progress; None before it has begun
    points : simulated times [s] and accuracies of its evaluations
    is_over : whether it has ended
    """

    last: Progress | None = None
    points: list[tuple[float, float]] = field(default_factory=list)
    is_over: bool = False


class LivePage:
    """Watcher that shows the progress on a page; see `Watcher`.

    Parameters
    ----------
    watcher : receives everything too
    out : results folder
    port : port of the page; 0 for any that is free
    renew : writes the report again, after each run but the last one
    """

    def __init__(
        self, watcher: Watcher, out: Path, port: int = 0, renew: Callable[[], object] = lambda: None
    ) -> None:
        self._watcher, self._out, self._renew = watcher, out, renew
        self._states: dict[str, RunState] = {}
        self._lock = threading.Lock()
        try:
            self._server = _Server((HOST, port), _Handler)
        except OSError as error:
            raise ScenarioError(f"--watch-port {port}: {error.strerror}") from error
        self._server.contents, self._server.report = self.contents, out / REPORT

    @property
    def address(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self._server.server_port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._watcher.say(f"watch: {self.address}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def expect(self, runs: Sequence[str]) -> None:
        """Show the runs to come."""
        with self._lock:
            self._states = {run: RunState() for run in runs}
        self._watcher.expect(runs)

    def say(self, text: str) -> None:
        """Pass on a message."""
        self._watcher.say(text)

    def watch(self, progress: Progress) -> None:
        """Show the progress of a run."""
        with self._lock:
            state = self._states.setdefault(progress.run, RunState())
            state.last = progress
            if progress.accuracy is not None:
                state.points.append((progress.time_s, progress.accuracy))
        self._watcher.watch(progress)

    def over(self, run: str) -> None:
        """Show the end of a run, and write the report again unless it was the last one."""
        with self._lock:
            self._states.setdefault(run, RunState()).is_over = True
            more = not all(state.is_over for state in self._states.values())
        self._watcher.over(run)
        if more:
            try:
                self._renew()
            # The report is written at the end, too.
            except Exception as error:
                self.say(f"note: the report is not up to date: {type(error).__name__}: {error}")

    def contents(self) -> str:
        """Return the contents of the page as HTML."""
        with self._lock:
            states = {
                run: RunState(state.last, list(state.points), state.is_over)
                for run, state in self._states.items()
            }
        report = self._server.report
        has_report = report.is_file() and not report.is_symlink()
        return contents(self._out.resolve().name, states, has_report=has_report)


def contents(name: str, states: dict[str, RunState], *, has_report: bool) -> str:
    """Return a table of runs and their curves of accuracy as HTML.

    Parameters
    ----------
    name : name of the results folder
    states : states of the runs by name
    has_report : whether there is a report to link to
    """
    over = sum(state.is_over for state in states.values())
    shown = [run for run, state in states.items() if state.last is not None or state.is_over]
    rows = [_row(run, states[run], number) for number, run in enumerate(shown)][-_MOST_RUNS:]
    link = f'<p><a href="/{REPORT}">Report</a> of the complete runs</p>' if has_report else ""
    heads = ("run", "round", "simulated time [s]", "accuracy", "wall time [s]")
    head = "".join(
        f"<th{' class=n' if number else ''}>{each}</th>" for number, each in enumerate(heads)
    )
    return (
        f"<h1>{escape(name)}</h1><p>{over} of {len(states)} runs have ended</p>{link}"
        f"{_curves([states[run].points for run in shown])}"
        f"<table><tr>{head}</tr>{''.join(rows)}</table>"
    )


def _row(run: str, state: RunState, number: int) -> str:
    color, last = _COLORS[number % len(_COLORS)], state.last
    cells = ["", "", "", ""]
    if last is not None:
        accuracy = f"{state.points[-1][1]:.3f}" if state.points else ""
        rounds = f"{last.round}/{last.rounds}"
        cells = [rounds, f"{last.time_s:.1f}", accuracy, f"{last.wall_s:.0f}"]
    done = " (ended)" if state.is_over else ""
    return (
        f'<tr><td><span style="color:{color}">&#9632;</span> {escape(run)}{done}</td>'
        + "".join(f"<td class=n>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _curves(every: Sequence[Sequence[tuple[float, float]]]) -> str:
    """Return curves of accuracy over simulated time as SVG, empty without a point."""
    longest_s = max((time_s for points in every for time_s, _ in points), default=0.0)
    if not longest_s:
        return ""
    width, height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
    bottom, right = _HEIGHT - _MARGIN, _WIDTH - _MARGIN
    parts = [f'<path d="M{_MARGIN} {_MARGIN}V{bottom}H{right}" fill="none" stroke="#888"/>']
    parts += [
        _label(_MARGIN - 6, _MARGIN + 4, "end", "1"),
        _label(_MARGIN - 6, bottom + 4, "end", "0"),
        _label(right, bottom + 16, "end", f"{longest_s:.4g} s"),
        _label(_MARGIN, _MARGIN - 10, "start", "accuracy over simulated time"),
    ]
    for number, points in enumerate(every):
        if points:
            path = " ".join(
                f"{_MARGIN + width * time_s / longest_s:.1f},{bottom - height * accuracy:.1f}"
                for time_s, accuracy in points
            )
            color = _COLORS[number % len(_COLORS)]
            parts.append(f'<polyline points="{path}" fill="none" stroke="{color}"/>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'


def _label(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="11">{text}</text>'


class _Server(ThreadingHTTPServer):
    """Server of one page and one report."""

    daemon_threads = True
    # Browsers keep connections open.
    block_on_close = False
    contents: Callable[[], str]
    report: Path


class _Handler(BaseHTTPRequestHandler):
    """Answers to requests; anything but the page and the report does not exist."""

    server: _Server
    timeout = 10.0
    server_version, sys_version = "wnsim", ""

    def do_GET(self) -> None:
        """Answer a request for a page."""
        # Names that lead here may belong to others.
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self.send_error(403)
        elif self.path == "/":
            self._send(_PAGE.replace("LIVE", self.server.contents(), 1).encode())
        elif self.path == "/live":
            self._send(self.server.contents().encode())
        elif self.path == f"/{REPORT}" and (report := _opened(self.server.report)) is not None:
            self._send(report)
        else:
            self.send_error(404)

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Do not log requests."""


def _opened(path: Path) -> bytes | None:
    """Return the contents of a regular file, None if there is none or it is a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
