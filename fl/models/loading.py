"""Where language models come from: folders, the local cache of the hub, and the hub itself."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..config import names_a_folder
from .checks import check_folder, check_tokens, check_weights, try_out

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

_HUB_TIMEOUT_S = 10.0


def four_bits(dtype: torch.dtype) -> BitsAndBytesConfig:
    """Return how to load 4-bit weights whose products are computed in a type.

    Raises
    ------
    ValueError
        if a library is missing
    """
    missing = [one for one in ("accelerate", "bitsandbytes") if not find_spec(one)]
    if missing:
        raise ValueError(
            f"quantization 4bit needs {' and '.join(missing)}: pip install 'wnsim[quantized]'"
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def find(
    name: str, options: Mapping[str, Any], encoder: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model, frozen and in evaluation mode, and its tokenizer.

    Parameters
    ----------
    name : a folder in Hugging Face format, or a model's name on the hub
    options : for the library's own loader
    encoder : whether it is to be an encoder without a head

    Raises
    ------
    ValueError
        if it cannot be had; see `load`
    """
    if name and Path(name).is_dir():
        check_folder(Path(name))
        return _read(name, True, options, encoder)
    if not name or names_a_folder(name):
        raise ValueError(f"model must be 'tiny', a folder or a hub name; no such folder: {name!r}")
    return _from_hub(name, options, encoder)


def _read(
    source: str, local: bool, options: Mapping[str, Any], encoder: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    # Importing transformers takes seconds, so nobody pays for it who only wants tasks.
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    shows_progress, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    # What it tells of weights in a table is told below, in a sentence.
    logging.set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, trust_remote_code=False, local_files_only=local
        )
        kind = AutoModel if encoder else AutoModelForCausalLM
        model, told = kind.from_pretrained(
            source,
            trust_remote_code=False,
            local_files_only=local,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
        try_out(model, tokenizer)
    # Broken files raise whatever their parser raises: json, safetensors, tokenizers, torch.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        if "ignore_mismatched_sizes" in reason:
            reason = "its weights have other shapes than its config.json says"
        raise ValueError(f"model {source!r} cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
        if shows_progress:
            logging.enable_progress_bar()
    if getattr(model, "pooler", None) is not None:
        # It makes one vector of the first token's, of which nobody here makes use.
        model.pooler = None
    check_weights(source, model, told)
    check_tokens(source, model, tokenizer)
    model.requires_grad_(False)
    return model.eval(), tokenizer


def _from_hub(
    name: str, options: Mapping[str, Any], encoder: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError as error:
        raise ValueError(f"model must be 'tiny', a folder or a hub name, got {name!r}") from error
    of_cache = ""
    if cached:
        try:
            return _read(name, True, options, encoder)
        except ValueError as error:
            # The cached copy may be incomplete; the hub then has the rest.
            of_cache = f"; of the copy in the cache: {error}"
    # One question with a short time limit: the loaders would retry for most of a minute.
    try:
        HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
    # The client raises its own errors and those of its transport, which changed between versions.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"model {name!r} is no folder and cannot be had from the hub: {reason}{of_cache}"
        ) from error
    return _read(name, False, options, encoder)
