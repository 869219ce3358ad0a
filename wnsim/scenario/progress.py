"""How a long run shows that it is alive: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Never, Self, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from wnsim.scenario.run import Progress

_SECONDS_BETWEEN_LINES = 5.0


class Display:
    """Shows the progress of several runs.

    Parameters
    ----------
    runs : how many there are
    stream : where to; a bar if it is a terminal
    """

    def __init__(self, runs: int, stream: TextIO) -> None:
        self._runs = runs
        self._stream = stream
        self._started: list[str] = []
        self._spoke_at = 0.0
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> Self:
        if self._stream.isatty():
            form = "{desc} |{bar:20}| {elapsed}"
            self._bar = tqdm(
                file=self._stream, total=self._runs, leave=False, nrows=24, bar_format=form
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, text: str) -> None:
        """Show a line that stays."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def watch(self, progress: Progress) -> None:
        """Show how far a run has come."""
        if progress.run not in self._started:
            self._started.append(progress.run)
        text = (
            f"{progress.run} ({len(self._started)}/{self._runs}): round {progress.round}"
            f"/{progress.rounds}, {progress.time_s:.1f} s simulated"
        )
        if progress.accuracy is not None:
            text += f", accuracy {progress.accuracy:.3f}"
        if self._bar is not None:
            self._bar.n = round(
                len(self._started) - 1 + progress.round / max(1, progress.rounds), 2
            )
            self._bar.set_description_str(text)
            return
        now = time.monotonic()
        last = progress.round == progress.rounds
        if last or progress.accuracy is not None or now - self._spoke_at > _SECONDS_BETWEEN_LINES:
            self._spoke_at = now
            self.say(text)
