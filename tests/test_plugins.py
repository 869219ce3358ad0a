"""Plug-ins: models of the user run like bundled ones, and only if allowed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import commands
import pandas as pd
import pytest

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan
from wnsim.scenario.spec.validation import allow

MODULE = """
from typing import Literal

import numpy as np

from fl.config import Full
from fl.methods.lora import LoraMethod
from fl.tasks import Example, Source
from fl.topology.graphs import full
from wnsim.channel.mean_loss import AlwaysLineOfSight
from wnsim.mobility import Static
from wnsim.core.params import parameters


@parameters
class Wall(AlwaysLineOfSight):
    model: Literal["mine:Wall"] = "mine:Wall"
    loss: float = 100.0
    title = "a wall"

    def loss_db(self, d2d_m, h_bs_m, h_ut_m, frequency_hz, los):
        return np.full(np.shape(d2d_m), self.loss)


@parameters
class Line:
    model: Literal["mine:Line"] = "mine:Line"
    step_m: float = 10.0

    def motion(self, count, area_m, seed):
        places_m = tuple((self.step_m * device, 0.0) for device in range(count))
        return Static(layout="given", positions_m=places_m).motion(count, area_m, seed)


@parameters
class Half:
    model: Literal["mine:Half"] = "mine:Half"
    rank: int = 4
    alpha: float | None = None
    learning_rate: float = 2e-3

    def method(self):
        return LoraMethod(self)


@parameters
class Everybody:
    model: Literal["mine:Everybody"] = "mine:Everybody"

    def policy(self, context):
        return full(Full(), context)


class Bare:
    pass


@parameters
class Nameless:
    model: Literal["nameless"] = "nameless"


@parameters
class Mute:
    model: Literal["mine:Mute"] = "mine:Mute"


def echo(rng, stratum):
    word = "".join(rng.choice(list("abcdef"), 4))
    return Example(f"echo {word} ->", word)


repeat = Source(echo, prompts=6**4, chance=0.0)
"""

SCENARIO = """
name: own
devices: {count: 3}
mobility: {model: "mine:Line", step_m: 20}
channel: {path_loss: {model: "mine:Wall", loss: 90}, fading: {model: none}}
fl:
  tasks: ["mine:repeat", reverse]
  method: {model: "mine:Half", rank: 2}
  topology: {model: "mine:Everybody"}
  rounds: 1
  local_steps: 2
  batch_size: 2
  train_examples: 8
  test_examples: 2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "own.yaml").write_text(SCENARIO)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.wnsim(*arguments, cwd=folder)


def test_models_of_ones_own_run_like_those_on_board(folder: Path) -> None:
    done = command(
        folder, "--plugin", "mine", "own.yaml", "--no-figures", "--jobs", "2", "--set", "repeat=2"
    )
    assert done.returncode == 0, done.stderr
    run = folder / "results" / "own" / "seed=1"
    transfers = pd.read_csv(run / "transfers.csv")
    # Each of three devices sends to both others.
    assert len(transfers) == 6
    # Law: 23 dBm less 90 dB over noise of -173.98 dBm/Hz in 20 MHz and a noise figure of 9 dB;
    # power and noise are in the same proportion in each receiver's share of the band.
    assert transfers["mean_snr_db"].to_numpy() == pytest.approx(
        23 - 90 + 173.98 - 73.01 - 9, abs=0.01
    )
    places = {(row.source, row.target) for row in transfers.itertuples()}
    assert places == {(a, b) for a in range(3) for b in range(3) if a != b}
    tasks = set(pd.read_csv(run / "evaluations.csv")["task"])
    assert tasks == {"mine:repeat", "reverse"}
    manifest = json.loads((run / "manifest.json").read_text("utf-8"))
    assert manifest["complete"]
    # The resolved scenario is one again, with the same permission.
    again = command(folder, "--plugin=mine", "--check", str(run / "scenario.yaml"))
    assert again.returncode == 0, again.stderr
    assert "model: mine:Wall" in again.stdout
    # Other code under the same name is another scenario.
    (folder / "mine.py").write_text(MODULE + "\n# changed\n")
    changed = command(folder, "--plugin=mine", "own.yaml")
    assert changed.returncode == 2
    assert "another" in changed.stderr


def test_nothing_is_imported_that_was_not_allowed(folder: Path) -> None:
    (folder / "mine.py").write_text("raise SystemExit('imported')")
    done = command(folder, "--check", "own.yaml")
    assert done.returncode == 2
    said = [
        line.partition(" is user code, not a built-in; if you") for line in done.stderr.splitlines()
    ]
    assert [place for place, *_ in said] == [
        "own.yaml:4: mobility: 'mine:Line'",
        "own.yaml:5: channel.path_loss: 'mine:Wall'",
        "own.yaml:7: fl.tasks.0: 'mine:repeat'",
        "own.yaml:8: fl.method: 'mine:Half'",
        "own.yaml:9: fl.topology: 'mine:Everybody'",
    ]
    assert {rest for *_, rest in said} == {" trust it: --plugin mine"}
    # Not even modules that are already imported.
    (folder / "sent.yaml").write_text(
        "name: sent\ntraffic: {size_bytes: 9}\nmac: {model: 'os:system'}"
    )
    sent = command(folder, "--check", "sent.yaml")
    assert sent.stderr.startswith("sent.yaml:3: mac: 'os:system' is user code, not a built-in")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("mobility={model: 'mine:Nobody'}", "mobility: module mine has no Nobody"),
        (
            "mobility={model: 'mine:'}",
            "mobility: a user-defined mobility model is named module:Name",
        ),
        ("mobility={model: 'mine:Bare'}", "mobility: mine:Bare must be a class made with"),
        ("mobility={model: 'mine:Nameless'}", "mobility: mine:Nameless must have the field model"),
        ("mobility={model: 'mine:Mute'}", "mobility: mine:Mute must have motion"),
        ("fl.method={model: 'mine:Mute'}", "fl.method: mine:Mute must have learning_rate"),
        ("channel.path_loss={model: 'mine:Wall', los: 3}", "path_loss: unknown key 'los'"),
        ("channel.path_loss={model: 'mine:Wall', loss: high}", "path_loss: loss: Input should be"),
        ("fl.tasks=['mine:nobody']", "fl.tasks.0: module mine has no nobody"),
        ("fl.tasks=['mine:echo']", "task 'mine:echo' must be a Source, got a function"),
    ],
)
def test_what_is_wrong_with_a_model_of_ones_own(folder: Path, setting: str, complaint: str) -> None:
    from wnsim.scenario.simulation.build import load_tasks

    def prepare() -> None:
        (run,) = plan("own.yaml", [setting], allow(["mine"]))
        load_tasks(run.scenario)

    with pytest.raises(ScenarioError) as caught:
        prepare()
    assert complaint in str(caught.value)


def test_an_error_in_ones_own_code_keeps_its_place(folder: Path) -> None:
    (folder / "mine.py").write_text(MODULE.replace("return np.full(", "raise ValueError('mine')("))
    text = "name: net\nchannel: {path_loss: {model: 'mine:Wall'}}\ntraffic: {size_bytes: 9}\n"
    (folder / "net.yaml").write_text(text)
    done = command(folder, "--plugin=mine", "net.yaml")
    assert done.returncode != 0
    assert "mine.py" in done.stderr


def test_a_loss_that_is_not_finite_ends_a_run(folder: Path) -> None:
    infinite = MODULE.replace("np.shape(d2d_m), self.loss", "np.shape(d2d_m), np.inf")
    (folder / "mine.py").write_text(infinite)
    text = "name: net\nchannel: {path_loss: {model: 'mine:Wall'}}\ntraffic: {size_bytes: 9}\n"
    (folder / "net.yaml").write_text(text)
    done = command(folder, "--plugin=mine", "net.yaml")
    assert done.returncode == 2
    assert "a wall must be finite, got a gain of -inf dB for nodes 0 and 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_cannot_be_imported_is_named(folder: Path) -> None:
    (folder / "broken.py").write_text("import nothing_of_that_name")
    with pytest.raises(ScenarioError, match="--plugin broken: cannot be imported: ModuleNotFound"):
        allow(["broken"])
    with pytest.raises(ScenarioError, match="--plugin nowhere: cannot be imported"):
        allow(["nowhere"])
    (folder / "ends.py").write_text("raise SystemExit('usage')")
    with pytest.raises(ScenarioError, match="--plugin ends: cannot be imported: SystemExit: usage"):
        allow(["ends"])
