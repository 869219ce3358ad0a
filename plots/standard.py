"""Draw the standard figures of a results folder again: python plots/standard.py results/urban."""

import pandas as pd
from results import folders

from wnsim.figures import draw


def main() -> None:
    """Draw the figures of every complete run in the folders named on the command line."""
    for folder in folders(str(__doc__)):
        for path in draw(folder, list(pd.read_csv(folder / "summary.csv")["run"].unique())):
            print(path)


if __name__ == "__main__":
    main()
