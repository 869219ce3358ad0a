"""Several runs at once on this machine, each in a process of its own.

A child is the command line itself, for one run; it tells of its progress in lines of JSON on its
standard error, where what is no JSON is what went wrong.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Never, Self, TextIO

from wnsim.scenario.errors import Ended
from wnsim.scenario.progress import Progress, Watcher

_GRACE_S = 10.0
_READ_BYTES = 1 << 16
_LINES_KEPT = 40
# How a launcher, a shell or a terminal that goes away ends a program.
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Reporter:
    """Tells another process of progress, in lines of JSON; see `Watcher`.

    Parameters
    ----------
    stream : where that process reads
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
        """Leave it to the other process, which knows."""

    def over(self, run: str) -> None:
        """Leave it to the other process, which will see."""

    def say(self, text: str) -> None:
        """Pass a sentence on."""
        self._write({"say": text})

    def watch(self, progress: Progress) -> None:
        """Pass on how far a run has come."""
        self._write({"progress": dataclasses.asdict(progress)})

    def _write(self, message: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()


class _Child:
    """A process that computes one run.

    Parameters
    ----------
    run : its name
    command : the command line
    watch, say : are told what the child tells
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
        # In a group of its own, so that a Ctrl-C comes to it once, from us.
        self.process = subprocess.Popen(  # noqa: S603  (the command is our own)
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            process_group=0,
        )  # fmt: skip

    def fileno(self) -> int:
        """Return the end of the pipe that the child writes to."""
        if self.process.stderr is None:
            raise ValueError("the standard error of a child must be a pipe, got none")
        return self.process.stderr.fileno()

    def read(self) -> bool:
        """Take in what there is to read; return whether there may be more."""
        data = os.read(self.fileno(), _READ_BYTES)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data:
            lines.append(self._rest)
        for line in lines:
            self._take(line.decode(errors="replace"))
        return bool(data)

    def failure(self) -> str | None:
        """Wait for the end; return what went wrong, or None."""
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
    commands : command line of each run, by its name
    jobs : how many at a time
    watcher : is told of progress

    Returns
    -------
    what went wrong, by run
    """
    failures = {}
    said: set[str] = set()

    def say(text: str) -> None:
        # Runs are much alike, and have the same to say.
        if text not in said:
            said.add(text)
            watcher.say(text)

    waiting = list(commands.items())
    running: list[_Child] = []
    with selectors.DefaultSelector() as selector, told_to_end():
        try:
            while waiting or running:
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
    """End processes: what they have computed is kept, and they may say their last word."""
    try:
        for process in processes:
            process.send_signal(signal.SIGINT)
        until_s = time.monotonic() + _GRACE_S
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until_s - time.monotonic()))
    # Somebody who is out of patience interrupts again.
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def told_to_end() -> Iterator[None]:
    """Make being told to end an exception, so that children are ended too and it can be said."""

    def end(number: int, frame: FrameType | None) -> Never:
        raise Ended(128 + number)

    before = {}
    # Python lets the main thread alone say what becomes of signals.
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            # What nohup has told to be ignored stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
