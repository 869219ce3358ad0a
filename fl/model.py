"""Language models and their tokenizers, and how examples become token rows.

Convention: a row is the prompt's tokens, the tokens of a space and the answer, and the end-of-text
token, so that no token spans prompt and answer. The labels are the answer's tokens and the
end-of-text token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .config import names_a_folder
from .tasks import Example

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TINY = Path(__file__).parent / "tiny"
IGNORED = -100
_HUB_TIMEOUT_S = 10.0
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model")
_PICKLE_PATTERNS = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class Encoded:
    """Examples as rows of tokens, padded on the right.

    Attributes
    ----------
    ids : (n, s) tokens, int64
    mask : (n, s) 1 where there is a token and 0 where there is padding, int64
    labels : (n, s) the tokens of the answer and end of text, in the places where they stand in
        `ids`, and -100 elsewhere, int64; whoever computes a loss shifts them by one
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor


def load(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a causal language model, frozen, in float32 and evaluation mode, and its tokenizer.

    Parameters
    ----------
    name : `tiny` for the shipped model, a folder in Hugging Face format, or a model's name on the
        Hugging Face hub (a copy in the local cache is preferred and needs no network)

    Raises
    ------
    ValueError
        if the folder lacks files or has its weights in pickle format only, or the hub's model is
        neither in the cache nor to be had; code that comes with a model is never run
    """
    if name == "tiny":
        return _read(str(TINY), local=True)
    if name and Path(name).is_dir():
        _check_folder(Path(name))
        return _read(name, local=True)
    if not name or names_a_folder(name):
        raise ValueError(f"model must be 'tiny', a folder or a hub name; no such folder: {name!r}")
    return _from_hub(name)


def base_of(name: str) -> str:
    """Return the folder or hub name from which anybody loads the model that `load` loads."""
    return str(TINY) if name == "tiny" else name


def _read(source: str, local: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    # Importing transformers takes seconds, so nobody pays for it who only wants tasks.
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    shows_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, trust_remote_code=False, local_files_only=local
        )
        model = AutoModelForCausalLM.from_pretrained(
            source,
            trust_remote_code=False,
            local_files_only=local,
            use_safetensors=True,
            dtype=torch.float32,
        )
    # Broken files raise whatever their parser raises: json, safetensors, tokenizers, torch.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"model {source!r} cannot be loaded: {reason}") from error
    finally:
        if shows_progress:
            logging.enable_progress_bar()
    model.requires_grad_(False)
    return model.eval(), tokenizer


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: a model folder must hold config.json")
    if not any(folder.glob("*.safetensors")):
        pickled = [file.name for pattern in _PICKLE_PATTERNS for file in folder.glob(pattern)]
        if pickled:
            raise ValueError(
                f"{folder}: weights must be in safetensors format, found only {pickled[0]} "
                "(pickle files can run code)"
            )
        raise ValueError(f"{folder}: a model folder must hold its weights, *.safetensors")
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise ValueError(f"{folder}: a model folder must hold a tokenizer, tokenizer.json")


def _from_hub(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError as error:
        raise ValueError(f"model must be 'tiny', a folder or a hub name, got {name!r}") from error
    if cached:
        try:
            return _read(name, local=True)
        except ValueError:
            # The cached copy may be incomplete; the hub then has the rest.
            pass
    # One question with a short time limit: the loaders would retry for most of a minute.
    try:
        HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
    # The client raises its own errors and those of its transport, which changed between versions.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"model {name!r} is no folder and cannot be had from the hub: {reason}"
        ) from error
    return _read(name, local=False)


def encode(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Encoded:
    """Return examples as token rows, as wide as the longest of them.

    Parameters
    ----------
    examples : (n,) at least one
    tokenizer : the model's
    max_length : most tokens in a row; a prompt that is too long loses its beginning

    Raises
    ------
    ValueError
        if there are no examples, an answer alone does not fit, or there is no end-of-text token
    """
    texts = [(example.prompt, example.answer) for example in examples]
    return _encode(texts, tokenizer, max_length)


def encode_choices(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[Encoded, NDArray[np.int64], NDArray[np.bool_]]:
    """Return every choice of every example as a token row.

    Parameters
    ----------
    examples, tokenizer, max_length : as in `encode`; every example has choices

    Returns
    -------
    the p rows; (p,) the number of each row's example, ascending; (p,) whether the row is the right
    choice

    Raises
    ------
    ValueError
        as `encode`, and if an example has no choices
    """
    pairs = [
        (number, example, choice)
        for number, example in enumerate(examples)
        for choice in example.choices
    ]
    if len({number for number, _, _ in pairs}) < len(examples):
        without = next(example for example in examples if not example.choices)
        raise ValueError(f"example must have choices, got none for prompt {without.prompt!r}")
    texts = [(example.prompt, choice) for _, example, choice in pairs]
    owner = np.array([number for number, _, _ in pairs], dtype=np.int64)
    right = np.array([choice == example.answer for _, example, choice in pairs], dtype=np.bool_)
    return _encode(texts, tokenizer, max_length), owner, right


def _encode(
    texts: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Encoded:
    if not texts:
        raise ValueError("there must be at least one example, got none")
    end = tokenizer.eos_token_id
    if end is None:
        raise ValueError("tokenizer must define an end-of-text token, got none")
    start = tokenizer.bos_token_id
    # Some tokenizers put a token before every text; it stays when the prompt loses its beginning.
    prefix = [start] if start is not None and start in tokenizer("")["input_ids"] else []
    prompts = _tokens(tokenizer, [prompt for prompt, _ in texts])
    answers = _tokens(tokenizer, [f" {answer}" for _, answer in texts])
    rows: list[tuple[list[int], int]] = []
    for (_, text), prompt, answer in zip(texts, prompts, answers, strict=True):
        room = max_length - len(prefix) - len(answer) - 1
        if room < 0:
            raise ValueError(
                f"answer must fit into max_length {max_length} with its end-of-text token, "
                f"got {len(answer)} tokens: {text[:80]!r}"
            )
        head = prefix + prompt[max(0, len(prompt) - room) :]
        rows.append(([*head, *answer, end], len(head)))
    width = max(len(row) for row, _ in rows)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    ids = torch.full((len(rows), width), pad, dtype=torch.int64)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.int64)
    for i, (row, head_length) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
        labels[i, head_length : len(row)] = torch.tensor(row[head_length:])
    return Encoded(ids, mask, labels)


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Return the tokens of texts, without a word about those that are too long: they are cut."""
    rows: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return rows
