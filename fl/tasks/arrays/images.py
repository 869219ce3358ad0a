"""Folders of images: a folder for training and one for tests, each with a folder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset, Part, checked_size, unlinked

_TESTS = ("test", "val", "validation")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF")
_MOST_PIXELS = 1 << 26
"""Largest number of pixels of an image."""


def is_folder(folder: Path) -> bool:
    """Return whether a folder has one for training."""
    return (folder / "train").is_dir()


def read(folder: Path, side_px: int, channels: int) -> Dataset:
    """Return the data set of a folder; images are decoded when they are drawn.

    Parameters
    ----------
    folder : with `train` and `test` (or `val`, `validation`)
    side_px, channels : width and height, and channels, 1 or 3, to which images are converted

    Raises
    ------
    ValueError
        if a folder is missing or empty, or a test class has no training images
    """
    train = unlinked(folder / "train")
    names = _folders(train)
    test = next((folder / name for name in _TESTS if (folder / name).is_dir()), folder / "test")
    if not unlinked(test).is_dir():
        raise ValueError(f"{test}: folder is missing")
    for name in _folders(test):
        if name not in names:
            raise ValueError(f"{test / name}: must be one of the classes of {train}")
    trained, tested = (_part(each, names, side_px, channels) for each in (train, test))
    return Dataset(trained, tested, len(names))


def _folders(folder: Path) -> list[str]:
    """Return the names of the classes of a part, sorted."""
    found = [each for each in sorted(folder.iterdir()) if not each.name.startswith(".")]
    names = [unlinked(each).name for each in found if each.is_dir()]
    if len(names) < 2 and folder.name == "train":
        raise ValueError(f"{folder}: must have a folder for each of two or more classes")
    return names


def _part(folder: Path, names: list[str], side_px: int, channels: int) -> Part:
    """Return the images of a part."""
    found: list[tuple[int, int, Path]] = []
    for label, name in enumerate(names):
        of_class = folder / name
        entries = sorted(of_class.iterdir()) if of_class.is_dir() else []
        images = [unlinked(each) for each in entries if each.suffix.lower() in _SUFFIXES]
        found += [(number, label, image) for number, image in enumerate(images)]
    if not found:
        raise ValueError(f"{folder}: must have images ({', '.join(_SUFFIXES)}), found none")
    # The first ones are of all classes.
    found.sort(key=lambda each: each[:2])
    labels, files = [label for _, label, _ in found], [image for _, _, image in found]

    def load(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        checked_size(len(rows) * channels * side_px**2, folder)
        return np.stack([_image(files[row], side_px, channels) for row in rows.tolist()])

    return Part(np.array(labels, dtype=np.int64), load)


def _image(path: Path, side_px: int, channels: int) -> NDArray[np.uint8]:
    """Return an image, (channels, side, side).

    Raises
    ------
    ValueError
        if it cannot be read
    """
    from PIL import Image

    try:
        with Image.open(path, formats=_FORMATS) as image:
            # The size is known before the pixels are decoded.
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(
                    f"an image must have at most {_MOST_PIXELS} pixels, got {image.width} by "
                    f"{image.height}"
                )
            scaled = image.convert("L" if channels == 1 else "RGB").resize((side_px, side_px))
            pixels = np.asarray(scaled, dtype=np.uint8)
    # The library raises errors of its own and of its decoders.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    return pixels.reshape(side_px, side_px, channels).transpose(2, 0, 1)
