"""Draw the standard figures of a results folder again: python plots/standard.py results/urban."""

import sys
from pathlib import Path

from wnsim.figures import draw


def main() -> None:
    """Draw the figures of every complete run in the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    runs = [path.parent.name for path in sorted(folder.glob("*/manifest.json"))]
    if not runs:
        sys.exit(f"{folder}: no complete runs in it")
    for path in draw(folder, runs):
        print(path)


if __name__ == "__main__":
    main()
