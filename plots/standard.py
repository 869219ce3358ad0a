"""Draw the standard figures of a results folder again: python plots/standard.py results/urban."""

from results import folders, names

from wnsim.figures import draw


def main() -> None:
    """Draw the figures of every complete run in the folders named on the command line."""
    for folder in folders(str(__doc__)):
        for path in draw(folder, names(folder)):
            print(path)


if __name__ == "__main__":
    main()
