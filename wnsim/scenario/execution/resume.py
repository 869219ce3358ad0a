"""Resuming: pending runs of a plan, and locked, prepared run folders."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wnsim.core.version import RESULTS
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation import tables
from wnsim.scenario.simulation.identity import fingerprint, inputs, resolved
from wnsim.scenario.spec.plan import Run
from wnsim.storage import records
from wnsim.storage.locks import Lock, is_marked, require_usable


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
    for folder, manifest in there.items():
        if manifest.get("results") != RESULTS:
            raise _outdated(out / folder, manifest)
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
    # Fail before the computation if a folder cannot be created or used.
    for run in todo:
        (out / run.folder).mkdir(parents=True, exist_ok=True)
        _check_own(out / run.folder)
    return todo, skipped


def locked(folder: Path) -> Lock:
    """Lock a folder for writing.

    Raises
    ------
    ScenarioError
        if another process holds the lock
    """
    try:
        return Lock(folder, _holds_results)
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
    folder = out / run.folder
    manifest = records.read_manifest(folder)
    if manifest is None:
        if os.path.lexists(folder / records.MANIFEST) and not _is_of(run, folder):
            raise ScenarioError(
                f"{folder / records.MANIFEST}: is damaged, or not the manifest of a run; move it "
                "away, or choose another folder with --out"
            )
        return False
    if manifest.get("results") != RESULTS:
        raise _outdated(folder, manifest)
    if manifest["fingerprint"] != own:
        raise _other(folder)
    return records.is_intact(folder, manifest)


def _is_of(run: Run, folder: Path) -> bool:
    """Return whether a folder was begun by a run of this scenario."""
    path = folder / "scenario.yaml"
    return path.is_file() and path.read_bytes() == resolved(run.scenario).encode()


def _holds_results(folder: Path) -> bool:
    """Return whether an unmarked folder is one of results, or of one run."""
    inside = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    ended = any(records.read_manifest(each) is not None for each in (folder, *inside))
    # Runs under way that were started one by one.
    return ended or any(is_marked(each) for each in inside)


def _check_own(folder: Path) -> None:
    """Raise ScenarioError if the folder of a run is a link, or holds files of the user."""
    for path in (folder, folder / "adapters"):
        if path.is_symlink():
            raise ScenarioError(f"{path}: is a link; remove it, or choose another folder")
    try:
        require_usable(folder, _holds_results)
    except ValueError as error:
        raise ScenarioError(str(error)) from error


def _outdated(folder: Path, manifest: Mapping[str, Any]) -> ScenarioError:
    version = manifest.get("versions", {}).get("wnsim", "another version")
    return ScenarioError(
        f"{folder}: holds results of wnsim {version}, whose numbers may differ from those of this "
        "program; choose another folder with --out, or move it away"
    )


def _other(folder: Path) -> ScenarioError:
    return ScenarioError(
        f"{folder}: holds the results of another scenario of this name, or of files that have "
        "changed; choose another folder with --out, or move it away"
    )
