"""Movies of runs: frames, what they show, and files that are the same each time."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import results_writers
from PIL import Image

from wnsim.figures import movie
from wnsim.scenario.__main__ import main


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return the results of a run in which devices walk from left to right for 100 s."""
    results_writers.write_run(tmp_path / "made", messages=20, instants=11)
    return tmp_path / "made"


def pixels(path: Path) -> list[np.ndarray]:
    """Return the frames of a GIF."""
    found = []
    with Image.open(path) as picture:
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            found.append(np.asarray(picture.convert("RGB"), dtype=np.float64))
    return found


def test_devices_move_and_accuracy_grows(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: devices move to the right by the share of the run that a frame stands for."""
    monkeypatch.setattr(movie, "_PER_S", 4)
    run = next(results.glob("run-*"))
    paths = [tmp_path / name for name in ("one.gif", "two.gif")]
    for path in paths:
        movie.draw_movie(run, path, 1.0)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    frames = pixels(paths[0])
    assert len(frames) == 4
    dots = [np.argwhere(_is_blue(frame[:, : frame.shape[1] // 2]))[:, 1] for frame in frames]
    middles = [float(np.mean(each)) for each in dots if each.size]
    assert len(middles) == 4
    steps = np.diff(middles)
    assert (steps > 0).all()
    # Legend and labels stay where they are, and take as much from each step.
    assert steps == pytest.approx(np.full(3, steps.mean()), rel=0.1)
    curves = [np.count_nonzero(_is_blue(each[:, each.shape[1] // 2 :])) for each in frames]
    assert curves == sorted(curves)
    assert curves[0] < curves[-1]


def _is_blue(frame: np.ndarray) -> np.ndarray:
    """Return which pixels have the color of devices and of the curve."""
    red, green, blue = frame.transpose(2, 0, 1)
    return (blue > red + 60) & (blue > green + 30)


def test_the_verb_writes_a_movie_or_a_sentence(
    results: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(movie, "_PER_S", 1)
    words = ["figures", str(results), "--movie"]
    assert main([*words, str(tmp_path / "a.gif")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "a.gif")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for more, sentence in (
        ([str(tmp_path / "a.mp4")], "needs the program ffmpeg, and a.gif does without"),
        ([str(tmp_path / "a.avi")], "a movie must be a file .mp4 or .gif"),
        ([str(tmp_path / "b.gif"), "--run", "none"], "--run none: no complete run of this name"),
        ([str(tmp_path / "b.gif"), "--only", "latency"], "--only: is for figures, and --movie"),
        ([str(tmp_path / "b.gif"), "--no-band"], "--no-band: is for figures, and --movie"),
    ):
        assert main([*words, *more]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["figures", str(results), "--run", "run-1"]) == 2
    assert "--run run-1: names the run of a movie" in capsys.readouterr().err
    next(results.glob("run-*/positions.csv")).unlink()
    with pytest.raises(ValueError, match="has no positions to show"):
        movie.draw_movie(next(results.glob("run-*")), tmp_path / "c.gif")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
def test_a_video_has_its_frames(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movie, "_PER_S", 4)
    paths = [tmp_path / name for name in ("one.mp4", "two.mp4")]
    for path in paths:
        movie.draw_movie(next(results.glob("run-*")), path, 1.0)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames,width",
         "-of", "csv=p=0", paths[0]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "864,4"
