"""GGUF files: quantized models in one file, converted once to a folder in Hugging Face format.

Weights are dequantized with the library `gguf` and kept as 32-bit numbers, the embeddings tied to
the output layer once. The folder lies in the user's cache under the digest of the file, so that
later loads take a second in place of a minute, and is checked as any other model folder.

Source: the format's specification, github.com/ggml-org/ggml/blob/master/docs/gguf.md; the
pre-tokenizers by name are those of llama.cpp.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Changes with what a conversion writes.
_VERSION = 1
# Split of a text before the merges, by the name that the file gives it; each pattern is a part.
_BYTES = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CASED = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}|"
    r" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZERS = {
    "default": (_BYTES,),
    "gpt-2": (_BYTES,),
    "smollm": (r"\p{N}", _BYTES),
    "llama-bpe": (_CASED.format(digits="{1,3}"),),
    "qwen2": (_CASED.format(digits=""),),
}


def converted(file: Path) -> Path:
    """Return the folder in Hugging Face format made from a GGUF file, now or earlier.

    Raises
    ------
    ValueError
        if the library is missing, or the file cannot be converted
    """
    if importlib.util.find_spec("gguf") is None:
        raise ValueError(f"{file}: GGUF files need the library gguf: pip install 'wnsim[gguf]'")
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    folder = _cache() / f"{digest.hexdigest()[:32]}-{_VERSION}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix="unfinished-"))
        try:
            _convert(file, made)
            made.rename(folder)
        # Another process may have been faster.
        except OSError:
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return folder


def _cache() -> Path:
    """Return the folder of converted models."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("WNSIM_CACHE") or Path(user) / "wnsim") / "models"


def _convert(file: Path, folder: Path) -> None:
    """Write a folder in Hugging Face format from a GGUF file."""
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    try:
        config = AutoConfig.from_pretrained(**source)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        # Explicitly dequantized, whatever packed kernels are installed.
        found = load_gguf_checkpoint(str(file), return_tensors=True, model_to_load=model)
        tokenizer = AutoTokenizer.from_pretrained(**source)
    # Truncated or unsuitable files raise the errors of their parsers.
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f"{file}: cannot be read as a causal language model: {reason}") from error
    _set_pre_tokenizer(file, tokenizer)
    tokenizer.save_pretrained(folder)
    values = config.to_dict()
    for key in ("quantization_config", "_name_or_path"):
        values.pop(key, None)
    values |= {"architectures": [type(model).__name__], "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(values, indent=2, sort_keys=True), "utf-8")
    weights = {
        name: torch.as_tensor(value).to(torch.float32).contiguous()
        for name, value in found["tensors"].items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _set_pre_tokenizer(file: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Split texts as the file says: the library's conversion has one rule for all.

    Raises
    ------
    ValueError
        if the file names a rule that is not known
    """
    from gguf import GGUFReader
    from tokenizers import Regex, pre_tokenizers

    reader = GGUFReader(file)
    kind = _text(reader, "tokenizer.ggml.model")
    if kind != "gpt2":
        # Tokens of SentencePiece have no such rule.
        return
    name = _text(reader, "tokenizer.ggml.pre") or "default"
    if name not in PRE_TOKENIZERS:
        raise ValueError(
            f"{file}: tokenizer.ggml.pre must be one of {', '.join(PRE_TOKENIZERS)}, got {name!r}"
        )
    splits: list[Any] = [
        pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PRE_TOKENIZERS[name]
    ]
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend: Any = tokenizer
    backend.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, bytes_alone])


def _text(reader: Any, key: str) -> str:
    """Return a text of a file's metadata, empty if there is none."""
    field = reader.get_field(key)
    return "" if field is None else str(field.contents())
