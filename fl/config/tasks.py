"""Sources of tasks: folders, the Hugging Face hub, and arrays such as images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Text


@parameters
class Folder:
    """Tasks from a folder: one subfolder per task, with train.jsonl and test.jsonl.

    Files of benchmarks as the hub has them, JSON lines or Parquet, are read too.

    Parameters
    ----------
    folder : the folder, relative to the scenario's
    subfolders : the subfolders that are tasks, in this order; default: all, in alphabetical order
    draw : which examples are taken: `seed` draws them anew for each seed; `first`: the first ones
        of each file, equal for all seeds
    """

    folder: Text
    subfolders: tuple[Text, ...] = ()
    draw: Literal["seed", "first"] = "seed"

    def __post_init__(self) -> None:
        if len(set(self.subfolders)) < len(self.subfolders):
            raise ValueError(f"subfolders must be distinct, got {', '.join(self.subfolders)}")


DIGITS = "digits"
"""Name of the digits that come with scikit-learn."""


@parameters
class Arrays:
    """Classification of images or other arrays, for networks (`model: cnn`, `module:Net` ...).

    Each channel is shifted and scaled to mean 0 and standard deviation 1 over the training
    examples.

    Parameters
    ----------
    arrays : `digits`, 1797 images of 8 by 8 pixels that come with scikit-learn (the first fifth of
        each class, in the order of the draw, is for tests); or, relative to the scenario's folder,
        a NumPy file (.npz) with x_train, y_train, x_test and y_test, or train_images, train_labels,
        test_images and test_labels; or a folder with the files of MNIST (idx), with those of
        CIFAR-10 (binary version), or with `train` and `test`, each with a folder of images per
        class
    side_px : width and height to which images of folders are scaled [pixel]
    channels : 1, grey, or 3, colours, of images of folders
    draw : which examples are taken: `seed` draws them anew for each seed; `first`: the first ones,
        equal for all seeds
    """

    arrays: Text
    side_px: Annotated[int, Field(ge=1, le=1024)] = 32
    channels: Literal[1, 3] = 3
    draw: Literal["seed", "first"] = "seed"


@parameters
class Hub:
    """Tasks from the Hugging Face hub, through the `datasets` library.

    Parameters
    ----------
    hub : names of the data sets; or boolq, piqa, siqa, gsm8k, arc-easy, arc-challenge, hellaswag,
        scienceqa, whose columns and splits are known
    prompt, answer, choices : names of the columns, by default prompt, answer and none; not for the
        named benchmarks
    config : configuration of a data set, if it has several; not for the named benchmarks
    train_split, test_split : names of the splits, by default train and test, or the benchmark's
    draw : which examples are taken: `seed` draws them anew for each seed; `first`: the first ones
        of each split, equal for all seeds
    """

    hub: Annotated[tuple[Text, ...], Field(min_length=1)]
    prompt: Text | None = None
    answer: Text | None = None
    choices: Text | None = None
    config: Text | None = None
    train_split: Text | None = None
    test_split: Text | None = None
    draw: Literal["seed", "first"] = "seed"

    def __post_init__(self) -> None:
        from ..tasks.benchmarks import BENCHMARKS

        for name in self.hub:
            for key in ("prompt", "answer", "choices", "config"):
                value = getattr(self, key)
                if name in BENCHMARKS and value is not None:
                    raise ValueError(
                        f"{key} must not be set for the benchmark {name}, whose columns and "
                        f"configuration are known, got {value!r}"
                    )
