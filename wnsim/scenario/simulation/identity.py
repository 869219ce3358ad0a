"""Identity of a run: its resolved scenario, the files it uses, and their fingerprint."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fl.config.tasks import DIGITS
from fl.tasks.folder import SUFFIXES
from wnsim.channel import RayTraced
from wnsim.channel.replay import several
from wnsim.core.version import RESULTS
from wnsim.mobility.trace_files import sources
from wnsim.scenario.spec.schema import SCENARIO, Scenario
from wnsim.storage import records

_NULL = "tag:yaml.org,2002:null"


def resolved(scenario: Scenario) -> str:
    """Return a scenario as YAML with every default written out; it reproduces the run."""
    data = SCENARIO.dump_python(scenario, mode="json")
    yaml = YAML()
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar(_NULL, "null")
    )
    yaml.default_flow_style = None
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(data, text)
    return text.getvalue()


def inputs(scenario: Scenario) -> dict[str, str]:
    """Return the digests of the files that a scenario names, by path."""
    from fl.config import Arrays, Folder
    from fl.models.gguf_files import gguf_file

    paths: list[Path] = []
    arrays: list[Path] = []
    file = getattr(scenario.mobility, "file", None)
    if file is not None:
        paths += map(Path, sources(file))
    elements = getattr(getattr(scenario.satellites, "orbit", None), "file", None)
    contacts = getattr(scenario.contact_plan, "file", None)
    paths += [Path(name) for name in (elements, contacts) if name is not None]
    churn = None if scenario.faults is None else scenario.faults.churn
    if churn is not None and churn.file is not None:
        paths.append(Path(churn.file))
    replay = scenario.replay
    if replay is not None:
        paths += [Path(name) for name in (*several(replay.file), *several(replay.uplink))]
    if isinstance(scenario.channel, RayTraced):
        paths += scenario.channel.files()
    if scenario.fl is not None:
        if isinstance(scenario.fl.tasks, Folder):
            folder = Path(scenario.fl.tasks.folder)
            named = [folder / name for name in scenario.fl.tasks.subfolders]
            files = [path for each in named or folder.glob("*") for path in each.glob("*")]
            paths += sorted(path for path in files if path.suffix in SUFFIXES)
        if isinstance(scenario.fl.tasks, Arrays) and scenario.fl.tasks.arrays != DIGITS:
            arrays.append(Path(scenario.fl.tasks.arrays))
        if scenario.fl.initial_adapter is not None:
            paths += sorted(Path(scenario.fl.initial_adapter).glob("adapter_*"))
        model, packed = Path(scenario.fl.model), gguf_file(scenario.fl.model)
        if packed is not None:
            paths.append(packed)
        elif scenario.fl.model != "tiny" and model.is_dir():
            paths += sorted(path for path in model.iterdir() if path.is_file())
    paths += plugin_sources(scenario)
    found = {str(path): records.file_digest(path) for path in paths}
    return found | {str(path): _digest_of_all(path) for path in arrays}


def _digest_of_all(path: Path) -> str:
    """Return the digest of a file, or of the names and contents of all files of a folder."""
    if path.is_file():
        return records.file_digest(path)
    files = sorted(each for each in path.rglob("*") if each.is_file() and not each.is_symlink())
    names = [[each.relative_to(path).as_posix(), records.file_digest(each)] for each in files]
    return records.digest(json.dumps(names).encode())


def plugin_sources(scenario: Scenario) -> list[Path]:
    """Return the source files of the user-defined models of a scenario, sorted."""
    from wnsim.core.plugins import plugin_names, source_file

    found = map(source_file, plugin_names(SCENARIO.dump_python(scenario, mode="json")))
    return sorted({path for path in found if path is not None})


def fingerprint(scenario: Scenario, used: Mapping[str, str], *, seed: bool = True) -> str:
    """Return a digest that identifies results: values, contents of files, and code that counts.

    Parameters
    ----------
    scenario : scenario to identify
    used : digests of its files by path; the paths themselves do not count
    seed : whether the seed counts
    """
    data = SCENARIO.dump_python(scenario, mode="json")
    if not seed:
        del data["seed"]
    files: tuple[tuple[dict[str, Any] | None, str], ...] = (
        (data["mobility"], "file"),
        (data["contact_plan"], "file"),
        ((data["satellites"] or {}).get("orbit"), "file"),
        (data["fl"], "model"),
        (data["fl"], "initial_adapter"),
        (data["channel"], "file"),
        (data["channel"].get("replay"), "file"),
        (data["channel"].get("replay"), "uplink"),
        ((data["faults"] or {}).get("churn"), "file"),
    )
    for section, key in files:
        value = None if section is None else section.get(key)
        named = tuple(value) if isinstance(value, list) else (value,)
        if (
            section is not None
            and value is not None
            and any(path.startswith(named) for path in used)
        ):
            del section[key]
    if used and data["fl"] and isinstance(data["fl"]["tasks"], dict):
        data["fl"]["tasks"].pop("folder", None)
        if data["fl"]["tasks"].get("arrays") != DIGITS:
            data["fl"]["tasks"].pop("arrays", None)
    # The name of a task's folder counts too: it is the task's name.
    contents = sorted(
        (path.parts[-2:] if path.suffix in SUFFIXES else path.parts[-1:], found)
        for path, found in ((Path(name), found) for name, found in used.items())
    )
    return records.digest(json.dumps([RESULTS, data, contents], sort_keys=True).encode())
