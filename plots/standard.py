"""Draw the standard figures of a results folder again: python plots/standard.py results/urban."""

import sys
from pathlib import Path

import pandas as pd

from wnsim.figures import draw


def main() -> None:
    """Draw the figures of every complete run in the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    summary = folder / "summary.csv"
    if not summary.is_file():
        sys.exit(f"{folder}: no complete runs in it")
    runs = list(pd.read_csv(summary)["run"].unique())
    for path in draw(folder, runs):
        print(path)


if __name__ == "__main__":
    main()
