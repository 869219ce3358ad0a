"""Resuming: pending runs of a plan, and locked, prepared run folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation import tables
from wnsim.scenario.simulation.identity import fingerprint, inputs, resolved
from wnsim.scenario.spec.plan import Run
from wnsim.storage import records
from wnsim.storage.locks import Lock


def pending_runs(runs: Sequence[Run], out: Path) -> tuple[list[Run], list[str]]:
    """Return the pending runs and the names of the complete ones.

    Parameters
    ----------
    runs : runs of one scenario file
    out : results folder

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
        # Runs of one curve differ in their seeds only.
        config_hash = fingerprint(run.scenario, used, seed=False)
        line = (run.scenario.label, json.dumps(run.swept))
        folder, other = lines.get(line, (run.folder, config_hash))
        if other != config_hash:
            raise _other(out / folder)
        if _is_complete(run, out, fingerprint(run.scenario, used)):
            skipped.append(run.folder)
        else:
            todo.append(run)
    # Fail before the computation if the folder cannot be created.
    for run in todo:
        (out / run.folder).mkdir(parents=True, exist_ok=True)
    return todo, skipped


def locked(folder: Path) -> Lock:
    """Lock a folder for writing.

    Raises
    ------
    ScenarioError
        if another process holds the lock
    """
    try:
        return Lock(folder)
    except ValueError as error:
        raise ScenarioError(str(error)) from error


def prepare_folder(run: Run, out: Path) -> bool:
    """Clear the locked folder of a run and write its resolved scenario.

    Returns
    -------
    whether the run is still pending: another process may have completed it before the lock was free

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
