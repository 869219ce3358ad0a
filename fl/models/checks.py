"""Integrity checks of loaded models: complete files, finite weights, and a smoke test.

The library that loads models initializes missing weights at random. That is right before further
training of the whole model, but would silently replace a frozen one by a different model.
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
    """Check that a folder contains the files of a model, and that its depth is plausible.

    Raises
    ------
    ValueError
        if a file is missing, weights are in pickle format only, there is an adapter too, or there
        are more layers than tensors
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: a model folder must hold config.json")
    if (folder / "adapter_config.json").exists():
        raise ValueError(
            f"{folder}: a model folder must not hold adapter_config.json, whose adapter would be "
            "loaded with the model; name the adapter's folder as fl.initial_adapter"
        )
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
    _check_depth(folder / "config.json", sum(map(_tensor_count, files)))


def _check_depth(config: Path, tensors: int) -> None:
    """Check that the number of layers is plausible: the library builds all before loading."""
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


def _tensor_count(file: Path) -> int:
    try:
        with safe_open(file, "pt") as weights:
            return len(weights.keys())
    except SafetensorError as error:
        raise ValueError(f"{file}: the weights cannot be read: {error}") from error


def smoke_test(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Run a word through tokenizer and model, as their files may hold values of wrong types.

    Raises
    ------
    Exception
        any error of the library
    """
    tokenizer(["word"], add_special_tokens=False, verbose=False)
    if getattr(model, "hf_quantizer", None) is not None:
        # A first pass would repack some quantized weights for inference only.
        return
    with torch.inference_mode():
        model(input_ids=torch.zeros((1, 2), dtype=torch.int64, device=model.device))


def check_weights(source: str, model: PreTrainedModel, loading_info: Mapping[str, Any]) -> None:
    """Check that all weights come from the files and are finite; warn of unused ones.

    Parameters
    ----------
    source : folder or name of the model
    model : the loaded model
    loading_info : missing and unexpected keys, as returned by the library

    Raises
    ------
    ValueError
        if a weight is missing, or is not finite
    """
    used = model.state_dict().keys()
    missing = sorted(name for name in loading_info["missing_keys"] if name in used)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(f"model {source!r}: its files lack the weights {missing[0]}{more}")
    for name, weight in model.named_parameters():
        if not weight.is_floating_point() or not weight.numel():
            continue
        # NaN propagates to both extremes; one-byte floats have no minimum and are converted.
        values = weight.detach()
        least, most = (values.half() if values.itemsize == 1 else values).aminmax()
        if not (torch.isfinite(least) and torch.isfinite(most)):
            raise ValueError(f"model {source!r}: the weights {name} must be finite, and are not")
    unused = sorted(loading_info["unexpected_keys"])
    if unused:
        warnings.warn(
            f"model {source!r}: {len(unused)} of its weights are not used, such as {unused[0]}",
            stacklevel=2,
        )


def check_tokens(source: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Check that the model has an embedding for every ordinary token.

    Tokens added to a tokenizer may exceed the embeddings, as some multimodal ones do; `check_token`
    checks the tokens of the examples.

    Raises
    ------
    ValueError
        if it has not
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
    """Check that a model has positions for the longest rows.

    Raises
    ------
    ValueError
        if it has fewer
    """
    found = [getattr(model.config, "max_position_embeddings", None) or max_length]
    for name, module in model.named_modules():
        # Some models with learned positions start counting after the padding position.
        if isinstance(module, nn.Embedding) and name.endswith("position_embeddings"):
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            found.append(module.num_embeddings - before)
    if max_length > min(found):
        raise ValueError(
            f"max_length must be at most the model's {min(found)} positions, got {max_length}"
        )


def check_token(model: PreTrainedModel, largest: int) -> None:
    """Check that a model has an embedding for the largest token of the examples.

    Raises
    ------
    ValueError
        if it has not
    """
    known = model.get_input_embeddings().num_embeddings
    if largest >= known:
        raise ValueError(
            f"an example has token {largest}, which must be below the {known} that the model knows"
        )
