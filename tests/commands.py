"""Commands of wnsim in processes that are forked from one with all imports done.

Starting Python and importing torch, transformers and matplotlib takes longer than the small
scenarios of the tests. Each command is a process of its own nevertheless: it has its own exit code,
can be interrupted, and leaves no state. What depends on the start itself (the hash seed, imports,
limits) is tested with `subprocess`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


class Command:
    """A started command, with the attributes and methods of `subprocess.Popen` that tests use."""

    def __init__(self, arguments: tuple[str, ...], cwd: Path, **variables: str) -> None:
        self._output = [tempfile.TemporaryFile() for _ in ("stdout", "stderr")]  # noqa: SIM115
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(_address())
        request = {
            "arguments": ["wnsim", *arguments],
            "cwd": str(cwd),
            "environment": os.environ | variables,
        }
        files = [file.fileno() for file in self._output]
        socket.send_fds(self._server, [b"."], files)
        self._server.sendall(json.dumps(request).encode() + b"\n")
        self.pid = int(_line(self._server))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""
        if self.returncode is None:
            readable, _, _ = select.select([self._server], [], [], 0.0)
            if readable:
                self.returncode = int(_line(self._server))
        return self.returncode

    def wait(self, timeout: float = 300.0) -> int:
        """Wait for the end and return the exit code, negative for a signal."""
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("wnsim", timeout)
            select.select([self._server], [], [], 1.0)
        return self.returncode

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """Wait for the end and return the output and the messages."""
        self.wait(timeout)
        texts = []
        for file in self._output:
            file.seek(0)
            texts.append(file.read().decode())
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        """Send a signal unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        for file in self._output:
            file.close()
        self._server.close()


def wnsim(
    *arguments: str, cwd: Path, timeout: float = 300.0, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `wnsim` with arguments and environment variables in a folder."""
    with Command(arguments, cwd, **variables) as command:
        output, messages = command.communicate(timeout)
        return subprocess.CompletedProcess(arguments, command.wait(), output, messages)


def wnsim_started_anew(*arguments: str, cwd: Path, **variables: str) -> str:
    """Run `wnsim` in a new interpreter, check that it succeeds, and return its messages."""
    done = subprocess.run(
        [sys.executable, "-m", "wnsim.scenario", *arguments],
        cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)} | variables, capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


@functools.cache
def _address() -> str:
    """Start the server of this process, which ends with it; return its address."""
    address = str(Path(tempfile.mkdtemp(prefix="wnsim-")) / "server")
    server = subprocess.Popen(
        [sys.executable, __file__, address],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(server.communicate)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return address


def _line(connection: socket.socket) -> bytes:
    """Receive one line and nothing beyond."""
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(1) or b"\n"
    return line


# --- server ---------------------------------------------------------------------------------


MODULES = (
    "transformers.models.llama.modeling_llama",
    "fl.session",
    "fl.trainer",
    "wnsim.figures",
    "wnsim.metrics",
    "wnsim.report",
    "wnsim.scenario.execution.from_options",
    "wnsim.scenario.simulation.simulate",
    "wnsim.scenario.summary.summarize",
)


def serve(address: str) -> None:
    """Answer requests until the standard input is closed, each in a process of its own."""
    for module in MODULES:
        importlib.import_module(module)
    # Children that nobody waits for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as inputs:
        listener.bind(address)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        inputs.register(listener, selectors.EVENT_READ)
        inputs.register(sys.stdin, selectors.EVENT_READ)
        while True:
            if any(key.fileobj is sys.stdin for key, _ in inputs.select()):
                shutil.rmtree(Path(address).parent)
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(connection)
                os._exit(0)
            connection.close()


def _answer(connection: socket.socket) -> None:
    """Fork a command, and send its process number and its exit code."""
    _, files, _, _ = socket.recv_fds(connection, 1, 2)
    request = json.loads(_line(connection))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _run(request, files)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _run(request: dict[str, object], files: list[int]) -> None:
    """Become the command."""
    from wnsim.scenario.__main__ import main

    code = 1
    try:
        # Background processes of a shell may ignore this signal.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(str(request["cwd"]))
        os.environ.clear()
        os.environ.update(request["environment"])  # type: ignore[call-overload]
        sys.argv = list(request["arguments"])  # type: ignore[call-overload]
        sys.path[0] = ""
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, file in enumerate((nothing, *files)):
            os.dup2(file, number)
        code = main(sys.argv[1:])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
