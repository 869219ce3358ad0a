"""Summary of all complete runs of a scenario: metrics, comparison, figures, report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from wnsim.core.figure_options import FigureOptions
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import Run
from wnsim.scenario.spec.presentation import PRESENTATION_FILE
from wnsim.scenario.summary.run_states import run_states, said
from wnsim.storage import records
from wnsim.storage.records import Table


def summarize(
    runs: Sequence[Run],
    out: Path,
    failures: Mapping[str, str] = MappingProxyType({}),
    *,
    draws: bool = True,
) -> None:
    """Write states of the runs, and summary, comparison, figures and report of the complete ones.

    Parameters
    ----------
    runs : runs of a scenario, in the order of the legends
    out : results folder
    failures : error messages of runs that have just failed, by name
    draws : whether to draw the figures; otherwise those of an earlier state are removed
    """
    complete = records.complete_runs(out, runs[0].scenario.name, [run.folder for run in runs])
    states = run_states(runs, out, complete, failures)
    records.write_table(out / "runs.csv", states)
    if not complete:
        return
    if (out / "figures").is_symlink():
        raise ScenarioError(f"{out / 'figures'}: is a link; remove it, or choose another folder")
    for folder in (out, out / "figures"):
        records.remove_half_written(folder)
    # Imported late: slow to import.
    from wnsim import figures, metrics, report
    from wnsim.scenario.summary import comparison, target_table

    measured = {
        run: metrics.of_run(out / run, manifest) | metrics.own_metrics(runs[0].metrics, out / run)
        for run, manifest in complete.items()
    }
    lines = comparison.lines(complete, measured)
    _write_presentation(runs[0], out / PRESENTATION_FILE)
    records.write_table(out / "summary.csv", summary(complete, measured))
    records.write_table(out / "aggregate.csv", comparison.aggregate(lines, runs[0].baseline))
    target_table.write(out, lines)
    planned = Counter((run.scenario.label, json.dumps(run.swept)) for run in runs)
    text = comparison.table(lines, runs[0].baseline, planned, said(states))
    records.write(out / "summary.tex", text.encode())
    if draws:
        figures.draw(out, list(complete), runs[0].figures)
    figures.remove(out, runs[0].figures.wanted if draws else ())
    report.write(out, list(complete))


def _write_presentation(run: Run, path: Path) -> None:
    """Write what is shown of all runs, for those who extend them; nothing if it is the usual."""
    figures = TypeAdapter(FigureOptions).dump_python(
        run.figures, mode="json", exclude_defaults=True
    )
    sections = {"figures": figures, "metrics": list(run.metrics)}
    shown = {name: section for name, section in sections.items() if section}
    if not shown:
        path.unlink(missing_ok=True)
    else:
        records.write(path, f"{json.dumps(shown)}\n".encode())


def summary(
    manifests: Mapping[str, Mapping[str, Any]], measured: Mapping[str, Mapping[str, int | float]]
) -> Table:
    """Return the summary table, one row per run and metric.

    Parameters
    ----------
    manifests : manifests of complete runs by name
    measured : their metrics
    """
    swept = list(dict.fromkeys(key for manifest in manifests.values() for key in manifest["swept"]))
    rows: list[list[Any]] = [
        [
            run,
            manifest["variant"],
            manifest["seed"],
            *(manifest["swept"].get(key, "") for key in swept),
            metric,
            value,
        ]
        for run, manifest in manifests.items()
        for metric, value in measured[run].items()
    ]
    return Table(("run", "variant", "seed", *swept, "metric", "value"), rows)
