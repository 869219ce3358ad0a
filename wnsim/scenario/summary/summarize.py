"""Summary of all complete runs of a scenario: metrics, comparison, figures, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import Run
from wnsim.scenario.summary import comparison
from wnsim.storage import records
from wnsim.storage.records import Table


def summarize(runs: Sequence[Run], out: Path, *, draws: bool = True) -> None:
    """Write summary, comparison, figures and report of the complete runs in a results folder.

    Parameters
    ----------
    runs : runs of a scenario, in the order of the legends
    out : results folder
    draws : whether to draw the figures; otherwise those of an earlier state are removed
    """
    complete = records.complete_runs(out, runs[0].scenario.name, [run.folder for run in runs])
    if not complete:
        return
    if (out / "figures").is_symlink():
        raise ScenarioError(f"{out / 'figures'}: is a link; remove it, or choose another folder")
    for folder in (out, out / "figures"):
        records.remove_half_written(folder)
    # Imported late: slow to import.
    from wnsim import figures, metrics, report

    measured = {run: metrics.of_run(out / run, manifest) for run, manifest in complete.items()}
    lines = comparison.lines(complete, measured)
    records.write_table(out / "summary.csv", summary(complete, measured))
    records.write_table(out / "aggregate.csv", comparison.aggregate(lines, runs[0].baseline))
    records.write(out / "summary.tex", comparison.table(lines, runs[0].baseline).encode())
    if draws:
        figures.draw(out, list(complete))
    else:
        figures.remove(out)
    report.write(out, list(complete))


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
