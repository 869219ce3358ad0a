"""Completion of verbs, options and files, as a shell does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wnsim.scenario import verbs
from wnsim.scenario.__main__ import main


def completed(folder: Path, script: str, words: list[str]) -> list[str]:
    """Return how bash completes the last one of some words."""
    shell = f"""
        compopt() {{ :; }}
        {script}
        COMP_WORDS=({" ".join(repr(word) for word in words)})
        COMP_CWORD={len(words) - 1}
        $(complete -p wnsim | sed -E 's/.* -F ([^ ]+).*/\\1/')
        printf "%s\\n" "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, check=True, cwd=folder
    )
    return done.stdout.split()


def test_bash_completes_verbs_options_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("shtab")
    assert main(["--completion", "bash"]) == 0
    script = capsys.readouterr().out
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "results").mkdir()
    assert set(completed(tmp_path, script, ["wnsim", ""])) >= set(verbs.names())
    assert completed(tmp_path, script, ["wnsim", "figu"]) == ["figures"]
    assert completed(tmp_path, script, ["wnsim", "figures", "--no-b"]) == ["--no-band"]
    assert completed(tmp_path, script, ["wnsim", "figures", "--format", "p"]) == ["pdf", "png"]
    assert completed(tmp_path, script, ["wnsim", "run", "mi"]) == ["mine.yaml"]
    assert completed(tmp_path, script, ["wnsim", "cite", ""]) == ["results"]


def test_zsh_gets_a_script_too(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert main(["--completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef wnsim")


def test_without_the_package_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--completion", "bash"]) == 2
    assert capsys.readouterr().err == (
        '--completion needs the package shtab; install it by pip install "wnsim[completion]"\n'
    )
