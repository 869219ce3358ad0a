"""Loading of models from folders, the local cache of the Hugging Face hub, and the hub itself."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..config import names_a_folder
from .checks import check_folder, check_tokens, check_weights, smoke_test
from .gguf import converted
from .gguf_files import gguf_file

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

_HUB_TIMEOUT_S = 10.0


def four_bit_config(dtype: torch.dtype) -> BitsAndBytesConfig:
    """Return the configuration of 4-bit weights whose products are computed in a dtype.

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


def load_from(
    name: str, options: Mapping[str, Any], encoder: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model, frozen and in evaluation mode, and its tokenizer.

    Parameters
    ----------
    name : folder in Hugging Face format, GGUF file or package with one, or name of a model on the
        hub
    options : options of the library's loader
    encoder : whether the model is an encoder without a head

    Raises
    ------
    ValueError
        if it cannot be loaded; see `load`
    """
    packed = gguf_file(name)
    if packed is not None:
        return _read(str(converted(packed)), True, options, encoder)
    if name and Path(name).is_dir():
        check_folder(Path(name))
        return _read(name, True, options, encoder)
    if not name or names_a_folder(name):
        raise ValueError(
            f"model must be 'tiny', a folder, a GGUF file or a hub name; no such folder: {name!r}"
        )
    return _from_hub(name, options, encoder)


def _read(
    source: str, local: bool, options: Mapping[str, Any], encoder: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    # Importing transformers takes seconds, which users of tasks only are spared.
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    shows_progress, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    # The library's table of missing weights is replaced by an error message below.
    logging.set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, trust_remote_code=False, local_files_only=local
        )
        kind = AutoModel if encoder else AutoModelForCausalLM
        model, loading_info = kind.from_pretrained(
            source,
            trust_remote_code=False,
            local_files_only=local,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
        smoke_test(model, tokenizer)
    # Corrupted files raise the errors of their parsers: json, safetensors, tokenizers, torch.
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
        # The pooled vector of the first token is not used here.
        model.pooler = None
    check_weights(source, model, loading_info)
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
        raise ValueError(
            f"model must be 'tiny', a folder, a GGUF file or a hub name, got {name!r}"
        ) from error
    cache_error = ""
    if cached:
        try:
            return _read(name, True, options, encoder)
        except ValueError as error:
            # An incomplete copy is completed from the hub.
            cache_error = f"; of the copy in the cache: {error}"
    # One request with a short timeout: the loaders would retry for most of a minute.
    try:
        HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
    # The client raises its own errors and those of its transport, which differ by version.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"model {name!r} is no folder and cannot be loaded from the hub: {reason}{cache_error}"
        ) from error
    return _read(name, False, options, encoder)
