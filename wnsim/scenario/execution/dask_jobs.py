"""Runs as tasks of Dask, on the workers of a scheduler or in processes of this machine.

A task is the command line of one run. The runs of a worker that is lost are tasks of another one
then, which takes finished training from the cache.
"""

from __future__ import annotations

import logging
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.execution.cluster_jobs import last_line, setting
from wnsim.scenario.execution.parent import PARENT
from wnsim.scenario.progress import Watcher
from wnsim.storage import locks

# A run whose worker was killed stops at the end of what it computes just then.
_PATIENCE_S = 60.0
_OPTION = "address"


class DaskLauncher:
    """Submitter of command lines to a scheduler of Dask.

    Parameters
    ----------
    out : results folder, visible to all workers; the logs are in its folder `dask`
    settings : `address=tcp://host:port` of a scheduler. Without it, the one of Dask's configuration
        is used, such as the environment variable `DASK_SCHEDULER_ADDRESS`; without either, workers
        are started on this machine

    Raises
    ------
    ScenarioError
        if the package distributed is not available, or a setting is unknown
    """

    def __init__(self, out: Path, settings: Sequence[str]) -> None:
        try:
            import dask.config
            import distributed
        except ImportError as error:
            raise ScenarioError(
                '--launcher dask: needs the package distributed; pip install "wnsim[dask]"'
            ) from error
        self._dask: Any = distributed
        self._out = out.resolve()
        given = dict(map(setting, settings))
        for name in given:
            if name != _OPTION:
                raise ScenarioError(f"--launcher-option {name}: unknown; known: {_OPTION}")
        self._address = given.get(_OPTION, dask.config.get("scheduler-address", None))

    def finish(
        self, commands: Mapping[str, Sequence[str]], at_once: int, watcher: Watcher
    ) -> dict[str, str]:
        """Submit commands and wait; return the failures by run.

        Parameters
        ----------
        commands : command line by run
        at_once : number of workers, if they are started on this machine
        watcher : receives the progress

        Raises
        ------
        ScenarioError
            if there is no scheduler at the address
        """
        failures = {}
        logs = self._out / "dask"
        logs.mkdir(parents=True, exist_ok=True)
        with self._client(at_once) as client:
            workers = len(client.nthreads())
            watcher.say(f"dask: {workers} workers of {client.scheduler.address}")
            tasks = {}
            for run, command in commands.items():
                place = (str(Path.cwd()), str(self._out / run), str(logs / f"{run}.log"))
                key = f"{run}-{uuid.uuid4().hex}"
                tasks[client.submit(compute, list(command), *place, key=key, pure=False)] = run
            try:
                for task in self._dask.as_completed(tasks):
                    run = tasks[task]
                    error = task.exception()
                    failure = task.result() if error is None else f"{type(error).__name__}: {error}"
                    watcher.over(run)
                    if failure:
                        failures[run] = failure
                    watcher.say(f"{run}: {f'failed: {failure}' if failure else 'complete'}")
            finally:
                client.cancel(list(tasks))
        return failures

    @contextmanager
    def _client(self, at_once: int) -> Iterator[Any]:
        """Connect to the scheduler, or start one with workers on this machine."""
        if self._address is None:
            # The memory of a run is not that of its worker.
            cluster = self._dask.LocalCluster(
                n_workers=at_once, threads_per_worker=1, processes=True, memory_limit=None,
                dashboard_address=None, silence_logs=logging.ERROR,
            )  # fmt: skip
            with cluster, self._dask.Client(cluster) as client:
                yield client
            return
        try:
            client = self._dask.Client(self._address)
        except (OSError, ValueError) as error:
            raise ScenarioError(
                f"--launcher dask: there is no scheduler at {self._address}: {error}"
            ) from error
        with client:
            yield client


def compute(command: Sequence[str], cwd: str, folder: str, log: str) -> str:
    """Run a command line on a worker; return its last line if it failed, and nothing otherwise.

    Parameters
    ----------
    command : command line of a run
    cwd : working directory
    folder : folder of the run, which a run that lost its worker may still hold for a moment
    log : file for the messages of the run
    """
    locks.await_release(Path(folder), _PATIENCE_S)
    with Path(log).open("wb") as stream:
        done = subprocess.run(  # noqa: S603  (the command is our own)
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stream,
            env={**os.environ, PARENT: str(os.getpid())}, check=False,
        )  # fmt: skip
    if done.returncode == 0:
        return ""
    return f"{last_line(Path(log).read_text('utf-8', 'replace'))} (log: {log})"
