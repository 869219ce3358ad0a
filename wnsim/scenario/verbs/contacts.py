"""`wnsim contacts SCENARIO --range METERS`: when devices are within range, as table and figure."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.options import add_overrides, add_traceback
from wnsim.scenario.spec.plan import plan, results_folder
from wnsim.scenario.spec.validation import allow


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after the verb."""
    made = argparse.ArgumentParser(
        prog="wnsim contacts",
        description="Write the intervals in which two devices of a scenario are within range, and "
        "a figure of their durations and of the times between them. Runs nothing else. Of several "
        "variants and swept values, the first is taken.",
    )
    made.add_argument("scenario", help="YAML file, or name of a bundled scenario")
    made.add_argument("--range", type=float, required=True, metavar="METERS", dest="range_m")
    made.add_argument(
        "--until", type=float, default=600.0, metavar="SECONDS", help="time span (default: 600)"
    )
    add_overrides(made)
    add_traceback(made)
    made.add_argument("--out", metavar="DIR", help="folder (default: results/<name>)")
    return made


def main(arguments: Sequence[str]) -> int:
    """Write contacts.csv and a figure of durations; print statistics; return 0.

    Raises
    ------
    ScenarioError
        if the scenario is invalid, or the range or the time span is
    """
    options = parser().parse_args(arguments)
    run = plan(options.scenario, options.set, allow(options.plugin))[0]

    from wnsim.contacts import contacts, gaps, lines, summary, table
    from wnsim.figures import draw_contacts
    from wnsim.scenario.simulation.build import build_world
    from wnsim.storage import records

    world = build_world(run.scenario)
    try:
        found = contacts(world.motion, options.range_m, options.until, heights=world.heights)
    except ValueError as error:
        raise ScenarioError(f"contacts: {error}") from error
    out = results_folder(run, options.out)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "contacts.csv"
    records.write_table(path, table(found, world.motion.names))
    for line in lines(summary(found)):
        print(line)
    print(f"intervals are in {path}")
    picture: Path | None = draw_contacts(
        *gaps(found), options.range_m, out / "figures" / "contacts"
    )
    if picture is not None:
        print(f"the figure is {picture}")
    return 0
