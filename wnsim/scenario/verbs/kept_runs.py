"""Runs of a results folder as a plan: their resolved scenarios, with overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec import document
from wnsim.scenario.spec.plan import Run, presentation, setting
from wnsim.scenario.spec.presentation import PRESENTATION_FILE, Presentation
from wnsim.scenario.spec.validation import validate
from wnsim.storage import records
from wnsim.storage.results_folder import read_rows


def kept_runs(
    results: Path, settings: Sequence[str] = (), plugins: frozenset[str] = frozenset()
) -> list[Run]:
    """Return the complete runs of a results folder in the order of its summary.

    Parameters
    ----------
    results : results folder
    settings : `key=value` overrides that apply to every run
    plugins : modules whose models the runs may use

    Raises
    ------
    ScenarioError
        if there is no complete run, or a scenario in it is invalid
    """
    order = [row["run"] for row in read_rows(results / "runs.csv")]
    found = []
    for folder, manifest in records.ended_runs(results).items():
        path = folder / "scenario.yaml"
        if path.is_symlink():
            continue
        resolved = document.read(path, str(path))
        for text in settings:
            resolved = resolved.merged(setting(resolved, text))
        scenario = validate(resolved, plugins)
        found.append(
            Run(
                folder.name, manifest["swept"], scenario, "",
                str(manifest.get("description", "")),
            )
        )  # fmt: skip
    if not found:
        raise ScenarioError(f"{results}: must be a results folder with a complete run")
    names = {run.scenario.name for run in found}
    if len(names) > 1:
        raise ScenarioError(
            f"{results}: has runs of several scenarios, {' and '.join(sorted(names))}; "
            "give each a folder of its own"
        )
    place = {name: number for number, name in enumerate(order)}
    found.sort(key=lambda run: (place.get(run.folder, len(place)), run.folder))
    # As in a plan, the first variant is the one that others are compared with.
    asked = [row["baseline"] for row in read_rows(results / "aggregate.csv") if row["baseline"]]
    baseline = [*asked, found[0].scenario.label][0]
    return [replace(run, baseline=baseline) for run in found]


def kept_presentation(results: Path, plugins: frozenset[str]) -> Presentation:
    """Return what the results folder shows of its runs: figures, and user-defined metrics.

    Parameters
    ----------
    results : results folder
    plugins : modules of which it may use figures and metrics

    Raises
    ------
    ScenarioError
        if the file about it is invalid, or uses other modules
    """
    path = results / PRESENTATION_FILE
    if path.is_symlink() or not path.is_file():
        return Presentation()
    return presentation(document.read(path, str(path)), plugins)
