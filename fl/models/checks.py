"""Whether what a model was loaded from is whole: nothing is made up in place of what is missing.

The library that loads models draws weights at random where a file lacks them, which is right for
somebody who goes on to train them, and would quietly make another model of everybody else's.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model")
_PICKLE_PATTERNS = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
_DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")


def check_folder(folder: Path) -> None:
    """Check that a folder has what a model is made of, and that it can be tried at all.

    Raises
    ------
    ValueError
        if a file is missing, weights are in pickle format only, or there are more layers than
        weights
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: a model folder must hold config.json")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = [file.name for pattern in _PICKLE_PATTERNS for file in folder.glob(pattern)]
        if pickled:
            raise ValueError(
                f"{folder}: weights must be in safetensors format, found only {pickled[0]} "
                "(pickle files can run code)"
            )
        raise ValueError(f"{folder}: a model folder must hold its weights, *.safetensors")
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise ValueError(f"{folder}: a model folder must hold a tokenizer, tokenizer.json")
    _check_depth(folder / "config.json", sum(map(_tensors_in, files)))


def _check_depth(config: Path, tensors: int) -> None:
    """Check that no more layers are asked for than there can be: each would be built at first."""
    try:
        wanted = json.loads(config.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{config}: must be one JSON object, but is malformed: {error}") from error
    if not isinstance(wanted, dict):
        raise ValueError(f"{config}: must be one JSON object, got {type(wanted).__name__}")
    for key in _DEPTHS:
        if isinstance(wanted.get(key), int) and wanted[key] > tensors:
            raise ValueError(
                f"{config}: {key} must be at most the number of tensors in the weights, {tensors}, "
                f"got {wanted[key]}"
            )


def _tensors_in(file: Path) -> int:
    try:
        with safe_open(file, "pt") as weights:
            return len(weights.keys())
    except SafetensorError as error:
        raise ValueError(f"{file}: the weights cannot be read: {error}") from error


def try_out(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Run a word through both: what their files say may be of a wrong kind, and is not looked at.

    Raises
    ------
    Exception
        whatever it may be
    """
    tokenizer(["word"], add_special_tokens=False, verbose=False)
    if getattr(model, "hf_quantizer", None) is not None:
        # Running it once makes some of them fit for inference alone.
        return
    with torch.inference_mode():
        model(input_ids=torch.zeros((1, 2), dtype=torch.int64, device=model.device))


def check_weights(source: str, model: PreTrainedModel, told: Mapping[str, Any]) -> None:
    """Check that all weights come from the files, and are numbers; warn of those without use.

    Parameters
    ----------
    source : folder or name of the model
    model : as loaded
    told : what the library says of the loading

    Raises
    ------
    ValueError
        if a weight is missing, or is not finite
    """
    used = model.state_dict().keys()
    missing = sorted(name for name in told["missing_keys"] if name in used)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(f"model {source!r}: its files lack the weights {missing[0]}{more}")
    for name, weight in model.named_parameters():
        if not weight.is_floating_point() or not weight.numel():
            continue
        # What is no number shows in both, what is infinite in one; bytes have to be turned first.
        values = weight.detach()
        least, most = (values.half() if values.itemsize == 1 else values).aminmax()
        if not (torch.isfinite(least) and torch.isfinite(most)):
            raise ValueError(f"model {source!r}: the weights {name} must be finite, and are not")
    unused = sorted(told["unexpected_keys"])
    if unused:
        warnings.warn(
            f"model {source!r}: {len(unused)} of its weights are not used, such as {unused[0]}",
            stacklevel=2,
        )


def check_tokens(source: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Check that the model knows every token of ordinary texts.

    Tokens that were added to a tokenizer may lie beyond, as some multimodal ones do; `check_token`
    is for texts that have them.

    Raises
    ------
    ValueError
        if it does not
    """
    known = model.get_input_embeddings().num_embeddings
    ends = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    special = tokenizer.added_tokens_decoder.keys() - set(ends)
    largest = max(
        (token for token in tokenizer.get_vocab().values() if token not in special), default=0
    )
    if largest >= known:
        raise ValueError(
            f"model {source!r}: token {largest} of its tokenizer must be below the {known} "
            "that the model knows"
        )


def check_length(model: PreTrainedModel, max_length: int) -> None:
    """Check that a model has positions for rows of some length.

    Raises
    ------
    ValueError
        if it has fewer
    """
    found = [getattr(model.config, "max_position_embeddings", None) or max_length]
    for name, module in model.named_modules():
        # Where positions are learned, some models begin to count after that of padding.
        if isinstance(module, nn.Embedding) and name.endswith("position_embeddings"):
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            found.append(module.num_embeddings - before)
    if max_length > min(found):
        raise ValueError(
            f"max_length must be at most the model's {min(found)} positions, got {max_length}"
        )


def check_token(model: PreTrainedModel, largest: int) -> None:
    """Check that a model knows the largest token of some examples.

    Raises
    ------
    ValueError
        if it does not
    """
    known = model.get_input_embeddings().num_embeddings
    if largest >= known:
        raise ValueError(
            f"an example has token {largest}, which must be below the {known} that the model knows"
        )
