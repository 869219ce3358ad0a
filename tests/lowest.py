"""Print the lowest versions that pyproject.toml allows, as constraints for pip: `make lowest`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def main() -> None:
    """Print a line for each requirement that has a lower bound."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *extras["docs"], *extras["test"]]:
        bounded = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
        if bounded is not None:
            print("==".join(bounded.groups()))


if __name__ == "__main__":
    main()
