"""Renew the golden digests, after a change that is meant to change numbers: python tests/golden.

The reason belongs into the commit's message and into CHANGELOG.md.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from golden import DIGESTS, RENAMES, SCENARIOS, of_scenario


def main() -> None:
    """Run the scenarios, and write their digests under today's names."""
    RENAMES.write_text(
        json.dumps({"tables": {}, "columns": {}, "values": {}}, indent=2) + "\n", "utf-8"
    )
    with tempfile.TemporaryDirectory() as folder:
        found = {scenario: of_scenario(scenario, Path(folder) / scenario) for scenario in SCENARIOS}
    DIGESTS.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
