"""`wnsim pack FOLDER`: a results folder as one file for a repository of research data."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path

from wnsim.scenario.errors import ScenarioError


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after the verb."""
    made = argparse.ArgumentParser(
        prog="wnsim pack",
        description="Write a ZIP file of a results folder with RO-Crate metadata: scenarios, "
        "tables, figures, adapters, versions and digests, and how to run each again. The training "
        "cache is left out, and input files such as traces are named only.",
    )
    made.add_argument("results", type=Path, help="folder of a scenario's results")
    made.add_argument(
        "--out", type=Path, metavar="FILE", help="file (default: the folder's name with .zip)"
    )
    made.add_argument("--license", metavar="URL", help="license of the data")
    made.add_argument(
        "--author", action="append", default=[], metavar="NAME", help="author (repeatable)"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Write the archive; print its path; return 0.

    Raises
    ------
    ScenarioError
        if there is no complete run, a run was altered, or the file exists
    """
    options = parser().parse_args(arguments)

    from wnsim.storage import archive, records

    results: Path = options.results
    runs = {folder.name: each for folder, each in records.ended_runs(results).items()}
    if not runs:
        raise ScenarioError(f"{results}: must be a results folder with a complete run")
    for name, manifest in runs.items():
        if (spoilt := records.spoilt(results / name, manifest)) is not None:
            raise ScenarioError(f"{spoilt}: was altered or cut short since its run ended")
    path = options.out or results.resolve().with_name(f"{results.resolve().name}.zip")
    names = sorted({str(each.get("scenario")) for each in runs.values()})
    texts = sorted({str(each.get("description")) for each in runs.values()} - {"None", ""})
    about = archive.Description(
        f"Results of {', '.join(names)}",
        " ".join(texts) or f"Simulations of {', '.join(names)} with wnsim.",
        datetime.datetime.now(datetime.UTC).date().isoformat(),
        options.license,
        tuple(options.author),
    )
    try:
        count = archive.write_archive(path, results, runs, about)
    except FileExistsError:
        raise ScenarioError(f"--out {path}: exists already, and is not replaced") from None
    print(f"{count} files of {len(runs)} runs are in {path}")
    return 0
