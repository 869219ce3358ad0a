"""Local jobs: several runs at once on this machine, each in a process of its own.

A child is the command line itself for one run. It reports its progress as lines of JSON on its
standard error; any other line there is an error message.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TextIO

from wnsim.scenario.execution.parent import PARENT
from wnsim.scenario.progress import Progress, Watcher
from wnsim.scenario.signals import check_ended, termination_as_exception

_GRACE_S = 10.0
_READ_BYTES = 1 << 16
_LINES_KEPT = 40


class Reporter:
    """Watcher that reports to another process in lines of JSON.

    Parameters
    ----------
    stream : stream that the other process reads
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def expect(self, runs: Sequence[str]) -> None:
        """Do nothing: the other process knows the runs."""

    def over(self, run: str) -> None:
        """Do nothing: the other process notices the end."""

    def say(self, text: str) -> None:
        """Report a message."""
        self._write({"say": text})

    def watch(self, progress: Progress) -> None:
        """Report the progress of a run."""
        self._write({"progress": dataclasses.asdict(progress)})

    def _write(self, message: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()


class _Child:
    """Process that computes one run.

    Parameters
    ----------
    run : name of the run
    command : command line
    watch, say : receive the child's progress and messages
    """

    def __init__(
        self,
        run: str,
        command: Sequence[str],
        watch: Callable[[Progress], None],
        say: Callable[[str], None],
    ) -> None:
        self.run = run
        self._watch, self._say = watch, say
        self._rest = b""
        self._wrong: list[str] = []
        # A process group of its own, so that Ctrl-C reaches it once, through this process.
        self.process = subprocess.Popen(  # noqa: S603  (the command is our own)
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            process_group=0, env={**os.environ, PARENT: str(os.getpid())},
        )  # fmt: skip

    def fileno(self) -> int:
        """Return the file descriptor of the child's standard error."""
        if self.process.stderr is None:
            raise ValueError("the standard error of a child must be a pipe, got none")
        return self.process.stderr.fileno()

    def read(self) -> bool:
        """Read what is available; return whether more may follow."""
        data = os.read(self.fileno(), _READ_BYTES)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data:
            lines.append(self._rest)
        for line in lines:
            self._take(line.decode(errors="replace"))
        return bool(data)

    def failure(self) -> str | None:
        """Wait for the end; return the error message, or None."""
        code = self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        if code == 0:
            return None
        if code < 0:
            short = "; perhaps memory was short" if -code == signal.SIGKILL else ""
            return f"was ended by {signal.Signals(-code).name}{short}"
        return "\n".join(self._wrong) or f"ended with exit code {code}"

    def _take(self, line: str) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if isinstance(message, dict) and "progress" in message:
            self._watch(Progress(**message["progress"]))
        elif isinstance(message, dict) and "say" in message:
            self._say(message["say"])
        elif line.strip():
            self._wrong = [*self._wrong, line][-_LINES_KEPT:]


def run_at_once(
    commands: Mapping[str, Sequence[str]], jobs: int, watcher: Watcher
) -> dict[str, str]:
    """Run commands, several at a time, and relay their progress.

    Parameters
    ----------
    commands : command line by run
    jobs : number of concurrent processes
    watcher : receives the progress

    Returns
    -------
    error message by failed run
    """
    failures = {}
    said: set[str] = set()

    def say(text: str) -> None:
        # Runs of a plan issue the same messages.
        if text not in said:
            said.add(text)
            watcher.say(text)

    waiting = list(commands.items())
    running: list[_Child] = []
    with selectors.DefaultSelector() as selector, termination_as_exception():
        try:
            while waiting or running:
                check_ended()
                while waiting and len(running) < jobs:
                    child = _Child(*waiting.pop(0), watcher.watch, say)
                    running.append(child)
                    selector.register(child, selectors.EVENT_READ)
                for key, _ in selector.select():
                    child = key.fileobj  # type: ignore[assignment]
                    if child.read():
                        continue
                    selector.unregister(child)
                    wrong = child.failure()
                    running.remove(child)
                    watcher.over(child.run)
                    if wrong is not None:
                        failures[child.run] = wrong
                        watcher.say(f"{child.run}: failed: {wrong}")
        finally:
            _end([child.process for child in running])
    return failures


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Terminate processes; finished training is kept."""
    try:
        for process in processes:
            process.send_signal(signal.SIGINT)
        until_s = time.monotonic() + _GRACE_S
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until_s - time.monotonic()))
    # A second interrupt does not wait.
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()
