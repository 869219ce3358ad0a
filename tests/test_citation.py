"""Citations of a results folder: a source for each model, and parameters as LaTeX."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from wnsim.scenario.__main__ import main
from wnsim.scenario.citation import bibliography, cite, cited, effective, flat
from wnsim.scenario.citation.sources import FEATURES, MODELS, SAME_FAMILY
from wnsim.scenario.citation.words import in_words
from wnsim.scenario.spec.schema import json_schema
from wnsim.storage import records

SCENARIO = """\
name: few
repeat: 2
area_m: [200, 100]
devices: {count: 3}
mobility: {model: random-waypoint}
traffic: {size_bytes: 10000, rounds: 1, neighbors: 1}
variants: [{label: "a_b & 50%"}, {label: walk, mobility: {model: random-walk}}]
sweep: {radio.bandwidth_hz: [10e6, 20e6]}
"""


def families(node: Any, name: str = "") -> dict[str, set[str]]:
    """Return the models of each family of the scenario's schema, by the key that takes them."""
    found: dict[str, set[str]] = {}
    if isinstance(node, dict):
        mapping = node.get("discriminator", {}).get("mapping", {})
        if mapping:
            found[name] = set(mapping)
        for key, value in node.items():
            is_word = key in ("anyOf", "oneOf", "items", "properties") or key.startswith("$")
            for family, models in families(value, name if is_word else key).items():
                found[family] = found.get(family, set()) | models
    elif isinstance(node, list):
        for value in node:
            for family, models in families(value, name).items():
                found[family] = found.get(family, set()) | models
    return found


def test_every_model_of_the_schema_has_its_sources() -> None:
    known = families(json_schema())
    assert set(known) == set(MODELS) | set(SAME_FAMILY)
    for family, models in known.items():
        assert models <= set(MODELS[SAME_FAMILY.get(family, family)]), family
    for family in MODELS:
        assert set(MODELS[family]) == known[family]


def test_each_entry_has_a_year() -> None:
    """BibTeX warns of entries without one; documents that are revised have none."""
    for key, entry in bibliography().items():
        assert re.search(r"year = \{(\d{4}|n\.d\.)\}", entry), key


def test_sources_and_bibliography_are_the_same() -> None:
    named = {key for models in MODELS.values() for keys in models.values() for key in keys}
    named |= {key for _, keys in FEATURES for key in keys}
    entries = bibliography()
    assert named == set(entries)
    for entry in entries.values():
        assert entry.count("{") == entry.count("}")
        assert "title = {" in entry
        assert "author = {" in entry


def test_features_have_sources_when_they_are_on() -> None:
    data = {
        "mac": {"model": "ofdma"}, "transport": {"max_hops": 3, "multicast": "tree"},
        "channel": {"shadowing": {"sigma_db": 0.0}, "path_loss": {"model": "free-space"}},
        "energy": {"receive_w": 0.1}, "background": [{"model": "poisson"}],
        "radio": {"phy": {"model": "wifi", "standard": "n", "code": "ldpc", "decoder": "soft"}},
        "fl": {"method": {"model": "mine:Method"}, "bits_per_parameter": 8, "privacy": None},
    }  # fmt: skip
    assert cited(data) == [
        "solora2026", "friis1946", "ieee80211", "polyanskiy2010", "caire1998", "ns3", "auer2011",
        "tran2019", "bellman1958", "takahashi1980", "wieselthier2000", "qsgd2017",
    ]  # fmt: skip


@pytest.mark.parametrize("scheduler", ["proportional-fair", "equal"])
def test_a_cell_cites_the_scheduler_that_it_has(scheduler: str) -> None:
    is_fair = scheduler == "proportional-fair"
    for mac in ({"scheduler": scheduler}, {"digital": {"model": "cell", "scheduler": scheduler}}):
        data = {"mac": mac, "channel": {"shadowing": {"sigma_db": 0.0}}}
        assert cited(data) == ["jalali2000"] * is_fair


def test_values_have_units_and_latex_is_escaped() -> None:
    values = flat({
        "area_m": [300.0, 40.0], "radio": {"frequency_hz": 5.2e9}, "engine": "win_dowed",
        "compute": {"flops_per_s": 2e12, "on": True}, "a": {"b": {"model": "x$y"}, "c": None},
        "background": [{"rate_bps": 2500, "to": None}], "mobility": {"files": []},
        "channel": {"file": "/home/me/street.npz", "maps": ["C:\\me\\map.npz", "near/by.npz"]},
    })  # fmt: skip
    lines = in_words([values], ["one"], [3], "1_0", lambda key, _: ("k",) * (key == "a.b.model"))
    assert lines.splitlines() == [
        r"The simulations were run with wnsim 1\_0~\cite{wnsim} (seed 3), with these parameters.",
        r"scenario: area [300~m, 40~m]; engine win\_dowed; background [(rate 2.5~kbit/s)].",
        "radio: frequency 5.2~GHz.",
        "compute: flops 2~TFLOP/s; on yes.",
        r"a: b x\$y~\cite{k}.",
        "mobility: files none.",
        "channel: file street.npz; maps [map.npz, near/by.npz].",
    ]


@pytest.mark.parametrize("section", ["method", "protocol"])
def test_what_has_no_effect_is_not_named(section: str) -> None:
    """Law: a topology is named where devices exchange with each other, and nowhere else."""
    topology = {"topology": {"model": "ring"}, "rounds": 3}
    for model in MODELS[section]:
        data = {"fl": {section: {"model": model}, **topology}, "seed": 1}
        has_none = model in ("local", "centralised", "server", "hierarchical", "split")
        assert ("fl.topology.model" in flat(effective(data))) != has_none
        assert flat(effective(data))["fl.rounds"] == 3
        assert "topology" in data["fl"]


def test_a_results_folder_is_cited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.yaml").write_text(SCENARIO)
    assert main(["run", "few.yaml", "--no-figures"]) == 0
    capsys.readouterr()
    assert main(["cite", "results/few"]) == 0
    text = capsys.readouterr().out
    entries = re.findall(r"^@\w+\{([\w-]+),", text, re.MULTILINE)
    assert entries[0] == "wnsim"
    assert {"johnson1996", "navidi2004", "camp2002"} <= set(entries)
    used = {key for keys in re.findall(r"\\cite\{([^}]+)\}", text) for key in keys.split(",")}
    # Features are in the bibliography without a value to stand behind.
    assert used <= set(entries)
    assert "(seeds 1, 2)" in text
    assert len(re.findall(r"^Variant", text, re.MULTILINE)) == 4
    assert r"Variant ``a\_b \& 50\%, radio.bandwidth\_hz = 10000000.0''" in text
    # What a stranger's folder says is printed as it is, or not at all.
    folder = next((tmp_path / "results/few").glob("*/manifest.json")).parent
    manifest = json.loads((folder / records.MANIFEST).read_text())
    (folder / records.MANIFEST).write_text(json.dumps(manifest | {"versions": 3, "commit": "}{%"}))
    assert r"\}\{\%" in cite(Path("results/few"))
    assert main(["cite", "results"]) == 2
    assert capsys.readouterr().err == "results: must be a results folder with a complete run\n"


@pytest.mark.parametrize("verb", ["check", "plan", "list", "schema", "report"])
def test_verbs_stand_for_options(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.yaml").write_text(SCENARIO)
    rest = {"list": [], "schema": [], "report": ["nowhere"]}.get(verb, ["few.yaml"])
    code = main([verb, *rest])
    with_verb = capsys.readouterr()
    if verb == "report":
        assert (code, with_verb.err) == (2, "nowhere: no such folder\n")
        return
    option = {"plan": "--dry-run"}.get(verb, f"--{verb}")
    assert (main([option, *rest]), code) == (0, 0)
    assert capsys.readouterr().out == with_verb.out
    # A file of this name is a scenario.
    (tmp_path / verb).write_text(SCENARIO)
    assert main([verb, "--check"]) == 0
