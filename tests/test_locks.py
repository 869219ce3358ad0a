"""Locks: one process at a time writes in a folder, and the second one names the first."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wnsim.storage.locks import FILE, Lock

HOLD = """
import sys, time
from pathlib import Path
from wnsim.storage.locks import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_hears_who_is_first_and_a_dead_one_is_no_obstacle(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as first:
        with pytest.raises(ValueError, match="is in use by") as refused:
            Lock(tmp_path / "run")
        first.send_signal(signal.SIGKILL)
    assert re.search(rf"in use by process {first.pid} on \S+ since \d{{4}}-", str(refused.value))
    assert json.loads((tmp_path / "run" / FILE).read_text())["process"] == first.pid
    with Lock(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / FILE).read_text())["process"] == os.getpid()


def test_a_lock_ends_with_its_block_and_is_no_heirloom(tmp_path: Path) -> None:
    code = "import time; print('up', flush=True); time.sleep(60)"
    with Lock(tmp_path):
        child = subprocess.Popen(
            [sys.executable, "-c", code], close_fds=False, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        # What a child must not have is closed while it starts.
        assert child.stdout.readline() == "up\n"
    with child, Lock(tmp_path):
        child.kill()


def test_a_holder_that_has_not_written_yet_is_another_process(tmp_path: Path) -> None:
    file = os.open(tmp_path / FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    with pytest.raises(ValueError, match="in use by another process"):
        Lock(tmp_path)
    os.close(file)


def test_a_file_system_without_locks_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="this file system has no locks"), Lock(tmp_path):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        Lock(tmp_path / "file")


def test_a_full_disk_is_told_of_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match=str(tmp_path / FILE)):
        Lock(tmp_path)
    monkeypatch.undo()
    with Lock(tmp_path):
        pass
