"""Progress of long runs: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Never, Protocol, Self, TextIO

from tqdm import tqdm

from wnsim.scenario.errors import printable

_SECONDS_BETWEEN_LINES = 5.0
# The unit is the largest of which the duration has at least two.
_UNITS = ((172_800.0, "days"), (7200.0, "h"), (120.0, "min"), (0.0, "s"))


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Parameters
    ----------
    run : name of the run's folder
    round, rounds : last finished round, and number of rounds
    time_s : simulated time [s]
    accuracy : mean over devices and tasks; None if there was no evaluation
    events : simulation events so far
    wall_s : wall time since the start of the run [s]
    """

    run: str
    round: int
    rounds: int
    time_s: float
    accuracy: float | None
    events: int
    wall_s: float


class Watcher(Protocol):
    """Receiver of progress."""

    def expect(self, runs: Sequence[str]) -> None:
        """Handle the list of runs to come."""

    def say(self, text: str) -> None:
        """Handle a message."""

    def watch(self, progress: Progress) -> None:
        """Handle the progress of a run."""

    def over(self, run: str) -> None:
        """Handle the end of a run, successful or not."""


class Interrupted(BaseException):
    """End of all runs, by an exception of who follows them: `__cause__`."""


class Followed:
    """Watcher that also calls a function of the user's; see `Watcher`.

    Parameters
    ----------
    watcher : receives everything
    follow : is called with each progress; if it raises an exception, all runs end
    """

    def __init__(self, watcher: Watcher, follow: Callable[[Progress], object]) -> None:
        self._watcher, self._follow = watcher, follow

    def expect(self, runs: Sequence[str]) -> None:
        """Pass on the list of runs."""
        self._watcher.expect(runs)

    def say(self, text: str) -> None:
        """Pass on a message."""
        self._watcher.say(text)

    def watch(self, progress: Progress) -> None:
        """Pass on the progress of a run, and call the function."""
        self._watcher.watch(progress)
        try:
            self._follow(progress)
        except Exception as error:
            raise Interrupted from error

    def over(self, run: str) -> None:
        """Pass on the end of a run."""
        self._watcher.over(run)


class Display:
    """Display of the progress of several runs, sequential or concurrent; see `Watcher`.

    Parameters
    ----------
    stream : output stream; a bar is drawn if it is a terminal
    clock_s : returns the wall time [s]
    """

    def __init__(self, stream: TextIO, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock_s = clock_s
        self._runs: list[str] = []
        self._began_s = clock_s()
        self._spoke_s = -math.inf
        self._first: dict[str, Progress] = {}
        self._accuracy: dict[str, float] = {}
        self._share: dict[str, float] = {}
        self._over: set[str] = set()
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> Self:
        if self._stream.isatty():
            form = "{desc} |{bar:20}| {elapsed}"
            self._bar = tqdm(file=self._stream, total=1, leave=False, nrows=24, bar_format=form)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def expect(self, runs: Sequence[str]) -> None:
        """Store the runs to come, from which the remaining time is estimated."""
        self._runs = list(runs)
        self._began_s = self._clock_s()
        if self._bar is not None:
            self._bar.total = max(1, len(runs))

    def say(self, text: str) -> None:
        """Print a line that stays."""
        # A note may quote a file; the traceback of a failure has several lines.
        text = "\n".join(map(printable, text.split("\n")))
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def over(self, run: str) -> None:
        """Record the end of a run."""
        self._over.add(run)
        self._share[run] = 1.0

    def watch(self, progress: Progress) -> None:
        """Show the progress of a run."""
        run = progress.run
        self._first.setdefault(run, progress)
        self._share[run] = progress.round / max(1, progress.rounds)
        # The accuracy before the first round is that of the untrained model.
        if progress.accuracy is not None and progress.round > 0:
            self._accuracy[run] = progress.accuracy
        if self._bar is not None:
            self._bar.n = round(sum(self._share.values()), 2)
            self._bar.set_description_str(self._text(progress))
            return
        now_s = self._clock_s()
        last = progress.round == progress.rounds
        waited = now_s - self._spoke_s > _SECONDS_BETWEEN_LINES
        if last or progress.accuracy is not None or waited:
            self._spoke_s = now_s
            self.say(self._text(progress))

    def _text(self, progress: Progress) -> str:
        run, parts = progress.run, []
        if progress.accuracy is not None:
            parts.append(f"accuracy {progress.accuracy:.3f}")
        elif run in self._accuracy:
            parts.append(f"accuracy so far {self._accuracy[run]:.3f}")
        if progress.events and progress.wall_s > 0:
            parts.append(f"{progress.events / progress.wall_s:.0f} events/s")
        # The time before the first round does not scale with the rounds.
        first = self._first[run]
        done, left = progress.round - first.round, progress.rounds - progress.round
        if done > 0 and left > 0:
            left_s = (progress.wall_s - first.wall_s) / done * left
            parts.append(f"about {_duration(left_s)} left")
        # The total is extrapolated from finished runs, which are similar.
        share = sum(self._share.values()) / len(self._runs)
        left_s = (self._clock_s() - self._began_s) / share * (1 - share) if share else 0.0
        if self._over and left_s >= 1:
            parts.append(f"all runs in about {_duration(left_s)}")
        place = self._runs.index(run) + 1
        return ", ".join(
            [
                f"{run} ({place}/{len(self._runs)}): round {progress.round}/{progress.rounds}",
                f"{progress.time_s:.1f} s simulated",
                *parts,
            ]
        )


def _duration(time_s: float) -> str:
    """Return a duration as text."""
    least_s, unit = next(each for each in _UNITS if time_s >= each[0])
    return f"{time_s / (least_s / 2 or 1):.0f} {unit}"
