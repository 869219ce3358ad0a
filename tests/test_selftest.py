"""The self-test of the installed package: it passes on a sound installation and detects faults."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wnsim.channel import UmiStreetCanyon
from wnsim.selftest import checks
from wnsim.selftest.__main__ import main


def test_a_sound_installation_passes(tmp_path: Path) -> None:
    """End to end: from a folder without the tests, in a separate process."""
    done = subprocess.run(
        [sys.executable, "-m", "wnsim.selftest"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert re.fullmatch(r"14 of 14 checks passed in \d+ s", lines[-1])


def test_what_is_broken_is_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {name: checks.CHECKS[name] for name in ("path loss", "airtime")}
    monkeypatch.setattr("wnsim.selftest.__main__.CHECKS", few)
    whole = UmiStreetCanyon.loss_db
    monkeypatch.setattr(
        UmiStreetCanyon, "loss_db", lambda self, *given: np.asarray(whole(self, *given)) + 0.1
    )
    monkeypatch.setattr(checks, "_network", lambda *given: None)
    assert main() == 1
    output = capsys.readouterr().out
    assert "FAILED path loss, UMi, los: 85.4142 dB (expected 85.3142 +- 0.001 dB)" in output
    assert "ok     probability of line of sight" in output
    assert "FAILED airtime: AttributeError" in output
    assert output.splitlines()[-1].startswith("1 of 4 checks passed")
