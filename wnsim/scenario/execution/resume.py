"""Which runs of a plan are still to be done, and folders made ready for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation import tables
from wnsim.scenario.simulation.build import fingerprint, inputs, resolved
from wnsim.scenario.spec.plan import Run
from wnsim.storage import records
from wnsim.storage.locks import Lock


def unfinished(runs: Sequence[Run], out: Path) -> tuple[list[Run], list[str]]:
    """Return the runs that are not complete, and the names of the others.

    Parameters
    ----------
    runs : of one scenario file
    out : folder of results

    Raises
    ------
    ScenarioError
        if a folder holds the results of another scenario
    """
    there = records.manifests(out, runs[0].scenario.name)
    lines = {
        (manifest["variant"], json.dumps(manifest["swept"])): (folder, manifest["config_hash"])
        for folder, manifest in there.items()
    }
    todo, skipped = [], []
    for run in runs:
        used = inputs(run.scenario)
        # Runs of one line of the figures differ in their seeds only.
        config_hash = fingerprint(run.scenario, used, seed=False)
        line = (run.scenario.label, json.dumps(run.swept))
        folder, other = lines.get(line, (run.folder, config_hash))
        if other != config_hash:
            raise _other(out / folder)
        if _is_complete(run, out, fingerprint(run.scenario, used)):
            skipped.append(run.folder)
        else:
            todo.append(run)
    # A folder that cannot be made is found out before anything is computed.
    for run in todo:
        (out / run.folder).mkdir(parents=True, exist_ok=True)
    return todo, skipped


def locked(folder: Path) -> Lock:
    """Return the right to write in a folder.

    Raises
    ------
    ScenarioError
        if another process has it
    """
    try:
        return Lock(folder)
    except ValueError as error:
        raise ScenarioError(str(error)) from error


def make_ready(run: Run, out: Path) -> bool:
    """Clear the folder of a run, which this process has locked, and write its scenario.

    Returns
    -------
    whether there is anything to do: another process may have done it before it let go

    Raises
    ------
    ScenarioError
        if the folder holds the results of another scenario
    """
    folder = out / run.folder
    if _is_complete(run, out, fingerprint(run.scenario, inputs(run.scenario))):
        return False
    tables.clear(folder)
    records.write(folder / "scenario.yaml", resolved(run.scenario).encode())
    return True


def _is_complete(run: Run, out: Path, own: str) -> bool:
    manifest = records.read_manifest(out / run.folder)
    if manifest is not None and manifest.get("fingerprint") != own:
        raise _other(out / run.folder)
    return manifest is not None and records.is_intact(out / run.folder, manifest)


def _other(folder: Path) -> ScenarioError:
    return ScenarioError(
        f"{folder}: holds the results of another scenario of this name, or of files that have "
        "changed; choose another folder with --out, or move it away"
    )
