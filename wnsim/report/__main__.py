"""Rewrite the report of a results folder: python -m wnsim.report results/urban."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from wnsim import figures, report
from wnsim.storage import records
from wnsim.storage.results_folder import check_results, read_rows


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m wnsim.report", description=__doc__)
    made.add_argument("results", nargs="+", help="folder of a scenario's results")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 2 if there is nothing to show."""
    for name in parser().parse_args(arguments).results:
        try:
            print(_write(Path(name)))
        except (ValueError, OSError) as error:
            print(error, file=sys.stderr)
            return 2
        except KeyError as error:
            print(f"{name}: a manifest or a table in it lacks {error}", file=sys.stderr)
            return 2
    return 0


def _write(results: Path) -> Path:
    """Write the report of a folder, and its figures if it has none that fit a page.

    Raises
    ------
    ValueError
        if there is no complete run
    """
    check_results(results)
    runs = complete_runs(results)
    if not list((results / "figures").glob("*.svg")):
        figures.draw(results, runs)
    return report.write(results, runs)


def complete_runs(results: Path) -> list[str]:
    """Return the complete runs of a folder in the order of its summary.

    A folder may hold runs of several scenarios; those of the first one are returned.

    Raises
    ------
    ValueError
        if there is none
    """
    order = list(dict.fromkeys(row["run"] for row in read_rows(results / "summary.csv")))
    names = sorted(path.parent.name for path in results.glob(f"*/{records.MANIFEST}"))
    for name in [*order, *names]:
        manifest = records.read_manifest(results / name)
        if manifest is not None:
            found = list(records.complete_runs(results, str(manifest["scenario"]), order))
            if found:
                return found
    raise ValueError(
        f"{results}: there is nothing to show: a folder of results has runs in folders of "
        f"their own, and none here has a {records.MANIFEST} that says it is complete"
    )


if __name__ == "__main__":
    sys.exit(main())
