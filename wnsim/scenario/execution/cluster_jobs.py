"""Cluster jobs: runs submitted to Slurm, or to local processes in its place, through submitit.

A job is the command line of one run; a requeued job resumes from the run's training cache.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.progress import Watcher
from wnsim.scenario.spec.document import parse_value

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job

# The default of submitit is a few minutes.
_TIMEOUT_MIN = 24 * 60
_BETWEEN_LOOKS_S = 0.5


class Launcher:
    """Submitter of command lines to a cluster, or to this machine in its place.

    Parameters
    ----------
    kind : `slurm` or `local`
    folder : folder of the jobs' scripts and logs, visible to all hosts
    name : name of the jobs
    settings : `key=value` for `submitit.AutoExecutor.update_parameters`

    Raises
    ------
    ScenarioError
        if submitit or Slurm is not available, or a setting is invalid
    """

    def __init__(self, kind: str, folder: Path, name: str, settings: Sequence[str]) -> None:
        try:
            from submitit import AutoExecutor
        except ImportError as error:
            raise ScenarioError(
                '--launcher: needs the package submitit; pip install "wnsim[slurm]"'
            ) from error
        parameters = {"name": name, "timeout_min": _TIMEOUT_MIN}
        parameters |= dict(map(setting, settings))
        try:
            self._executor: AutoExecutor = AutoExecutor(folder=folder.resolve(), cluster=kind)
            self._executor.update_parameters(**parameters)
        except RuntimeError as error:
            raise ScenarioError(
                f"--launcher {kind}: the command srun must be on this machine's path"
            ) from error
        # One of the exceptions that submitit raises for invalid parameters.
        except (AssertionError, NameError, TypeError, ValueError) as error:
            raise ScenarioError(f"--launcher-option: {str(error).splitlines()[0]}") from error

    def submit(self, commands: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Submit all commands, as one array if there are several; return the job ids.

        Parameters
        ----------
        commands : command line by run

        Raises
        ------
        ScenarioError
            if the jobs are rejected
        """
        jobs = self._submitted(list(commands.values()))
        return {run: job.job_id for run, job in zip(commands, jobs, strict=True)}

    def finish(
        self, commands: Mapping[str, Sequence[str]], at_once: int, watcher: Watcher
    ) -> dict[str, str]:
        """Submit commands, a limited number at a time, and wait; return the failures by run.

        Parameters
        ----------
        commands : command line by run
        at_once : number of concurrent jobs
        watcher : receives the progress
        """
        failures = {}
        waiting = list(commands.items())
        running: dict[str, Job[str]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    run, command = waiting.pop(0)
                    (running[run],) = self._submitted([command])
                    watcher.say(f"{run}: job {running[run].job_id}")
                time.sleep(_BETWEEN_LOOKS_S)
                for run in [run for run, job in running.items() if job.done()]:
                    job = running.pop(run)
                    watcher.over(run)
                    if job.exception() is not None:
                        failures[run] = f"{last_line(job.stderr() or '')} (log: {job.paths.stderr})"
                    watcher.say(f"{run}: {'failed: ' if run in failures else 'complete'}")
        finally:
            for job in running.values():
                job.cancel(check=False)
        return failures

    def _submitted(self, commands: Sequence[Sequence[str]]) -> list[Job[str]]:
        from submitit.core.utils import FailedJobError
        from submitit.helpers import CommandFunction

        functions = [CommandFunction(list(command), cwd=Path.cwd()) for command in commands]
        try:
            return self._executor.submit_array(functions)
        except FailedJobError as error:
            raise ScenarioError(f"--launcher: the jobs were rejected: {error}") from error


def setting(text: str) -> tuple[str, Any]:
    """Return key and value of a launcher's option.

    Raises
    ------
    ScenarioError
        if it is not `key=value`
    """
    key, equals, value = text.partition("=")
    source = f"--launcher-option {text}"
    if not equals or not key.strip():
        raise ScenarioError(f"{source}: an option is key=value")
    return key.strip(), parse_value(value, source)


def last_line(text: str) -> str:
    """Return the last line of a job's output, which states the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "ended without a word"
