"""Writer of docs/validation.md and its pictures: `python tests/validation`, from the repository."""

import sys
from pathlib import Path

# Run as a folder, its parent is what the imports of tests start from.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from validation.page import write  # noqa: E402

if __name__ == "__main__":
    write(Path(__file__).resolve().parents[2] / "docs")
