"""Sources of tasks: folders and the Hugging Face hub."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wnsim.core.params import parameters

from .base import Text


@parameters
class Folder:
    """Tasks from a folder: one subfolder per task, with train.jsonl and test.jsonl.

    Parameters
    ----------
    folder : the folder, relative to the scenario's
    """

    folder: Text


@parameters
class Hub:
    """Tasks from the Hugging Face hub, through the `datasets` library.

    Parameters
    ----------
    hub : names of the data sets; or boolq, piqa, siqa, gsm8k, arc-easy, arc-challenge, hellaswag,
        scienceqa, whose columns and splits are known
    prompt, answer, choices : names of the columns
    config : configuration of a data set, if it has several
    train_split, test_split : names of the splits
    """

    hub: Annotated[tuple[Text, ...], Field(min_length=1)]
    prompt: str = "prompt"
    answer: str = "answer"
    choices: str | None = None
    config: str | None = None
    train_split: str = "train"
    test_split: str = "test"
